"""Which replies repeat, and which lie in a span: shared by the rewards and by the benchmark's scores."""

from collections.abc import Callable, Collection, Sequence

from proactive_env.episode import GoldReply
from proactive_env.turn import Transcript

Repeats = Callable[[Sequence[str], str], bool | None]
"""`Judge.repeats`, or anything like it."""


def in_some_span(time: float, gold: Sequence[GoldReply]) -> bool:
    """Whether `time` (seconds) lies in the reply span of any gold reply."""
    return any(reply.reply_span.contains(time) for reply in gold)


class SpansByTime:
    """Which gold replies' spans hold a time, asked in ascending order: a span costs time only while it lasts."""

    def __init__(self, gold: Sequence[GoldReply]) -> None:
        self._spans = [reply.reply_span for reply in gold]
        self._later = sorted(range(len(gold)), key=lambda place: self._spans[place].start, reverse=True)
        self._now: list[int] = []
        self.begun: list[int] = []
        """The places of those that began at the last time asked about, or before."""

    def holding(self, time: float) -> list[int]:
        """The places of the gold replies whose spans hold `time` (seconds), ends included."""
        while self._later and self._spans[self._later[-1]].start <= time:
            self.begun.append(self._later.pop())
            self._now.append(self.begun[-1])
        self._now = [place for place in self._now if time <= self._spans[place].end]
        return self._now


def later_in_span(times: Sequence[float], gold: Sequence[GoldReply]) -> list[bool]:
    """For each reply time, ascending: it lies in a span, and is the first reply in none."""
    inside = [[index for index, time in enumerate(times) if reply.reply_span.contains(time)] for reply in gold]
    firsts = {indices[0] for indices in inside if indices}
    return [in_some_span(time, gold) and index not in firsts for index, time in enumerate(times)]


def is_repeat(reply: str, earlier: Collection[str], repeats: Repeats) -> bool | None:
    """Whether all of a reply was said earlier; None if the judge's answer cannot be used.

    The same text again counts without asking `repeats`; with nothing said earlier there is nothing to ask. `earlier`
    holds each text once: what was said twice asks no other question.
    """
    if not earlier:
        return False
    return reply in earlier or repeats(tuple(earlier), reply)


def repeated(transcript: Transcript, repeats: Repeats) -> list[bool | None]:
    """For each reply: was all of it said earlier, in the history or in the window? See `is_repeat`."""
    said, flags = dict.fromkeys(transcript.earlier_replies), []
    for turn in transcript.replies:
        flags.append(is_repeat(turn.reply or "", said, repeats))
        said[turn.reply or ""] = None
    return flags


def episode_counts(transcript: Transcript) -> dict[str, int]:
    """What `info["proactive_episode"]["counts"]` starts from: `repeated` counts equal texts only."""
    replies, spans = transcript.replies, SpansByTime(transcript.episode.gold)
    new = {turn.reply for turn in replies}.difference(transcript.earlier_replies)
    return {
        "turns": len(transcript.turns),
        "replies": len(replies),
        "out_of_span": sum(not spans.holding(turn.end) for turn in replies),
        "repeated": len(replies) - len(new),
        "judge_failures": 0,
    }
