"""Scenes as annotators made them: segments of many videos in one file."""

import csv
import io
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from proactive_env.datasets.rows import OnBadRow, read_text
from proactive_env.errors import DatasetError
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.rows import Row, problems, scenes_of
from proactive_env.recipes.data.scenes.scene import Scene

_Reader = Callable[[Path, str, OnBadRow], Iterator[tuple[str, Row]]]
"""A file and its text to the names of videos and their rows; what cannot be read as a row goes to the callback."""

_READING = Lock()  # threads that look for scenes read a file once in all
_PLAIN = ("video", "start", "end", "text")
_EGOEXOLEARN = ("video_uid", "start_sec", "end_sec", "narration_en")


class _Table(NamedTuple):
    rows: Mapping[str, Sequence[Row]]
    """By what they call their video."""
    bad: Sequence[DatasetError]
    """One for each row that cannot be read, so that its video is not known."""


def read(video: Path, duration: float, config: SceneConfig, on_bad: OnBadRow) -> list[Scene]:
    """The segments of a video in `config.annotations`.

    The file is one of

    - a plain `.csv` with the columns `video,start,end,text`, or `.jsonl` with objects of these keys;
    - EgoExoLearn's `fine_annotation_trainval_en.csv`: columns `video_uid,start_sec,end_sec,narration_en`;
    - Ego-Exo4D's atomic descriptions, `.json`: `{"annotations": {take_uid: [{"rejected": false, "descriptions":
      [{"timestamp": 0.04, "text": "..."}]}]}}`. Of several annotators of a take the first that is not rejected counts.
      A description has one moment only: it lasts until the next one, `max_seconds` at most.

    Times are seconds; further columns and keys are allowed. A video is named by its file name, with or without its
    suffix, or by the end of its path (`folder/clip.mp4`).

    A row that cannot be read tells no video: `check` finds it.

    Raises:
        DatasetError: the file is in none of these formats, or a bad row that `on_bad` does not take.
    """
    if config.annotations is None:
        return []
    rows = _read(config.annotations, config).rows
    segments = scenes_of((row for name in _names(video) for row in rows.get(name, ())), duration, on_bad)
    return [scene.model_copy(update={"text": " ".join(scene.text.split())}) for scene in segments]


def check(config: SceneConfig, videos: Sequence[Path]) -> dict[str, list[str]]:
    """Check `config.annotations`, if there are any, before the videos are cut.

    Args:
        config: Names the file.
        videos: All videos that it may be about.

    Returns:
        The rows that belong to no video, by what is wrong with them: a message for each.

    Raises:
        DatasetError: the file cannot be read, is in none of the formats of `read`, names none of the videos, or calls
            several of them by one name.
    """
    file = config.annotations
    if file is None:
        return {}
    called: dict[str, list[Path]] = defaultdict(list)
    for video in videos:
        for name in dict.fromkeys(_names(video)):
            called[name].append(video)
    rows, bad = _read(file, config)
    for name in rows.keys() & called.keys():
        if len(called[name]) > 1:
            one, other, *_ = called[name]
            raise DatasetError(
                f"{rows[name][0].where}: {name!r} may be {one} or {other}; write more of the path, or all of it"
            )
    strays = [f"{row.where}: there is no video {name!r}" for name in rows if name not in called for row in rows[name]]
    if not rows.keys() & called.keys():
        found = next(iter([*map(str, bad), *strays]), "no row")
        raise DatasetError(
            f"{file}: expected rows that name one of the {len(videos)} videos by its file, found: {found}"
        )
    left_out = {"row that cannot be read": [str(error) for error in bad], "row of no video": strays}
    return {reason: messages for reason, messages in left_out.items() if messages}


def _names(video: Path) -> list[str]:
    """What a file may call this video, its whole path first."""
    paths = (video, video.with_suffix(""))
    tails = ("/".join(path.parts[end:]) for path in paths for end in range(1, len(video.parts)))
    return [video.as_posix(), *tails]


