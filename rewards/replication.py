"""How little is said twice."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from proactive_env.rewards.counts import SpansByTime, is_repeat, repeated
from proactive_env.rewards.formula import JudgedFormulaReward
from proactive_env.turn import Transcript, Turn


class ReplicationReward(JudgedFormulaReward):
    """1 - the share of replies that only repeat earlier ones (MMDuet2, arXiv 2512.06810, section 4.3.2, r_rep).

    Earlier replies are those of the history too. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the share, in which a reply in new words counts
            once more for each span in which it is not the first; 0 with no replies.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "replies, against earlier ones"

    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """1 - repeated / replies, after each turn."""
        said, spans = dict.fromkeys(plan.earlier_replies), SpansByTime(plan.episode.gold)
        answered = set[int]()
        total = again = 0
        for turn in turns:
            if turn.reply is not None:
                inside = set(spans.holding(turn.end))
                again_in = inside & answered if self.formula == "code" and turn.reply not in said else ()
                share = 1 + len(again_in)
                flag = is_repeat(turn.reply, said, self.judge.repeats)
                if flag is not None:
                    total += share
                    again += share * flag
                answered |= inside
                said[turn.reply] = None
            fraction = again / total if total else 0.0
            yield 1.0 - fraction if self.formula == "paper" else -fraction

    def _record(self, episode: dict[str, Any]) -> None:
        super()._record(episode)
        if episode["valid"]:
            episode["counts"]["repeated"] = sum(map(bool, repeated(self._transcript(), self.judge.repeats)))
