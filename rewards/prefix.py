"""How few replies begin like an earlier one, which a judge of content may not mind."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from proactive_env.rewards.formula import FormulaReward
from proactive_env.turn import Transcript, Turn

THRESHOLD_CHARACTERS = 50


class PrefixReward(FormulaReward):
    """1 - the share of replies that start like an earlier one (MMDuet2, arXiv 2512.06810, section 4.3.2, r_pfx).

    A reply counts if its longest common prefix with an earlier reply, the history's included, is longer than 50
    characters. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the replies that share 50 characters or more, over
            all turns, silent ones included.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "replies, against earlier ones"

    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """1 - replies with a long common prefix / replies, after each turn."""
        alike_from = THRESHOLD_CHARACTERS + (self.formula == "paper")
        beginnings = {text[:alike_from] for text in plan.earlier_replies}
        replies = alike = 0
        for played, turn in enumerate(turns, start=1):
            if turn.reply is not None:
                beginning = turn.reply[:alike_from]
                replies += 1
                alike += len(beginning) == alike_from and beginning in beginnings
                beginnings.add(beginning)
            if self.formula == "code":
                yield -alike / played
            else:
                yield 1.0 - alike / replies if replies else 1.0
