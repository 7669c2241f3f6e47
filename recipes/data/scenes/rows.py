"""What the sources share: a row of a file becomes a scene of a video, or an error that says where it stands."""

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from proactive_env.datasets.rows import OnBadRow
from proactive_env.errors import DatasetError
from proactive_env.recipes.data.scenes.scene import Scene


class Row(NamedTuple):
    """A scene as a file has it, unchecked; times in seconds."""

    where: str
    """File and line, for errors."""
    start: Any
    end: Any
    text: Any


def scenes_of(rows: Iterable[Row], duration: float, on_bad: OnBadRow) -> list[Scene]:
    """The scenes of all rows that run forward and start inside the video; `on_bad` gets the others.

    Args:
        rows: In any order.
        duration: Length of the video in seconds.
        on_bad: Called with the error of each row that is left out.
    """
    scenes = []
    for row in rows:
        try:
            scene = Scene(start=row.start, end=row.end, text=row.text)
        except ValidationError as error:
            on_bad(DatasetError(f"{row.where}: {problems(error)}"))
            continue
        if scene.start < duration:
            scenes.append(scene)
        else:
            on_bad(
                DatasetError(f"{row.where}: expected a start before the video's end, {duration:g} s, found {row.start}")
            )
    return scenes


def problems(error: ValidationError) -> str:
    """What is wrong with which field, in one line."""
    return "; ".join(" ".join([*map(str, item["loc"]), item["msg"]]) for item in error.errors())


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
