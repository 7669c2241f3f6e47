"""StreamingBench's Proactive Output: one episode a question, played from the question to 4 s after the gold time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from proactive_env.datasets.base import Dataset
from proactive_env.datasets.rows import OnBadRow, annotation_file, build, inside, read_json_list
from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn

TOLERANCE_S = 2.0
"""A reply counts when it comes within this many seconds of the gold time."""
PLAYED_AFTER_S = 4.0
"""The clip ends this many seconds after the gold time."""


def _seconds(stamp: Any) -> float:
    try:
        hours, minutes, seconds = str(stamp).split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        raise ValueError(f"expected a time as HH:MM:SS, found {stamp!r}") from None


_Stamp = Annotated[float, BeforeValidator(_seconds)]


class _Question(BaseModel):
    question: str
    time_stamp: _Stamp
    ground_truth_time_stamp: _Stamp
    ground_truth_output: str = Field(min_length=1)


class _Row(BaseModel):
    video_path: str
    questions: list[_Question]


class StreamingBenchPO(Dataset):
    """StreamingBench's Proactive Output: the annotation file, or the folder that holds it alone and the videos."""

    def read(self, root: Path, subset: str | None, on_bad: OnBadRow) -> tuple[Episode, ...]:
        """See `Dataset.read`."""
        file = annotation_file(root, ".json")

        def convert(row: Any) -> Iterator[Episode]:
            entry = _Row.model_validate(row)
            for number, question in enumerate(entry.questions):
                yield _episode(f"{entry.video_path}#{number}", inside(file.parent, entry.video_path), question)

        return build(file, read_json_list(file), convert, on_bad)


def _episode(question_id: str, video: Path, question: _Question) -> Episode:
    asked, due = question.time_stamp, question.ground_truth_time_stamp
    span = Timespan(max(0.0, due - TOLERANCE_S), due + TOLERANCE_S)
    return Episode(
        question_id=question_id,
        video=video,
        user_turns=(UserTurn(time=asked, text=question.question),),
        gold=(
            GoldReply(
                text=question.ground_truth_output, question=question.question, reply_span=span, related_span=span
            ),
        ),
        subset="PO",
        frames_per_turn=1,
        play=Timespan(asked, due + PLAYED_AFTER_S),
    )
