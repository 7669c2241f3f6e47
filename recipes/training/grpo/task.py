"""A prompt row's label: all that a rollout worker on any machine needs to play the row's window again."""

from typing import Any

from proactive_env.episode import Frozen
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig


class Task(Frozen):
    """One window of one episode."""

    episodes: BenchmarkConfig
    """The data set that holds the episode."""
    question_id: str
    start: float | None = None
    """Seconds of video time; None, like `end`: the whole episode."""
    end: float | None = None
    """Seconds of video time."""
    frame_interval: float
    """Seconds from one frame to the next."""
    seed: int = 0
    """Of the environment's reset."""
    held_out: bool = False
    """Played greedily, and its transcript is kept."""

    @property
    def name(self) -> str:
        """The question id and the window, for people; unique within a data set.

        Example:
            >>> Task(episodes=BenchmarkConfig(benchmark="tinyworld"), question_id="q", start=4.0, end=30.5,
            ...      frame_interval=1.0).name
            'q 4.0-30.5 s'
        """
        return self.question_id if self.start is None else f"{self.question_id} {self.start}-{self.end} s"

    @property
    def options(self) -> dict[str, Any]:
        """The options of the environment's reset."""
        return self.model_dump(include={"question_id", "start", "end"}, exclude_none=True)
