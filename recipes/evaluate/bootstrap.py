"""Intervals by resampling questions, since the spans of one question are not independent."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The 95 % percentile bootstrap interval [low, high] of sum(numerators) / sum(denominators).

    Args:
        numerators: One number a question, such as the sum of its spans' scores, or the difference of two such sums.
        denominators: One number a question, such as how many spans it has; not all zero.
    """
    count = len(numerators)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    totals = weights @ np.asarray(denominators, dtype=float)
    ratios = (weights @ np.asarray(numerators, dtype=float))[totals > 0] / totals[totals > 0]
    return [float(bound) for bound in np.percentile(ratios, (2.5, 97.5))]
