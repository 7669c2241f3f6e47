"""A stage's file: a line a video, appended when it is done, and put in order at the end: its bytes tell no history."""

from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from proactive_env.errors import InputError
from proactive_env.recipes.data.construct.lines import Line

AnyLine = TypeVar("AnyLine", bound=Line)


class StageFile(Generic[AnyLine]):
    """Lines by video.

    Args:
        file: The JSON-lines file; made when the first line comes.
        line: What its lines are.

    Raises:
        InputError: a line is something else (by `read` and `finish`).
    """

    def __init__(self, file: Path, line: type[AnyLine]) -> None:
        self.file = file
        self._line = line

    def read(self) -> dict[str, AnyLine]:
        """The lines so far; a last one that a killed process left torn is cut off."""
        if not self.file.exists():
            return {}
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            with self.file.open("r+b") as out:
                out.truncate(len(whole))
        lines = {}
        for number, text in enumerate(whole.splitlines(), start=1):
            try:
                line = self._line.model_validate_json(text)
            except ValidationError as error:
                raise InputError(f"{self.file}, line {number}: expected {self._line.__name__}; {error}") from error
            lines[line.video] = line
        return lines

    def append(self, line: AnyLine) -> None:
        """Add a line and hand it to the operating system."""
        with self.file.open("ab") as out:
            out.write(_encoded(line))

    def finish(self, videos: Iterable[str]) -> list[AnyLine]:
        """Bring the lines into the order of `videos`, the file at once; returns them."""
        found = self.read()
        lines = [found[video] for video in videos]
        partial = self.file.with_suffix(".partial")
        partial.write_bytes(b"".join(map(_encoded, lines)))
        partial.replace(self.file)
        return lines


def _encoded(line: Line) -> bytes:
    return line.model_dump_json(exclude_defaults=True).encode() + b"\n"
