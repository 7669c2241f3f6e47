"""What the sources share: a row of a file becomes a scene of a video, or an error that says where it stands."""

from collections.abc import Iterable
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
