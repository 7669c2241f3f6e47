"""What every loader shares: a bad row is an error that names file, row and field, or is reported and left out."""

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from os.path import normpath
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from proactive_env.episode import Episode, UserTurn
from proactive_env.errors import DatasetError

OnBadRow = Callable[[DatasetError], None]
"""Called with the error of each bad row; the row is then left out."""


def raise_bad_row(error: DatasetError) -> None:
    """The default `OnBadRow`: the first bad row ends the loading."""
    raise error


def read_text(file: Path) -> str:
    """The content of a text file with plain line breaks: UTF-8, or UTF-16 if its byte order mark says so.

    Raises:
        DatasetError: it cannot be read or is in another encoding.
    """
    try:
        content = file.read_bytes()
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DatasetError(f"{file}: expected a file that can be read, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{file}, line {line}: expected {error.encoding.upper()}, found byte 0x{content[error.start]:02x}; convert "
            "the file to UTF-8"
        ) from error


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DatasetError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file}: expected a readable JSON file; {error}") from error


def read_json_list(file: Path) -> list[Any]:
    """The rows of a JSON file that holds a list.

    Raises:
        DatasetError: it cannot be read, is not JSON or is no list.
    """
    rows = read_json(file)
    if not isinstance(rows, list):
        raise DatasetError(f"{file}: expected a list of rows, found {type(rows).__name__}")
    return rows


def annotation_file(root: Path, suffix: str) -> Path:
    """`root` itself if it is a file, else the one file in it that ends with `suffix`.

    Raises:
        DatasetError: there is none, or more than one.
    """
    if root.is_file():
        return root
    files = sorted(root.glob(f"*{suffix}"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DatasetError(f"{root}: expected one {suffix} file, or the path of one, found {found}")
    return files[0]


def inside(folder: Path, path: str) -> Path:
    """`path` below `folder`; links that stand there are followed, as their owner means them to be.

    Raises:
        ValueError: `path` leaves the folder.
    """
    if PurePath(path).is_absolute() or normpath(path).split("/")[0] == ".." or "\0" in path:
        raise ValueError(f"a path must stay inside the data folder {folder}, found {path!r}")
    return folder / path


def newest_question(user_turns: Sequence[UserTurn], time: float) -> str:
    """The last user text due by `time` seconds, or the first of all."""
    due = [turn for turn in user_turns if turn.time <= time]
    return max(due, key=lambda turn: turn.time).text if due else user_turns[0].text


def build(
    file: Path, rows: Iterable[Any], convert: Callable[[Any], Iterable[Episode]], on_bad: OnBadRow
) -> tuple[Episode, ...]:
    """The episodes of all good rows, in order; rows count from 1."""
    episodes: dict[str, Episode] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{file}, row {number}"
        try:
            for episode in convert(row):
                if episode.question_id in episodes:
                    raise ValueError(f"question_id {episode.question_id!r} stands twice")
                episodes[episode.question_id] = episode
        except ValidationError as error:
            on_bad(DatasetError("\n".join(f"{where}, field {_field(item)}: {item['msg']}" for item in error.errors())))
        except ValueError as error:
            on_bad(DatasetError(f"{where}: {error}"))
    return tuple(episodes.values())


def _field(error: Any) -> str:
    return ".".join(map(str, error["loc"])) or "(row)"
