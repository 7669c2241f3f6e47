"""Turn-aligned credit: a turn is paid for what it earned and what followed, against the same turn of other rollouts.

The video's clock gives all rollouts of a window the same turns. With c[i,k] the credit of turn k in rollout i and
G[i,k] = sum over l >= k of discount^(l-k) c[i,l], the advantage of turn k is G[i,k] minus the mean of G[j,k] over the
other rollouts j of the group, divided by the root mean square over all trained tokens of the batch. Decoupled (GDPO,
arXiv 2601.05242), each reward's advantages are divided by a root mean square of their own first, and added up with the
rewards' weights: what is rare, such as a repetition, then counts as much as what every turn earns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactive_env.recipes.training.grpo.rollout_credits import RolloutCredits

Array = NDArray[np.float64]


def returns(credit_by_turn: Sequence[float], discount: float) -> list[float]:
    """G[k] of one rollout, by turn.

    Example:
        >>> returns([1.0, 0.0, 2.0], discount=0.5)
        [1.5, 1.0, 2.0]
    """
    total, found = 0.0, list[float]()
    for credit in reversed(credit_by_turn):
        total = credit + discount * total
        found.append(total)
    return found[::-1]


def advantages(group: Sequence[Sequence[float]], discount: float) -> Array:
    """Each rollout's return minus the mean of the others', of shape (rollouts, turns).

    Args:
        group: What the turns of each rollout of a window earned.
        discount: What a credit counts a turn earlier.
    """
    gained = np.array([returns(earned, discount) for earned in group])
    above: Array = (gained - gained.mean(0)) * (len(group) / (len(group) - 1))
    return above


def token_advantages(
    rollouts: Sequence[RolloutCredits], group_size: int, discount: float, *, decoupled: bool = False
) -> tuple[list[list[float]], float]:
    """The advantage of each of a rollout's `tokens`, for a whole batch, and what all of them were divided by.

    Args:
        rollouts: Those of one window follow one another.
        group_size: Rollouts of one window.
        discount: What a credit counts a turn earlier.
        decoupled: Bring the rewards to one size before they are added up.

    Raises:
        ValueError: rollouts of several windows stand in one group.
    """
    for start in range(0, len(rollouts), group_size):
        group = rollouts[start : start + group_size]
        if len({(rollout.window, rollout.turns) for rollout in group}) != 1:
            found = sorted({f"{rollout.window} with {rollout.turns} turns" for rollout in group})
            raise ValueError(f"expected the rollouts of one window, found {', '.join(found)}")
    lengths = [said.end - said.start for rollout in rollouts for said in rollout.tokens]

    def by_token(earned: Sequence[Sequence[float]]) -> Array:
        places = range(0, len(earned), group_size)
        by_turn = (row for start in places for row in advantages(earned[start : start + group_size], discount))
        spoken = zip(rollouts, by_turn, strict=True)
        return np.array([row[said.turn] for rollout, row in spoken for said in rollout.tokens])

    def size(values: Array) -> float:
        return float(np.sqrt(np.average(np.square(values), weights=lengths))) or 1.0

    if decoupled:
        parts = {name: by_token([one.credits[name] for one in rollouts]) for name in rollouts[0].credits}
        values = sum((rollouts[0].weights[name] / size(part) * part for name, part in parts.items()), np.zeros(1))
    else:
        values = by_token([one.together for one in rollouts])
    scale = size(values)
    ends = np.cumsum([len(rollout.tokens) for rollout in rollouts])[:-1]
    return [part.tolist() for part in np.split(values / scale, ends)], scale


def turn_credit_maker(base: type[Any], discount: float, *, decoupled: bool = False) -> type[Any]:
    """OpenRLHF's `RemoteExperienceMaker` with advantages by turn in the place of those by episode.

    Its labels are `RolloutCredits` as JSON. The number by which advantages are divided is logged as `advantage_scale`.
    """

    class TurnCreditMaker(base):  # type: ignore[misc]
        def compute_advantages_and_returns(self, experiences: list[Any]) -> list[Any]:
            import torch

            experiences = super().compute_advantages_and_returns(experiences)
            rows = [(exp.index[b], exp, b) for exp in experiences for b in range(len(exp.index))]
            rows.sort(key=lambda row: row[0])
            rollouts = [RolloutCredits.model_validate_json(exp.labels[b]) for _, exp, b in rows]
            group_size = self.strategy.args.rollout.n_samples_per_prompt
            found, scale = token_advantages(rollouts, group_size, discount, decoupled=decoupled)
            for (_, exp, b), rollout, values in zip(rows, rollouts, found, strict=True):
                row, covered = torch.zeros_like(exp.advantages[b]), torch.zeros_like(exp.action_mask[b])
                for said, value in zip(rollout.tokens, values, strict=True):
                    row[said.start - 1 : said.end - 1] = value  # place k - 1 is where token k is drawn
                    covered[said.start - 1 : said.end - 1] = True
                if not torch.equal(covered.bool(), exp.action_mask[b].bool()):
                    raise RuntimeError(f"{rollout.window}: the turns' tokens are not those that are trained")
                exp.advantages[b] = row
            for exp in experiences:
                exp.info["advantage_scale"] = torch.full((len(exp.index),), scale)
            return experiences

    return TurnCreditMaker
