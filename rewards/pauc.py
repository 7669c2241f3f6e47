"""How well and how early the gold replies were given: the area under the curve of reply quality over time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Unpack

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.episode import GoldReply
from proactive_env.errors import InputError
from proactive_env.rewards.counts import SpansByTime
from proactive_env.rewards.formula import JudgedFormulaReward, JudgedOptions
from proactive_env.turn import Transcript, Turn


def pauc(
    points: Sequence[tuple[float, float]],
    span: tuple[float, float],
    *,
    max_score: float,
    start_score: float = 0.5,
    omega: float = 0.5,
) -> float:
    """PAUC of one gold span (ProactiveVideoQA, arXiv 2507.09313): the area under a step curve over the span, in 0..1.

    With replies at tau_1 < ... < tau_P in the span [ts, te] and tau' = ts + (1 - omega) (tau - ts),
    ((tau'_1 - ts) * start_score + sum_{p<P} (tau'_{p+1} - tau'_p) s_p + (te - tau'_P) s_P) / ((te - ts) * max_score).

    Args:
        points: (time in seconds, score in 0..`max_score`) of each reply in the span.
        span: (ts, te), seconds.
        max_score: The judge's top score S.
        start_score: The curve's height before the first reply.
        omega: 0: the time of each reply counts in full; 1: only the last score counts.

    Raises:
        ValueError: the span is empty, or a point lies outside it or above `max_score`.

    Example:
        >>> points = [(312, 0), (328, 1), (344, 2), (352, 2)]
        >>> [round(pauc(points, (311, 360), max_score=2, omega=omega), 4) for omega in (0, 0.5, 1)]
        [0.4949, 0.7474, 1.0]
    """
    start, end = span
    if not start < end:
        raise ValueError(f"expected a span with start < end, found {span}")
    if wrong := [point for point in points if not (start <= point[0] <= end and 0 <= point[1] <= max_score)]:
        raise ValueError(f"expected points (time, score) inside {span} with scores in 0..{max_score}, found {wrong}")
    steps = [(start, start_score)]
    steps += [(start + (1 - omega) * (time - start), score) for time, score in sorted(points, key=lambda p: p[0])]
    area = sum((after - time) * score for (time, score), (after, _) in pairwise([*steps, (end, 0.0)]))
    return area / ((end - start) * max_score)


class PaucReward(JudgedFormulaReward):
    """Mean PAUC of the gold spans, each reply judged alone (MMDuet2, arXiv 2512.06810, section 4.3.2, r_pauc).

    A reply counts in every scored span that holds it, ends included. Without a scored span the score is 0.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code, which leaves out spans that start after the last turn
            played and replies in the words of an earlier one of their span, and which knows one level a reply: that of
            the last span that holds it.
        levels: The judge's levels; its top score is `levels` - 1.
        omega: See `pauc`.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "scored gold spans"

    def __init__(
        self,
        env: gym.Env[Observation, str],
        weight: float = 1.0,
        name: str | None = None,
        *,
        levels: int = 5,
        omega: float = 0.5,
        **options: Unpack[JudgedOptions],
    ) -> None:
        super().__init__(env, weight, name, **options)
        if levels < 2 or not 0 <= omega <= 1:
            raise InputError(f"expected levels >= 2 and omega in 0..1, found {levels=} and {omega=}")
        self.levels = levels
        self.omega = omega

    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """Mean over the scored spans, after each turn."""
        scored, spans = plan.scored, SpansByTime(plan.scored)
        curves = [_Curve(gold.reply_span, self.levels - 1, self.omega) for gold in scored]
        total, counted = sum(curve.pauc for curve in curves), len(curves)
        if self.formula == "code":
            total, counted = 0.0, 0
        for turn in turns:
            holding = spans.holding(turn.end)
            while counted < len(spans.begun):
                total += curves[spans.begun[counted]].pauc
                counted += 1
            if turn.reply is not None:
                for curve, level in self._judged(
                    turn.reply, [(scored[place], curves[place]) for place in sorted(holding)]
                ):
                    total -= curve.pauc
                    curve.add(turn.end, level)
                    total += curve.pauc
            yield total / counted if counted else 0.0

    def _judged(self, reply: str, spans: "list[tuple[GoldReply, _Curve]]") -> "list[tuple[_Curve, int]]":
        """The curves that a reply changes, and its level in each."""
        if self.formula == "code":
            spans = [(gold, curve) for gold, curve in spans if reply not in curve.said]
        levels = [self.judge.coverage(gold.question, gold.text, reply, self.levels) for gold, _ in spans]
        usable = [level for level in levels if level is not None]
        if self.formula == "code" and usable:
            levels = [usable[-1]] * len(levels)
        for _, curve in spans:
            curve.said.add(reply)
        return [(curve, level) for (_, curve), level in zip(spans, levels, strict=True) if level is not None]


class _Curve:
    """`pauc` of a span whose replies come one after the other."""

    def __init__(self, span: tuple[float, float], max_score: float, omega: float, start_score: float = 0.5) -> None:
        self.start, self._end = span
        self._max_score = max_score
        self._omega = omega
        self.said = set[str]()
        self._area = 0.0  # of what is over
        self._since, self._height = self.start, start_score

    def add(self, time: float, score: float) -> None:
        """A reply, not earlier than the one before.

        Raises:
            ValueError: the score is not in 0..`max_score`.
        """
        if not 0 <= score <= self._max_score:
            raise ValueError(f"expected a judge's level in 0..{self._max_score}, found {score}")
        shifted = self.start + (1 - self._omega) * (time - self.start)
        self._area += (shifted - self._since) * self._height
        self._since, self._height = shifted, score

    @property
    def pauc(self) -> float:
        """The area up to now, and the rest of the span at the height of now."""
        area = self._area + (self._end - self._since) * self._height
        return area / ((self._end - self.start) * self._max_score)
