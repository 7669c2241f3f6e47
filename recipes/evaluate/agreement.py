"""How far two judges agree, beyond chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Answers = Mapping[Any, int | bool | None]


def agreement(one: Answers, two: Answers, categories: Sequence[int]) -> dict[str, Any]:
    """How far two judges agree on the questions that both answered.

    Returns:
        `questions`; `unusable`, those that one of them could not answer; `agreement` in percent; `kappa`, Cohen's (None
        where both always say the same one thing); `categories`; `confusion`, counts with `one` in rows.
    """
    pairs = [(one[key], two[key]) for key in one if key in two]
    usable = [(categories.index(a), categories.index(b)) for a, b in pairs if a is not None and b is not None]
    confusion = np.zeros((len(categories), len(categories)), dtype=int)
    for a, b in usable:
        confusion[a, b] += 1
    count = len(usable)
    observed = np.trace(confusion) / count if count else None
    expected = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / count**2 if count else 1.0
    return {
        "questions": count,
        "unusable": len(pairs) - count,
        "agreement": None if observed is None else float(100 * observed),
        "kappa": float((observed - expected) / (1 - expected)) if observed is not None and expected < 1 else None,
        "categories": list(categories),
        "confusion": confusion.tolist(),
    }
