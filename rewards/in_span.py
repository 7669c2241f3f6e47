"""How much of what is said comes at a time when there is something to say."""

from typing import Any, ClassVar

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.rewards.base import ComponentReward, Formula, check_formula
from proactive_env.rewards.counts import in_some_span
from proactive_env.turn import Transcript


class InSpanReward(ComponentReward):
    """1 - the share of replies outside every gold span (MMDuet2, arXiv 2512.06810, section 4.3.2, r_in_span).

    Every gold span of the episode counts, scored or not. With no replies the score is 1.

    Args:
        formula: `"paper"`, or `"code"` for the authors' code: minus the share of turns outside every span at which the
            agent spoke; 0 where there is no such turn.
        options: `pay`: see `ComponentReward`, as for `env`, `weight` and `name`.
    """

    scope: ClassVar[str] = "reply times"

    def __init__(
        self,
        env: gym.Env[Observation, str],
        weight: float = 1.0,
        name: str | None = None,
        *,
        formula: Formula = "paper",
        **options: Any,
    ) -> None:
        super().__init__(env, weight, name, **options)
        self.formula = check_formula(formula)

    def score(self, transcript: Transcript) -> float:
        """1 - replies out of span / replies."""
        gold = transcript.episode.gold
        outside = [turn for turn in transcript.turns if not in_some_span(turn.end, gold)]
        spoken = sum(turn.reply is not None for turn in outside)
        if self.formula == "code":
            return -spoken / len(outside) if outside else 0.0
        return 1.0 - spoken / len(transcript.replies) if transcript.replies else 1.0
