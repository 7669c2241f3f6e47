"""A rollout as a run folder: `config.yaml`, `transcripts.jsonl` as episodes finish, `predictions.jsonl` at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from proactive_env import agents
from proactive_env.agents.rollout import rollout
from proactive_env.agents.transcript_log import TranscriptLog
from proactive_env.datasets.catalog import root_of
from proactive_env.episode import Episode
from proactive_env.errors import VideoError
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.evaluate.predictions import write_predictions
from proactive_env.recipes.record import alone, read_record, record
from proactive_env.turn import Transcript

TRANSCRIPTS = "transcripts.jsonl"
PREDICTIONS = "predictions.jsonl"


class RolloutConfig(BenchmarkConfig):
    """Which episodes, who plays them, and how."""

    agent: str
    """A spec for `proactive_env.agents.load`."""
    frame_interval: float = Field(default=1.0, gt=0)
    """Seconds from one frame to the next."""
    frames_per_turn: int | None = Field(default=None, ge=1)
    """None: the benchmark's own."""
    full_video: bool = False
    """Play on after the last gold reply's span."""


class Run:
    """A folder with a rollout in it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = TranscriptLog(folder / TRANSCRIPTS)

    def config(self, data: Path | None = None) -> RolloutConfig:
        """The config that the rollout was made with; `data` says where its data set is now, if it has moved.

        Raises:
            InputError: the folder holds no run.
        """
        config = read_record(self.folder, RolloutConfig)
        return config.model_copy(update={"data": root_of(config.benchmark, data)}) if data else config

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
        on_skipped: Callable[[str], None] | None = None,
    ) -> None:
        """Play what is not played yet, then write `predictions.jsonl` in the data set's order.

        Args:
            config: Must be the folder's own if it holds results.
            concurrency: How many episodes are played at once.
            on_start: Called with the number of episodes, and of those played before.
            on_episode: Called after each episode.
            on_skipped: Called with what is wrong with a row or video, which is then left out; None: it is an error.

        Raises:
            InputError: the config changed, something that it names cannot be used, or another process plays here.
        """
        episodes = config.load(on_skipped)
        with alone(self.folder):
            record(self.folder, config, begun=self._log.file.exists())
            self._log.cut_torn_line()
            played = self._log.question_ids()
            left = [episode for episode in episodes if episode.question_id not in played]
            on_start(len(episodes), len(episodes) - len(left))
            if left:
                self._play(config, left, concurrency, on_episode, on_skipped)
            write_predictions(self.transcripts(episodes).values(), self.folder / PREDICTIONS)

    def _play(
        self,
        config: RolloutConfig,
        episodes: Sequence[Episode],
        concurrency: int,
        on_episode: Callable[[], None],
        on_skipped: Callable[[str], None] | None,
    ) -> None:
        def keep(transcript: Transcript) -> None:
            self._log.append(transcript)
            on_episode()

        def skip(_: str, error: VideoError) -> None:
            if on_skipped is None:
                raise error
            on_skipped(str(error))
            on_episode()

        with agents.load(config.agent) as agent:
            rollout(
                agent,
                episodes,
                environment={
                    "frame_interval": config.frame_interval,
                    "frames_per_turn": config.frames_per_turn,
                    "full_video": config.full_video,
                },
                on_transcript=keep,
                on_bad_video=skip,
                concurrency=concurrency,
            )
