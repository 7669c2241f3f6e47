"""A rollout as a run folder: `config.yaml`, `transcripts.jsonl` as episodes finish, `predictions.jsonl` at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from proactive_env import agents, datasets
from proactive_env.agents.rollout import rollout
from proactive_env.agents.transcript_log import TranscriptLog
from proactive_env.datasets.rows import raise_bad_row
from proactive_env.episode import Episode
from proactive_env.recipes.config import read_record, record
from proactive_env.recipes.evaluate.predictions import write_predictions
from proactive_env.turn import Transcript
from proactive_env.video import VideoError

TRANSCRIPTS = "transcripts.jsonl"
PREDICTIONS = "predictions.jsonl"


class BenchmarkConfig(BaseModel):
    """Which episodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    benchmark: Literal["proactivevideoqa", "streamingbench_po", "mmduet", "jsonl", "tinyworld"]
    data: str | None = None
    """The data set's folder or annotation file, absolute."""
    subset: str | None = None
    split: str | None = None
    """TinyWorld's split."""
    size: int | None = None
    """How many episodes; None: all, or TinyWorld's 64."""
    seed: int = 0
    """Seed of TinyWorld's stories, or of the choice of `size` episodes."""
    skip_bad: bool = False
    """Leave bad rows and videos out and report them, instead of failing."""

    def load(self, on_skipped: Callable[[str], None]) -> Sequence[Episode]:
        """The episodes; bad rows go to `on_skipped` if they are to be skipped.

        Raises:
            DatasetError: no data, or a bad row.
        """
        return datasets.load(
            self.benchmark,
            self.data,
            subset=self.subset,
            split=self.split,
            size=self.size,
            seed=self.seed,
            on_bad=(lambda error: on_skipped(str(error))) if self.skip_bad else raise_bad_row,
        )


class RolloutConfig(BenchmarkConfig):
    """Which episodes, who plays them, and how."""

    agent: str
    """A spec for `proactive_env.agents.load`."""
    frame_interval: float = 1.0
    """Seconds from one frame to the next."""
    frames_per_turn: int | None = None
    """None: the benchmark's own."""
    full_video: bool = False


class Run:
    """A folder with a rollout in it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = TranscriptLog(folder / TRANSCRIPTS)

    def config(self) -> RolloutConfig:
        """The config that the rollout was made with.

        Raises:
            InputError: the folder holds no run.
        """
        return read_record(self.folder, RolloutConfig)

    def transcripts(self, episodes: Sequence[Episode]) -> dict[str, Transcript]:
        """What is played so far, by question id, in the data set's order.

        Raises:
            InputError: a line of `transcripts.jsonl` is not a transcript.
        """
        found = self._log.read({episode.question_id: episode for episode in episodes})
        return {episode.question_id: found[episode.question_id] for episode in episodes if episode.question_id in found}

    def play(
        self,
        config: RolloutConfig,
        *,
        concurrency: int = 8,
        on_start: Callable[[int, int], None],
        on_episode: Callable[[], None],
        on_skipped: Callable[[str], None],
    ) -> None:
        """Play what is not played yet, then write `predictions.jsonl` in the data set's order.

        Args:
            config: Must be the folder's own if it holds a run.
            concurrency: How many episodes are played at once.
            on_start: Called with the number of episodes, and of those played before.
            on_episode: Called after each episode.
            on_skipped: Called with what is wrong with a row or video that is left out.

        Raises:
            InputError: the config changed, or something that it names cannot be used.
        """
        agent = agents.load(config.agent)
        episodes = config.load(on_skipped)
        record(self.folder, config)
        self._log.cut_torn_line()
        played = self._log.question_ids()
        left = [episode for episode in episodes if episode.question_id not in played]
        on_start(len(episodes), len(episodes) - len(left))

        def keep(transcript: Transcript) -> None:
            self._log.append(transcript)
            on_episode()

        def skip(_: str, error: VideoError) -> None:
            on_skipped(str(error))
            on_episode()

        rollout(
            agent,
            left,
            environment=config.model_dump(include={"frame_interval", "frames_per_turn", "full_video"}),
            on_transcript=keep,
            on_bad_video=skip if config.skip_bad else None,
            concurrency=concurrency,
        )
        write_predictions(self.transcripts(episodes).values(), self.folder / PREDICTIONS)