def _read(file: Path, config: SceneConfig) -> _Table:
    try:
        changed = file.stat().st_mtime_ns
    except OSError as error:
        raise DatasetError(
            f"{file}: expected a file of annotations, found: {error.strerror}; check the path"
        ) from error
    with _READING:
        return _table(file, changed, config.max_seconds)


@lru_cache(maxsize=1)
def _table(file: Path, _changed: int, longest: float) -> _Table:
    """All rows of a file; read once, and again after it changed."""
    readers: dict[str, _Reader] = {
        ".csv": _csv_rows,
        ".jsonl": _jsonl_rows,
        ".json": partial(_egoexo4d_rows, longest=longest),
    }
    if file.suffix not in readers:
        raise DatasetError(f"{file}: expected annotations in {', '.join(readers)}, found {file.suffix or 'no suffix'}")
    rows: dict[str, list[Row]] = defaultdict(list)
    bad: list[DatasetError] = []
    for video, row in readers[file.suffix](file, read_text(file), bad.append):
        rows[video].append(row)
    return _Table(dict(rows), bad)


def _csv_rows(file: Path, text: str, on_bad: OnBadRow) -> Iterator[tuple[str, Row]]:
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(table, [])
    except csv.Error as error:
        raise DatasetError(f"{file}, line 1: expected the names of columns, found: {error}") from error
    columns = next((columns for columns in (_PLAIN, _EGOEXOLEARN) if set(columns) <= set(header)), None)
    if columns is None:
        expected = " or ".join(map(",".join, (_PLAIN, _EGOEXOLEARN)))
        raise DatasetError(f"{file}, line 1: expected the columns {expected}, found {','.join(header) or 'none'}")
    places = [header.index(column) for column in columns]
    while True:
        first = table.line_num + 1
        try:
            cells = next(table, None)
        except csv.Error as error:
            lines = f"line {first}" if table.line_num == first else f"lines {first} to {table.line_num}"
            on_bad(DatasetError(f"{file}, {lines}: expected cells of CSV, found: {error}"))
            continue
        if cells is None:
            return
        where = f"{file}, line {table.line_num}"
        if len(cells) == len(header):
            video, start, end, said = (cells[place] for place in places)
            yield video, Row(where, start, end, said)
        elif cells:
            on_bad(DatasetError(f"{where}: expected {len(header)} cells, found {len(cells)}; quote texts with commas"))


class _Segment(BaseModel):
    video: str
    start: Any = None
    end: Any = None
    text: Any = None


def _jsonl_rows(file: Path, text: str, on_bad: OnBadRow) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            try:
                segment = _Segment.model_validate_json(line)
            except ValidationError as error:
                expected = f"expected an object with the keys {', '.join(_PLAIN)}"
                on_bad(DatasetError(f"{where}: {expected}, found: {problems(error)}"))
                continue
            yield segment.video, Row(where, segment.start, segment.end, segment.text)


class _Description(BaseModel):
    timestamp: float | None = None
    text: str | None = None


class _Annotator(BaseModel):
    rejected: bool = False
    descriptions: list[_Description]


class _AtomicDescriptions(BaseModel):
    annotations: dict[str, list[_Annotator]]


def _egoexo4d_rows(file: Path, text: str, _on_bad: OnBadRow, longest: float) -> Iterator[tuple[str, Row]]:
    try:
        takes = _AtomicDescriptions.model_validate_json(text).annotations
    except ValidationError as error:
        raise DatasetError(f"{file}: expected Ego-Exo4D's atomic descriptions, found: {problems(error)}") from error
    for take, annotators in takes.items():
        accepted = (annotator.descriptions for annotator in annotators if not annotator.rejected)
        descriptions = next(accepted, [])
        times = sorted(one.timestamp for one in descriptions if one.timestamp is not None)
        for number, one in enumerate(descriptions, start=1):
            end = None if one.timestamp is None else _end(one.timestamp, times, longest)
            yield take, Row(f"{file}, take {take}, description {number}", one.timestamp, end, one.text)


def _end(timestamp: float, times: list[float], longest: float) -> float:
    following = bisect_right(times, timestamp)
    return min(times[following] if following < len(times) else math.inf, timestamp + longest)
