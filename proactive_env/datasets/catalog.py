"""`load`: every data set by its name."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proactive_env.datasets import tinyworld
from proactive_env.datasets.base import Dataset
from proactive_env.datasets.rows import OnBadRow, raise_bad_row
from proactive_env.episode import Episode
from proactive_env.errors import DatasetError
from proactive_env.plugin import Registry, did_you_mean

TINYWORLD = "tinyworld"
"""The data set that the library draws itself: it has splits and needs no folder."""

KINDS = Registry(
    "data set",
    {
        "proactivevideoqa": "proactive_env.datasets.proactivevideoqa:ProactiveVideoQA",
        "streamingbench_po": "proactive_env.datasets.streamingbench_po:StreamingBenchPO",
        "magqa": "proactive_env.datasets.magqa:Magqa",
        "mmduet": "proactive_env.datasets.magqa:Magqa",  # the name of old
        "jsonl": "proactive_env.datasets.jsonl:JsonLines",
    },
)
"""The formats of annotations that have names; all others are named by `module:Class` or `file.py:Class`."""

NAMES = (*KINDS, TINYWORLD)


def load(
    name: str,
    root: str | Path | None = None,
    *,
    subset: str | None = None,
    split: str | None = None,
    size: int | None = None,
    seed: int = 0,
    on_bad: OnBadRow = raise_bad_row,
) -> Sequence[Episode]:
    """The episodes of a data set.

    Args:
        name: One of `NAMES`, or a `Dataset` as `module:Class` or `file.py:Class`.
        root: The data set's folder or annotation file; TinyWorld draws itself and needs none.
        subset: The part of the benchmark to load; None: all of it.
        split: TinyWorld's `train`, `validation` or `test` (the default).
        size: How many episodes. TinyWorld draws that many, other data sets give that many chosen by `seed`.
        seed: Seed of TinyWorld's stories, or of the choice.
        on_bad: Called with the error of each bad row, which is then left out; without it a bad row raises.

    Raises:
        InputError: there is no such data set.
        DatasetError: missing root, or a bad row.
    """
    if name == TINYWORLD:
        if subset not in (None, "TINYWORLD"):
            raise DatasetError(f"data set 'tinyworld' has no subset {subset!r}; its splits are chosen by split=")
        return tinyworld.load(Path(root) if root else None, split=split, size=size, seed=seed)
    dataset = dataset_class(name)
    if split is not None:
        raise DatasetError(f"data set {name!r} has no splits, found split={split!r}")
    if subset is not None and not dataset.has_subsets:
        raise DatasetError(f"data set {name!r} has no subsets, found subset={subset!r}")
    episodes = dataset().read(_existing(name, dataset, root), subset, on_bad)
    if not episodes:
        raise DatasetError(f"data set {name!r} at {root} holds no usable episode")
    if size is None or size >= len(episodes):
        return episodes
    chosen = np.random.default_rng(seed).choice(len(episodes), size, replace=False)
    return tuple(episodes[index] for index in sorted(chosen))


def dataset_class(name: str) -> type[Dataset]:
    """The format of annotations that a name, other than TinyWorld's, stands for.

    Raises:
        InputError: there is none.
    """
    if ":" not in name and name not in KINDS:
        raise DatasetError(f"there is no data set {name!r}{did_you_mean(name, NAMES)}, or 'module:Class'")
    return KINDS.load(name, Dataset)


def root_of(name: str, root: str | Path | None) -> str | None:
    """The absolute path of `root`, or of what the environment says where it is None.

    Raises:
        InputError: there is no such data set.
    """
    variable = None if root or name == TINYWORLD else dataset_class(name).root_variable
    found = root or (os.environ.get(variable) if variable else None)
    return str(Path(found).expanduser().resolve()) if found else None


def _existing(name: str, dataset: type[Dataset], root: str | Path | None) -> Path:
    found, hint = root_of(name, root), f"; {dataset.hint}" if dataset.hint else ""
    if not found:
        variable = f", or set {dataset.root_variable}" if dataset.root_variable else ""
        raise DatasetError(f"data set {name!r} needs its folder: pass it as root (data= or --data){variable}{hint}")
    if not Path(found).exists():
        raise DatasetError(f"{found}: no such file or folder for data set {name!r}{hint}")
    return Path(found)
