"""MMDuet's test format (arXiv 2411.17991), as its MAGQA benchmark uses it; videos lie in `videos/` beside the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from proactive_env.datasets.base import Dataset
from proactive_env.datasets.rows import (
    OnBadRow,
    annotation_file,
    build,
    inside,
    newest_question,
    read_json_list,
)
from proactive_env.episode import Episode, GoldReply, Span, UserTurn


class _Message(BaseModel):
    role: str
    content: str
    time: float


class _Answer(BaseModel):
    content: str = Field(min_length=1)
    time: Span


class _Row(BaseModel):
    question_id: str
    video: str
    conversation: list[_Message] = Field(min_length=1)
    answer: list[_Answer]


class Magqa(Dataset):
    """MMDuet's MAGQA: the annotation file, or a folder that holds it alone."""

    def read(self, root: Path, subset: str | None, on_bad: OnBadRow) -> tuple[Episode, ...]:
        """See `Dataset.read`."""
        file = annotation_file(root, ".json")

        def convert(row: Any) -> Iterator[Episode]:
            yield _episode(_Row.model_validate(row), file.parent / "videos")

        return build(file, read_json_list(file), convert, on_bad)


def _episode(row: _Row, videos: Path) -> Episode:
    asked = tuple(UserTurn(time=item.time, text=item.content) for item in row.conversation if item.role == "user")
    if not asked:
        raise ValueError("expected a user message in 'conversation', found none")
    return Episode(
        question_id=row.question_id,
        video=inside(videos, row.video),
        user_turns=asked,
        gold=tuple(
            GoldReply(
                text=answer.content,
                question=newest_question(asked, answer.time.start),
                reply_span=answer.time,
                related_span=answer.time,
            )
            for answer in row.answer
        ),
        subset="MAGQA",
    )
