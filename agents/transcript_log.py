"""`transcripts.jsonl`: a line an episode, appended when it is done, so that a killed run loses nothing finished."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proactive_env.episode import Episode, Timespan
from proactive_env.errors import InputError
from proactive_env.turn import Transcript, Turn


class TranscriptLog:
    """An append-only file of transcripts.

    A last line that a killed process left torn is not read; cut it off before appending.

    Args:
        file: The file; made when the first transcript comes.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, transcript: Transcript) -> None:
        """Add one transcript and hand it to the operating system."""
        row = {
            "question_id": transcript.episode.question_id,
            "window": transcript.window,
            "turns": [turn.model_dump(exclude_defaults=True) for turn in transcript.turns],
        }
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")

    def cut_torn_line(self) -> None:
        """Remove what follows the last line break."""
        if self.file.exists():
            content = self.file.read_bytes()
            if not content.endswith(b"\n"):
                with self.file.open("r+b") as out:
                    out.truncate(content.rfind(b"\n") + 1)

    def question_ids(self) -> set[str]:
        """The episodes that are in the file, without those of whose last row a turn failed."""
        last = {row["question_id"]: row for _, row in self._rows()}
        return {name for name, row in last.items() if not any(turn.get("failure") for turn in row["turns"])}

    def read(self, episodes: dict[str, Episode]) -> dict[str, Transcript]:
        """The transcripts of `episodes` by question id; rows of others are left out.

        Raises:
            InputError: a line is not a transcript.
        """
        transcripts = {}
        for number, row in self._rows():
            if row["question_id"] in episodes:
                try:
                    turns = tuple(Turn.model_validate(turn) for turn in row["turns"])
                except (KeyError, TypeError, ValidationError) as error:
                    raise InputError(f"{self.file}, line {number}: expected a transcript; {error}") from error
                window = Timespan(*row["window"]) if row.get("window") else None
                transcripts[row["question_id"]] = Transcript(episodes[row["question_id"]], turns, window)
        return transcripts

    def _rows(self) -> list[tuple[int, dict[str, Any]]]:
        if not self.file.exists():
            return []
        *whole, _torn = self.file.read_bytes().split(b"\n")
        rows = []
        for number, line in enumerate(whole, start=1):
            try:
                row = json.loads(line)
                row["question_id"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.file}, line {number}: expected a transcript; {error!r}") from error
            rows.append((number, row))
        return rows
