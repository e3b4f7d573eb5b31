"""Convergence of a run: the error of the best pose so far, from its trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..statistics import StudyRow
from ..study.reading import Evaluation

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Way:
    """Errors [mm] (N,) of the best pose so far, at increasing seconds and renders (N,); start: initial error."""

    start: float
    seconds: Floats
    renders: Floats
    errors: Floats

    def at(self, field: str, costs: Floats) -> Floats:
        """The error [mm] after given costs (M,), in `seconds` or `renders`."""
        passed = np.searchsorted(getattr(self, field), costs, side="right")
        return np.concatenate([[self.start], self.errors])[passed]


def ways_of(evaluation: Evaluation) -> dict[str, list[Way]]:
    """The convergence of each method's cases that have a trace, by the method's name."""
    found = {
        method.name: [way for row in method.rows if (way := _way(row)) is not None] for method in evaluation.methods
    }
    return {name: ways for name, ways in found.items() if ways}


def _way(row: StudyRow) -> Way | None:
    """The convergence of one run; None if its trace is empty or lacks numbers."""
    try:
        points = np.array([[point[name] for name in ("seconds", "renders", "mtre_mm")] for point in row.trace], float)
    except (KeyError, TypeError, ValueError):
        return None
    if not points.size or not np.isfinite(points).all():
        return None
    seconds, renders, errors = points.T
    start = row.initial_mtre_mm if np.isfinite(row.initial_mtre_mm) else np.inf
    return Way(start, np.maximum.accumulate(seconds), np.maximum.accumulate(renders), errors)
