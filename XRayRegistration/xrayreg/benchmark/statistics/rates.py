"""Proportions of cases with confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# mTRE [mm] above which a result is a gross failure (methods.md E2).
GROSS_MM = 10.0
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share of cases in percent, with Wilson's interval."""

    percent: float
    low: float
    high: float


def success_rate(errors: NDArray[np.float64], below: float) -> Rate:
    """Share of `errors` (N,) below a threshold."""
    return wilson(int((errors < below).sum()), len(errors))


def wilson(hits: int, n: int) -> Rate:
    """`hits` of `n` in percent with the score interval of E. B. Wilson (J. Am. Stat. Assoc. 22, 1927)."""
    if n == 0:
        return Rate(math.nan, math.nan, math.nan)
    # Imported here because it takes two seconds and registration does not need it.
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(CONFIDENCE, "wilson")
    return Rate(100 * hits / n, 100 * float(interval.low), 100 * float(interval.high))
