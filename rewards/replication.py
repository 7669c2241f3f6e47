"""How little is said twice."""

from typing import Any, ClassVar

from proactive_env.rewards.counts import later_in_span, repeated
from proactive_env.rewards.formula import FormulaReward
from proactive_env.rewards.judged import JudgedReward
from proactive_env.turn import Transcript


class ReplicationReward(FormulaReward, JudgedReward):
    """1 - the share of replies that only repeat earlier ones (MMDuet2, arXiv 2512.06810, section 4.3.2, r_rep).

    Earlier replies are those of the history too. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the share, in which a reply that is in a span but
            is the first in none counts twice; 0 with no replies.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "replies, against earlier ones"

    def score(self, transcript: Transcript) -> float:
        """1 - repeated / replies."""
        flags = repeated(transcript, self.judge.repeats)
        shares = [1] * len(flags)
        if self.formula == "code":
            later = later_in_span([turn.end for turn in transcript.replies], transcript.episode.gold)
            shares = [2 if twice else 1 for twice in later]
        counted = [(share, flag) for share, flag in zip(shares, flags, strict=True) if flag is not None]
        total = sum(share for share, _ in counted)
        fraction = sum(share for share, flag in counted if flag) / total if total else 0.0
        return 1.0 - fraction if self.formula == "paper" else -fraction

    def _record(self, episode: dict[str, Any]) -> None:
        super()._record(episode)
        if episode["valid"]:
            episode["counts"]["repeated"] = sum(map(bool, repeated(self._transcript(), self.judge.repeats)))
