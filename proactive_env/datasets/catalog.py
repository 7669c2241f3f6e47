"""`load`: every data set by its name."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proactive_env.datasets import jsonl, magqa, proactivevideoqa, streamingbench_po, tinyworld
from proactive_env.datasets.rows import OnBadRow, raise_bad_row
from proactive_env.episode import Episode
from proactive_env.errors import DatasetError
from proactive_env.plugin import did_you_mean

NAMES = ("proactivevideoqa", "streamingbench_po", "mmduet", "jsonl", "tinyworld")
PROACTIVEVIDEOQA_ROOT = "PROACTIVEVIDEOQA_ROOT"
"""The environment variable that names ProactiveVideoQA's folder when no root is given."""
FETCH = "`proactive data fetch proactivevideoqa` downloads it"


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
        name: One of `NAMES`.
        root: The data set's folder or annotation file; TinyWorld draws itself and needs none.
        subset: The part of the benchmark to load; None: all of it.
        split: TinyWorld's `train`, `validation` or `test` (the default).
        size: How many episodes. TinyWorld draws that many, other data sets give that many chosen by `seed`.
        seed: Seed of TinyWorld's stories, or of the choice.
        on_bad: Called with the error of each bad row, which is then left out; without it a bad row raises.

    Raises:
        DatasetError: unknown name, missing root, or a bad row.
    """
    if name not in NAMES:
        raise DatasetError(f"there is no data set {name!r}{did_you_mean(name, NAMES)}")
    if name == "tinyworld":
        if subset not in (None, "TINYWORLD"):
            raise DatasetError(f"data set 'tinyworld' has no subset {subset!r}; its splits are chosen by split=")
        return tinyworld.load(Path(root) if root else None, split=split, size=size, seed=seed)
    if split is not None:
        raise DatasetError(f"data set {name!r} has no splits, found split={split!r}")
    episodes = _load_annotations(name, _existing(name, root), subset, on_bad)
    if not episodes:
        raise DatasetError(f"data set {name!r} at {root} holds no usable episode")
    if size is None or size >= len(episodes):
        return episodes
    chosen = np.random.default_rng(seed).choice(len(episodes), size, replace=False)
    return tuple(episodes[index] for index in sorted(chosen))


def root_of(name: str, root: str | Path | None) -> str | None:
    """The absolute path of `root`, or of what the environment says where it is None."""
    found = root or (os.environ.get(PROACTIVEVIDEOQA_ROOT) if name == "proactivevideoqa" else None)
    return str(Path(found).expanduser().resolve()) if found else None


def _existing(name: str, root: str | Path | None) -> Path:
    found = root_of(name, root)
    if not found:
        hint = f", or set {PROACTIVEVIDEOQA_ROOT}; {FETCH}" if name == "proactivevideoqa" else ""
        raise DatasetError(f"data set {name!r} needs its folder: pass it as root (data= or --data){hint}")
    path = Path(found)
    if not path.exists():
        hint = f"; {FETCH}" if name == "proactivevideoqa" else ""
        raise DatasetError(f"{path}: no such file or folder for data set {name!r}{hint}")
    return path


def _load_annotations(name: str, root: Path, subset: str | None, on_bad: OnBadRow) -> tuple[Episode, ...]:
    match name:
        case "proactivevideoqa":
            return proactivevideoqa.load(root, subset=subset, on_bad=on_bad)
        case "jsonl":
            return jsonl.load(root, subset=subset, on_bad=on_bad)
    if subset is not None:
        raise DatasetError(f"data set {name!r} has no subsets, found subset={subset!r}")
    loader = streamingbench_po.load if name == "streamingbench_po" else magqa.load
    return loader(root, on_bad=on_bad)
