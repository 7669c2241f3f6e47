"""How much of what is said comes at a time when there is something to say."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from proactive_env.rewards.counts import SpansByTime
from proactive_env.rewards.formula import FormulaReward
from proactive_env.turn import Transcript, Turn


class InSpanReward(FormulaReward):
    """1 - the share of replies outside every gold span (MMDuet2, arXiv 2512.06810, section 4.3.2, r_in_span).

    Every gold span of the episode counts, scored or not. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the share of turns outside every span at which the
            agent spoke; 0 where there is no such turn.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "reply times"

    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """1 - replies out of span / replies, after each turn."""
        spans = SpansByTime(plan.episode.gold)
        replies = outside = spoken = 0
        for turn in turns:
            out = not spans.holding(turn.end)
            replies += turn.reply is not None
            outside += out
            spoken += out and turn.reply is not None
            if self.formula == "code":
                yield -spoken / outside if outside else 0.0
            else:
                yield 1.0 - spoken / replies if replies else 1.0
