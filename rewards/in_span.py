"""How much of what is said comes at a time when there is something to say."""

from typing import ClassVar

from proactive_env.rewards.counts import in_some_span
from proactive_env.rewards.formula import FormulaReward
from proactive_env.turn import Transcript


class InSpanReward(FormulaReward):
    """1 - the share of replies outside every gold span (MMDuet2, arXiv 2512.06810, section 4.3.2, r_in_span).

    Every gold span of the episode counts, scored or not. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the share of turns outside every span at which the
            agent spoke; 0 where there is no such turn.
        options: See the base classes, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "reply times"

    def score(self, transcript: Transcript) -> float:
        """1 - replies out of span / replies."""
        gold = transcript.episode.gold
        outside = [turn for turn in transcript.turns if not in_some_span(turn.end, gold)]
        spoken = sum(turn.reply is not None for turn in outside)
        if self.formula == "code":
            return -spoken / len(outside) if outside else 0.0
        return 1.0 - spoken / len(transcript.replies) if transcript.replies else 1.0
