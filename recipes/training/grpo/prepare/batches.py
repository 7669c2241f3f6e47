"""Which windows a run plays: those of each epoch once, drawn by the seed; the trainer shuffles them all."""

from collections.abc import Sequence

import numpy as np

from proactive_env.errors import InputError
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.prepare.windows import Row


def batches(config: GrpoConfig, rows: Sequence[Row]) -> list[Row]:
    """The rows of all steps, `config.windows_per_step` each; windows that fill no step of an epoch are left out of it.

    Raises:
        InputError: there are fewer windows than one step plays.
    """
    size = config.windows_per_step
    per_epoch = len(rows) // size
    if not per_epoch:
        raise InputError(
            f"a step plays windows_per_step = {size} windows, but {config.train.benchmark} has {len(rows)}: "
            "lower it, or give more episodes"
        )
    steps = config.steps or config.epochs * per_epoch
    rng = np.random.default_rng(config.seed)
    drawn: list[Row] = []
    while len(drawn) < steps * size:
        drawn += [rows[index] for index in rng.permutation(len(rows))[: per_epoch * size]]
    return drawn[: steps * size]
