"""Scenes as annotators made them: segments of many videos in one file."""

import csv
import io
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ValidationError

from proactive_env.datasets.rows import DatasetError, OnBadRow
from proactive_env.recipes.data.scene import Scene
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.rows import Row, read_text, scenes_of

_Reader = Callable[[Path, str], Iterator[tuple[str, Row]]]
"""A file and its text to the names of videos and their rows."""

_READING = Lock()  # threads that look for scenes read a file once in all
_PLAIN = ("video", "start", "end", "text")
_EGOEXOLEARN = ("video_uid", "start_sec", "end_sec", "narration_en")


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

    Raises:
        DatasetError: the file is in none of these formats, or a bad row that `on_bad` does not take.
    """
    file = config.annotations
    if file is None:
        return []
    try:
        changed = file.stat().st_mtime_ns
    except OSError as error:
        raise DatasetError(
            f"{file}: expected a file of annotations, found: {error.strerror}; check the path"
        ) from error
    with _READING:
        rows = _rows_by_video(file, changed, config.max_seconds)
    segments = scenes_of((row for name in _names(video) for row in rows.get(name, ())), duration, on_bad)
    return [scene.model_copy(update={"text": " ".join(scene.text.split())}) for scene in segments]


def _names(video: Path) -> list[str]:
    """What a file may call this video."""
    ends = range(len(video.parts))
    return ["/".join(path.parts[end:]) for path in (video, video.with_suffix("")) for end in ends]


@lru_cache(maxsize=1)
def _rows_by_video(file: Path, _changed: int, longest: float) -> Mapping[str, list[Row]]:
    """All rows of a file by the name of their video; read once, and again after it changed."""
    readers: dict[str, _Reader] = {
        ".csv": _csv_rows,
        ".jsonl": _jsonl_rows,
        ".json": partial(_egoexo4d_rows, longest=longest),
    }
    if file.suffix not in readers:
        raise DatasetError(f"{file}: expected annotations in {', '.join(readers)}, found {file.suffix or 'no suffix'}")
    rows: dict[str, list[Row]] = defaultdict(list)
    for video, row in readers[file.suffix](file, read_text(file)):
        rows[video].append(row)
    return dict(rows)


def _csv_rows(file: Path, text: str) -> Iterator[tuple[str, Row]]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        found = table.fieldnames or []
        columns = next((columns for columns in (_PLAIN, _EGOEXOLEARN) if set(columns) <= set(found)), None)
        if columns is None:
            expected = " or ".join(map(",".join, (_PLAIN, _EGOEXOLEARN)))
            raise DatasetError(f"{file}, line 1: expected the columns {expected}, found {','.join(found) or 'none'}")
        for cells in table:
            video, start, end, said = (cells[column] for column in columns)
            yield video, Row(f"{file}, line {table.line_num}", start, end, said)
    except csv.Error as error:
        raise DatasetError(f"{file}, line {table.line_num + 1}: expected cells of CSV, found: {error}") from error


class _Segment(BaseModel):
    video: str
    start: Any = None
    end: Any = None
    text: Any = None


def _jsonl_rows(file: Path, text: str) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            try:
                segment = _Segment.model_validate_json(line)
            except ValidationError as error:
                raise DatasetError(f"{where}: expected an object with the keys {', '.join(_PLAIN)}; {error}") from error
            yield segment.video, Row(where, segment.start, segment.end, segment.text)


class _Description(BaseModel):
    timestamp: float | None = None
    text: str | None = None


class _Annotator(BaseModel):
    rejected: bool = False
    descriptions: list[_Description]


class _AtomicDescriptions(BaseModel):
    annotations: dict[str, list[_Annotator]]


def _egoexo4d_rows(file: Path, text: str, longest: float) -> Iterator[tuple[str, Row]]:
    try:
        takes = _AtomicDescriptions.model_validate_json(text).annotations
    except ValidationError as error:
        raise DatasetError(f"{file}: expected Ego-Exo4D's atomic descriptions; {error}") from error
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
