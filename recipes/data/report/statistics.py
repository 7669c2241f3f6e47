"""A set of dialogues in numbers, by subset: the columns of MMDuet2's Table 1 and those that decide how RL goes."""

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from proactive_env.clock import Clock
from proactive_env.episode import Episode, Frozen, Timespan
from proactive_env.video import probe_duration

FRAME_INTERVAL_S = 2.0
FRAMES_PER_TURN = 2
"""Turns are counted as MMDuet2 trains: one frame every 2 s, 2 frames a turn (section 4.1)."""

_COLUMNS = {
    "videos": "videos",
    "dialogues": "dial.",
    "one_question": "1QnA",
    "several_questions": "nQnA",
    "turns": "turns",
    "replies": "replies",
    "span_seconds": "span s",
    "inside": "inside %",
    "words": "words",
}
_LEGEND = (
    "turns and replies: a dialogue, one frame every 2 s, 2 frames a turn; span: seconds a reply span;\n"
    "inside: percent of the videos' time that lies inside reply spans; words: a reply"
)


class Statistics(Frozen):
    """The dialogues of one subset; a mean over nothing is None."""

    videos: int
    dialogues: int
    one_question: int
    """Dialogues with one user turn, 1QnA."""
    several_questions: int
    """Dialogues with more, nQnA."""
    turns: float | None
    """Mean number of turns a dialogue."""
    replies: float | None
    """Mean number of gold replies a dialogue."""
    span_seconds: float | None
    """Mean length of a reply span."""
    inside: float | None
    """Share of the time of all dialogues' videos inside a reply span, percent."""
    words: float | None
    """Mean number of words a gold reply."""


def statistics(episodes: Iterable[Episode]) -> dict[str, Statistics]:
    """The statistics by subset, in order of appearance; of several subsets, all together last.

    Raises:
        VideoError: an episode has no annotated duration and its video cannot be read.
    """
    known = [one if one.duration else one.with_duration(probe_duration(one.video)) for one in episodes]
    subsets: dict[str, list[Episode]] = {}
    for episode in known:
        subsets.setdefault(episode.subset, []).append(episode)
    if len(subsets) > 1:
        subsets["all together"] = known
    return {subset: _statistics(members) for subset, members in subsets.items()}


def statistics_table(found: Mapping[str, Statistics]) -> Table:
    """A row for each subset."""
    table = Table(
        title="Dialogues", caption=_LEGEND, box=SIMPLE_HEAD, padding=0, title_justify="left", caption_justify="left"
    )
    table.add_column("subset", overflow="fold")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for subset, row in found.items():
        table.add_row(subset, *(_cell(getattr(row, name)) for name in _COLUMNS))
    return table


def _statistics(episodes: Sequence[Episode]) -> Statistics:
    gold = [reply for episode in episodes for reply in episode.gold]
    several = sum(len(episode.user_turns) > 1 for episode in episodes)
    inside = sum(_covered([reply.reply_span for reply in episode.gold]) for episode in episodes)
    seconds = sum(episode.duration or 0.0 for episode in episodes)
    return Statistics(
        videos=len({episode.video for episode in episodes}),
        dialogues=len(episodes),
        one_question=len(episodes) - several,
        several_questions=several,
        turns=_mean([_turn_count(episode) for episode in episodes]),
        replies=_mean([len(episode.gold) for episode in episodes]),
        span_seconds=_mean([reply.reply_span.end - reply.reply_span.start for reply in gold]),
        inside=100 * inside / seconds if seconds else None,
        words=_mean([len(reply.text.split()) for reply in gold]),
    )


def _turn_count(episode: Episode) -> int:
    return Clock.of(episode, frame_interval=FRAME_INTERVAL_S, frames_per_turn=FRAMES_PER_TURN).turn_count


def _covered(spans: Iterable[Timespan]) -> float:
    """Seconds inside at least one span."""
    covered = until = 0.0
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
