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
    credits: dict[str, tuple[float, ...]]
    """Of each reward, weighted, by turn."""
    weights: dict[str, float]
    """Of the rewards."""
    tokens: tuple[TurnTokens, ...]

    @classmethod
    def of(cls, window: str, episode: dict[str, Any], tokens: tuple[TurnTokens, ...]) -> "RolloutCredits":
        """Those of an `info["proactive_episode"]`."""
        return cls(window=window, credits=episode["terms_per_turn"], weights=episode["weights"], tokens=tokens)

    @property
    def turns(self) -> int:
        """How many turns were played."""
        return len(next(iter(self.credits.values())))

    @property
    def together(self) -> list[float]:
        """What each turn earned in all."""
        return [sum(terms) for terms in zip(*self.credits.values(), strict=True)]
