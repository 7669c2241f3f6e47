"""`held_out.jsonl`: the transcripts of the evaluation under way, in order of completion, a line an episode.

An evaluation plays every held-out episode once; when it is over, the recipe puts the file away under the step's number.
"""

from pathlib import Path

from filelock import FileLock

from proactive_env.agents.transcript_log import TranscriptLog
from proactive_env.turn import Transcript

HELD_OUT = "held_out.jsonl"


class HeldOutLog(TranscriptLog):
    """The file in a run's folder, to which any number of rollout workers append.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / HELD_OUT)
        self._lock = FileLock(folder / ".held_out.lock")

    def append(self, transcript: Transcript) -> None:
        """See `TranscriptLog.append`."""
        with self._lock:
            super().append(transcript)
