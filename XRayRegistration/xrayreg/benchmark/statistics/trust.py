"""Reliability of a method's verdicts and similarity values, measured against the true errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rates import GROSS_MM, Rate, wilson
from .rows import StudyRow, errors_of

# Errors [mm] above which a result counts as wrong, from gross failures to inaccurate results.
WRONG_MM = (GROSS_MM, 5.0, 2.0)


@dataclass(frozen=True)
class Trust:
    """A method's verdicts compared with the true errors; all counts are over the cases with a verdict.

    wrong_mm: a result is wrong if its error is above this, or if there is no pose. accepted_right to
    rejected_wrong: numbers of cases. wrong_of_accepted: share of wrong results among the accepted ones, with Wilson's
    interval; None if none was accepted. auroc: see `auroc`; over all runs that have a pose and a similarity, None
    unless these include both right and wrong results.
    """

    wrong_mm: float
    accepted_right: int
    accepted_wrong: int
    rejected_right: int
    rejected_wrong: int
    wrong_of_accepted: Rate | None
    auroc: float | None

    @property
    def accepted(self) -> int:
        """Number of results that the method accepts."""
        return self.accepted_right + self.accepted_wrong


def trust(rows: Sequence[StudyRow], metric: str, wrong_mm: float) -> Trust:
    """How well verdicts and similarities of a method's rows separate errors above `wrong_mm` from smaller ones.

    metric: name of the error field.
    """
    errors = errors_of(rows, metric)
    wrong = errors > wrong_mm
    accepted, rejected = (np.array([row.accepted is verdict for row in rows], dtype=bool) for verdict in (True, False))
    scores = np.array([row.similarity for row in rows], dtype=np.float64)
    known = np.isfinite(scores) & np.array([not row.failed for row in rows], dtype=bool)
    n, amiss = int(accepted.sum()), int((accepted & wrong).sum())
    return Trust(
        wrong_mm=wrong_mm,
        accepted_right=n - amiss,
        accepted_wrong=amiss,
        rejected_right=int((rejected & ~wrong).sum()),
        rejected_wrong=int((rejected & wrong).sum()),
        wrong_of_accepted=wilson(amiss, n) if n else None,
        auroc=auroc(scores[known & ~wrong], scores[known & wrong]),
    )


def auroc(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float | None:
    """Probability that a right result scores above a wrong one, ties counted half; None without such a pair.

    The area under the receiver operating characteristic by the U statistic (Hanley and McNeil, Radiology 143, 1982).
    """
    if not len(right) or not len(wrong):
        return None
    from scipy.stats import mannwhitneyu

    # The p-value is not used; the asymptotic one is the cheapest.
    return float(mannwhitneyu(right, wrong, method="asymptotic").statistic / (len(right) * len(wrong)))
