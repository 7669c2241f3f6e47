"""Gymnasium environments for proactive video dialogue.

Importing this package registers the environment ids and nothing heavier; `proactive_env.agents`,
`proactive_env.datasets`, `proactive_env.rewards` and `proactive_env.testing` load when they are first used.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import gymnasium

if TYPE_CHECKING:
    from proactive_env import agents, datasets, rewards, testing

__version__ = "0.1.0"
__all__ = ["__version__", "agents", "datasets", "rewards", "testing"]

for _id, _dataset in {
    "ProactiveVideoQA-v0": "proactivevideoqa",
    "StreamingBenchPO-v0": "streamingbench_po",
    "MAGQA-v0": "magqa",
    "TinyWorld-v0": "tinyworld",
}.items():
    gymnasium.register(_id, entry_point="proactive_env.rewards.make:make", kwargs={"dataset": _dataset})


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
