"""A prompt row's label: all that a rollout worker on any machine needs to play the row's window again."""

from proactive_env.episode import Frozen
from proactive_env.recipes.evaluate.run import BenchmarkConfig


class Task(Frozen):
    """One window of one episode."""

    episodes: BenchmarkConfig
    """The data set that holds the episode."""
    question_id: str
    start: float | None = None
    """Seconds of video time; None: the whole episode."""
    end: float | None = None
    """Seconds of video time."""
    seed: int = 0
    """Of the environment's reset."""
    held_out: bool = False
    """Played greedily, and its transcript is kept."""
