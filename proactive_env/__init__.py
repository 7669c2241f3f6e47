"""Gymnasium environments for proactive video dialogue.

Importing this package registers the environment ids and nothing heavier; `proactive_env.agents`,
`proactive_env.datasets` and `proactive_env.rewards` load when they are first used.
"""

import importlib
from types import ModuleType

import gymnasium

__version__ = "0.1.0"

_LAZY = ("agents", "datasets", "rewards")

for _id, _dataset in {
    "ProactiveVideoQA-v0": "proactivevideoqa",
    "StreamingBenchPO-v0": "streamingbench_po",
    "MAGQA-v0": "mmduet",
    "TinyWorld-v0": "tinyworld",
}.items():
    gymnasium.register(_id, entry_point="proactive_env.rewards.make:make", kwargs={"dataset": _dataset})


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
