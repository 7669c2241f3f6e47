"""What a rollout tells the trainer about its turns; OpenRLHF carries it from worker to trainer as a label."""

from typing import Any

from proactive_env.episode import Frozen


class TurnTokens(Frozen):
    """Tokens that a turn said, and that are trained."""

    turn: int
    """Counted from the first turn played."""
    start: int
    """Place of the first one in the rollout's sequence."""
    end: int
    """Place after the last one."""


class RolloutCredits(Frozen):
    """What each turn of a rollout earned, and which tokens it said."""

    window: str
    """The name of what was played: rollouts of one window make a group."""
    credits: tuple[float, ...]
    """By turn: weighted, summed over the rewards."""
    tokens: tuple[TurnTokens, ...]

    @classmethod
    def of(cls, window: str, episode: dict[str, Any], tokens: tuple[TurnTokens, ...]) -> "RolloutCredits":
        """Those of an `info["proactive_episode"]`."""
        per_turn = zip(*episode["terms_per_turn"].values(), strict=True)
        return cls(window=window, credits=tuple(sum(terms) for terms in per_turn), tokens=tokens)
