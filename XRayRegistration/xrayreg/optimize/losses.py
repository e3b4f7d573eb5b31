"""Scores as losses for libraries that minimise and that cannot handle NaN or infinity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Losses:
    """Converts scores to losses; a non-finite score becomes a loss clearly worse than the worst so far."""

    def __init__(self) -> None:
        self._least, self._most = math.inf, -math.inf

    def of(self, score: float) -> float:
        """The loss of one score."""
        if math.isfinite(score):
            self._least, self._most = min(self._least, -score), max(self._most, -score)
            return -score
        if self._most < self._least:
            return 0.0
        return self._most + max(self._most - self._least, 1e-3 * max(1.0, abs(self._most)))


def ranked(scores: Tensor) -> NDArray[np.float64]:
    """Losses (N,) for methods that only compare them: minus the scores, infinite where there is no score."""
    values = -scores.double().numpy()
    return np.where(np.isnan(values), np.inf, values)
