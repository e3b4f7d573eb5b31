"""Shares of cases, and how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

# A gross failure in the sense of E2: an mTRE above this.
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
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share, weight = hits / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # At the ends the formula gives the end itself, but for rounding.
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == n else middle + half
    return Rate(100 * share, 100 * low, 100 * high)
