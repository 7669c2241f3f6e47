"""What OpenRLHF's trainer is told in its own process: the order of windows, and how credit is given.

Ray calls `install` first in every worker of a run (`worker_process_setup_hook`); the trainer's module is changed in the
one process that imports it.
"""

import json
import os
from typing import Any

CREDIT = "PROACTIVE_CREDIT"
"""The environment variable that turns `credit: turn` on: the arguments of `turn_credit_maker` as JSON."""


def install() -> None:
    """Change `openrlhf.trainer.ppo_trainer` when it is imported."""
    from wrapt import when_imported

    when_imported("openrlhf.trainer.ppo_trainer")(_change)


def _change(module: Any) -> None:
    prepare_datasets = module.prepare_datasets

    def in_the_files_order(strategy: Any, tokenizer: Any) -> Any:
        set_up = strategy.setup_dataloader
        strategy.setup_dataloader = lambda rows, size, pin, _shuffle, *rest, **named: set_up(
            rows, size, pin, False, *rest, **named
        )
        try:
            return prepare_datasets(strategy, tokenizer)
        finally:
            strategy.setup_dataloader = set_up

    module.prepare_datasets = in_the_files_order
    if arguments := os.environ.get(CREDIT):
        from proactive_env.recipes.training.grpo.trainer.credit import turn_credit_maker

        module.RemoteExperienceMaker = turn_credit_maker(module.RemoteExperienceMaker, **json.loads(arguments))
