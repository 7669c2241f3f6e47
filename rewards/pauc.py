"""How well and how early the gold replies were given: the area under the curve of reply quality over time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.errors import InputError
from proactive_env.rewards.formula import FormulaReward
from proactive_env.rewards.judged import JudgedReward
from proactive_env.turn import Transcript


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


class PaucReward(FormulaReward, JudgedReward):
    """Mean PAUC of the gold spans, each reply judged alone (MMDuet2, arXiv 2512.06810, section 4.3.2, r_pauc).

    A reply counts in every scored span that holds it, ends included. Without a scored span the score is 0.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code, which leaves out spans that start after the last turn
            played.
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
        **options: Any,
    ) -> None:
        super().__init__(env, weight, name, **options)
        if levels < 2 or not 0 <= omega <= 1:
            raise InputError(f"expected levels >= 2 and omega in 0..1, found {levels=} and {omega=}")
        self.levels = levels
        self.omega = omega

    def score(self, transcript: Transcript) -> float:
        """Mean over the scored spans."""
        scored = transcript.scored
        if self.formula == "code":
            scored = tuple(gold for gold in scored if gold.reply_span.start <= transcript.turns[-1].end)
        areas = []
        for gold in scored:
            levels = [
                (turn.end, self.judge.coverage(gold.question, gold.text, turn.reply or "", self.levels))
                for turn in transcript.replies
                if gold.reply_span.contains(turn.end)
            ]
            points = [(time, level) for time, level in levels if level is not None]
            areas.append(pauc(points, gold.reply_span, max_score=self.levels - 1, omega=self.omega))
        return sum(areas) / len(areas) if areas else 0.0
