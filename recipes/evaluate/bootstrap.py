"""Intervals by resampling questions, since the spans of one question are not independent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The 95 % percentile bootstrap interval [low, high] of sum(numerators) / sum(denominators).

    Args:
        numerators: One number a question, such as the sum of its spans' scores, or the difference of two such sums.
        denominators: One number a question, such as how many spans it has; not all zero.
    """
    return _interval(_ratios(numerators, denominators))


def ratio_difference_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    other_numerators: Sequence[float],
    other_denominators: Sequence[float],
) -> list[float] | None:
    """The same of the other ratio minus the first, paired: one number a question in all four, in the same order.

    None if so little is counted that a resample has nothing to divide by.
    """
    differences = _ratios(other_numerators, other_denominators) - _ratios(numerators, denominators)
    return None if np.isnan(differences).any() else _interval(differences)


def _ratios(numerators: Sequence[float], denominators: Sequence[float]) -> NDArray[np.float64]:
    """The ratio in each resample; NaN where the denominators are all zero."""
    count = len(numerators)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    totals = weights @ np.asarray(denominators, dtype=float)
    sums = weights @ np.asarray(numerators, dtype=float)
    ratios = np.full(RESAMPLES, np.nan)
    np.divide(sums, totals, out=ratios, where=totals > 0)
    return ratios


def _interval(ratios: NDArray[np.float64]) -> list[float]:
    return [float(bound) for bound in np.percentile(ratios[~np.isnan(ratios)], (2.5, 97.5))]
