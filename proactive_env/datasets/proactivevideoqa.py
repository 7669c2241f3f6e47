"""ProactiveVideoQA (arXiv 2507.09313) as its authors publish it: `<SUBSET>/anno.json` beside `<SUBSET>/videos/`."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from proactive_env.datasets.base import Dataset
from proactive_env.datasets.rows import OnBadRow, build, inside, read_json_list
from proactive_env.episode import Episode, GoldReply, Span, UserTurn
from proactive_env.errors import DatasetError
from proactive_env.plugin import did_you_mean

SUBSETS = ("WEB", "EGO", "TV", "VAD")
ROOT_VARIABLE = "PROACTIVEVIDEOQA_ROOT"
"""The environment variable that names the folder when none is given."""


class _Message(BaseModel):
    content: str
    time: float


class _Answer(BaseModel):
    content: str = Field(min_length=1)
    related_timespan: Span
    reply_timespan: Span


class _Row(BaseModel):
    question_id: str
    video: str
    duration: float
    conversation: list[_Message] = Field(min_length=1)
    answer: list[_Answer]


class ProactiveVideoQA(Dataset):
    """ProactiveVideoQA's folder, or some of its subsets in it."""

    has_subsets = True
    root_variable = ROOT_VARIABLE
    hint = "`proactive data fetch proactivevideoqa` downloads it"

    def read(self, root: Path, subset: str | None, on_bad: OnBadRow) -> tuple[Episode, ...]:
        """See `Dataset.read`."""
        if subset is not None and subset not in SUBSETS:
            raise DatasetError(f"ProactiveVideoQA has no subset {subset!r}{did_you_mean(subset, SUBSETS)}")
        present = [name for name in SUBSETS if (root / name / "anno.json").is_file()]
        wanted = present if subset is None else [subset]
        if not wanted or not set(wanted) <= set(present):
            raise DatasetError(
                f"{root}: expected {subset or '<SUBSET>'}/anno.json and {subset or '<SUBSET>'}/videos/ "
                f"(subsets {', '.join(SUBSETS)}), found {', '.join(present) or 'none of them'}"
            )
        episodes = tuple(episode for name in wanted for episode in _load_subset(root / name, on_bad))
        counts = Counter(episode.question_id for episode in episodes)
        if twice := [question_id for question_id, count in counts.items() if count > 1]:
            raise DatasetError(
                f"{root}: question_id {twice[0]!r} stands in two subsets; load them one by one (subset=)"
            )
        return episodes


def _load_subset(folder: Path, on_bad: OnBadRow) -> tuple[Episode, ...]:
    def convert(row: Any) -> Iterator[Episode]:
        yield _episode(_Row.model_validate(row), folder)

    file = folder / "anno.json"
    return build(file, read_json_list(file), convert, on_bad)


def _episode(row: _Row, folder: Path) -> Episode:
    question = row.conversation[0].content
    return Episode(
        question_id=row.question_id,
        video=inside(folder / "videos", row.video),
        duration=row.duration,
        user_turns=tuple(UserTurn(time=message.time, text=message.content) for message in row.conversation),
        gold=tuple(
            GoldReply(
                text=answer.content,
                question=question,
                reply_span=answer.reply_timespan,
                related_span=answer.related_timespan,
            )
            for answer in row.answer
        ),
        subset=folder.name,
        frames_per_turn=1 if folder.name == "WEB" else 2,
    )
