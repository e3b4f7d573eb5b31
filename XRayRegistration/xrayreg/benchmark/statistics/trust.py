"""Whether a method knows its own failures: its verdicts and its similarity against what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rates import GROSS_MM, Rate, wilson
from .rows import StudyRow, errors_of

# Errors [mm] above which a result is called wrong, from a gross failure to one that is not exact.
WRONG_MM = (GROSS_MM, 5.0, 2.0)


@dataclass(frozen=True)
class Trust:
    """What a method says of its results against what is true; all counts are of the cases on which it gave a verdict.

    wrong_mm: a result is wrong where its error is above this, or where there is no pose. accepted_right to
    rejected_wrong: numbers of cases. wrong_of_accepted: share of wrong results among the accepted ones, with Wilson's
    interval; None where none was accepted. auroc: see `auroc`; over all runs that have a pose and a similarity, None
    where not both right and wrong ones are among them.
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
        """Results that the method accepts."""
        return self.accepted_right + self.accepted_wrong


def trust(rows: Sequence[StudyRow], metric: str, wrong_mm: float) -> Trust:
    """How far the verdicts and similarities of a method's rows tell results off by more than `wrong_mm` from others.

    metric: names the field that errors are taken from.
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
    """Chance that a right result's score is above a wrong one's, ties counted half; None where there is no such pair.

    The area under the receiver operating characteristic by the U statistic (Hanley and McNeil, Radiology 143, 1982).
    """
    if not len(right) or not len(wrong):
        return None
    from scipy.stats import mannwhitneyu

    # The p-value is not used; the asymptotic one takes no time.
    return float(mannwhitneyu(right, wrong, method="asymptotic").statistic / (len(right) * len(wrong)))
