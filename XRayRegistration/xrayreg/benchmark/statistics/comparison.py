"""Summary statistics over cases (methods.md E2): success rates, spread and capture range with confidence intervals.

A failed run counts as an infinite error, so that a method does not benefit from giving up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rates import CONFIDENCE, GROSS_MM, Rate, success_rate, wilson
from .rows import StudyRow, errors_of
from .trust import WRONG_MM, Trust, trust

# Upper limit [mm] of the integral of the survival curve.
AUC_MM = 20.0
# Capture range: success threshold [mm], required success rate, bin width [mm] (van de Kraats et al. 2005).
CAPTURE_MM, CAPTURE_SHARE, CAPTURE_BIN_MM = 2.0, 0.95, 2.0
RESAMPLES = 2000

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class MeanOfBest:
    """Mean and standard deviation [mm] over the best `percent` of the cases."""

    percent: float
    mean: float
    sd: float


@dataclass(frozen=True)
class Summary:
    """Results of a method on an arm. Errors are mTRE [mm] (or the chosen metric); failures are infinite.

    n, failed: cases, and those without a pose. best: over the best 95, 75 and 50 % of the cases, as reported in 2024.
    sr1 to sr10: below 1, 2, 5, 10 mm; sr_1deg: rotation below 1 degree; sr_pd1: mean projection distance below 1 mm;
    gfr: gross failures above 10 mm. auc_20mm: area under the survival curve from 0 to 20 mm, 1 at best.
    capture_range_mm: see `capture_range`. accepted: share of its results with a verdict that the method accepts, None
    if it gives no verdicts; trust: reliability of the verdicts, for each of WRONG_MM.
    seconds, renders: medians per case; initial_mtre_mm: mean error before registration.
    """

    n: int
    failed: int
    mean: float
    sd: float
    median: float
    median_interval: Interval
    p75: float
    p95: float
    best: tuple[MeanOfBest, ...]
    sr1: Rate
    sr2: Rate
    sr5: Rate
    sr10: Rate
    sr_1deg: Rate
    sr_pd1: Rate
    gfr: Rate
    auc_20mm: float
    capture_range_mm: float
    accepted: Rate | None
    trust: tuple[Trust, ...]
    seconds: float
    renders: float
    initial_mtre_mm: float

    def as_dict(self) -> dict[str, Any]:
        """The figures by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class MethodComparison:
    """Comparison of methods a and b on the cases that both were run on; differences are a - b.

    sr10: difference of success below 10 mm [percentage points]; median: of the median mTRE [mm]; each with its
    interval from a paired bootstrap. only_a, only_b: cases in which only one method succeeded (below 10 mm); p_value:
    of McNemar's exact test on these counts.
    """

    n: int
    sr10: float
    sr10_interval: Interval
    median: float
    median_interval: Interval
    only_a: int
    only_b: int
    p_value: float

    def as_dict(self) -> dict[str, Any]:
        """The figures by name, for JSON."""
        return asdict(self)


def summary(rows: Sequence[StudyRow], metric: str = "mtre_mm", seed: int = 0) -> Summary:
    """Summary of one method's rows; `metric` names the error field.

    Raises ValueError for no rows.
    """
    if not rows:
        raise ValueError("summary: expected at least one row")
    errors = errors_of(rows, metric)
    rotations, projections = errors_of(rows, "rotation_deg"), errors_of(rows, "mpd_mm")
    verdicts = [row.accepted for row in rows if row.accepted is not None]
    mean, sd = _mean_and_sd(errors)
    median, p75, p95 = (quantile(errors, share) for share in (0.5, 0.75, 0.95))
    return Summary(
        n=len(rows),
        failed=sum(row.failed for row in rows),
        mean=mean,
        sd=sd,
        median=median,
        median_interval=bootstrapped(lambda which: quantile(errors[which], 0.5), len(errors), seed),
        p75=p75,
        p95=p95,
        best=tuple(best_share(errors, percent) for percent in (95.0, 75.0, 50.0)),
        sr1=success_rate(errors, 1.0),
        sr2=success_rate(errors, 2.0),
        sr5=success_rate(errors, 5.0),
        sr10=success_rate(errors, GROSS_MM),
        sr_1deg=success_rate(rotations, 1.0),
        sr_pd1=success_rate(projections, 1.0),
        gfr=wilson(int((errors > GROSS_MM).sum()), len(errors)),
        auc_20mm=survival_auc(errors),
        capture_range_mm=capture_range(np.array([row.initial_mtre_mm for row in rows]), errors),
        accepted=wilson(sum(verdicts), len(verdicts)) if verdicts else None,
        trust=tuple(trust(rows, metric, wrong_mm) for wrong_mm in WRONG_MM),
        seconds=_known_median([row.seconds for row in rows]),
        renders=_known_median([float(row.renders) for row in rows if not row.error]),
        initial_mtre_mm=_known_mean([row.initial_mtre_mm for row in rows]),
    )


def compare(
    rows_a: Sequence[StudyRow], rows_b: Sequence[StudyRow], metric: str = "mtre_mm", seed: int = 0
) -> MethodComparison:
    """Compare methods a and b case by case; cases that only one of them was run on are left out.

    Raises ValueError where no case is common.
    """
    of_b = {row.case: row for row in rows_b}
    pairs = [(row, of_b[row.case]) for row in rows_a if row.case in of_b]
    if not pairs:
        raise ValueError("compare: expected at least one case that both methods were given")
    a, b = errors_of([pair[0] for pair in pairs], metric), errors_of([pair[1] for pair in pairs], metric)
    good_a, good_b = a < GROSS_MM, b < GROSS_MM

    def rates(which: NDArray[np.intp]) -> float:
        return 100 * float(good_a[which].mean() - good_b[which].mean())

    def medians(which: NDArray[np.intp]) -> float:
        return _difference(quantile(a[which], 0.5), quantile(b[which], 0.5))

    everything = np.arange(len(a))
    only_a, only_b = int((good_a & ~good_b).sum()), int((good_b & ~good_a).sum())
    return MethodComparison(
        n=len(a),
        sr10=rates(everything),
        sr10_interval=bootstrapped(rates, len(a), seed),
        median=medians(everything),
        median_interval=bootstrapped(medians, len(a), seed),
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(only_a, only_b),
    )


def best_share(errors: Values, percent: float) -> MeanOfBest:
    """Mean and standard deviation over the smallest `percent` of `errors` (N,), at least one of them."""
    kept = np.sort(errors)[: max(1, round(percent / 100 * len(errors)))]
    return MeanOfBest(percent, *_mean_and_sd(kept))


def survival_curve(errors: Values, thresholds: Values) -> Values:
    """Share of `errors` (N,) up to each of `thresholds` (M,), between 0 and 1."""
    return np.searchsorted(np.sort(errors), thresholds, side="right") / len(errors)


def survival_auc(errors: Values, up_to: float = AUC_MM) -> float:
    """Area under the survival curve from 0 to `up_to`, divided by `up_to`: 1 if all errors are zero."""
    return float(np.clip(1 - errors / up_to, 0, 1).mean())


def capture_range(initial: Values, errors: Values, success_mm: float = CAPTURE_MM) -> float:
    """Initial error [mm] up to which a method succeeds reliably (van de Kraats et al., TMI 24(9), 2005).

    Cases are grouped by `initial` error (N,) into bins of 2 mm; the range ends at the lower edge of the first bin with
    less than 95 % of its final `errors` (N,) below `success_mm`. Empty bins neither end nor extend it.
    """
    bins = np.floor(initial / CAPTURE_BIN_MM)
    reached = 0.0
    for number in np.unique(bins[np.isfinite(bins)]):
        if (errors[bins == number] < success_mm).mean() < CAPTURE_SHARE:
            break
        reached = (number + 1) * CAPTURE_BIN_MM
    return float(reached)


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p-value of McNemar's exact test from the numbers of cases in which only one method succeeded."""
    from scipy.stats import binomtest

    # Under the null hypothesis either method is equally likely to be the one that succeeds.
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def bootstrapped(figure: Callable[[NDArray[np.intp]], float], n: int, seed: int = 0) -> Interval:
    """95 % percentile bootstrap interval of `figure` over resamples, with replacement, of the indices of `n` cases."""
    generator = np.random.default_rng(seed)
    drawn = [figure(generator.integers(0, n, n)) for _ in range(RESAMPLES)]
    tail = (1 - CONFIDENCE) / 2
    return Interval(quantile(np.array(drawn), tail), quantile(np.array(drawn), 1 - tail))


def quantile(values: Values, share: float) -> float:
    """A quantile of values (N,), which may be infinite, interpolated as in numpy."""
    order = np.sort(values)
    place = share * (len(order) - 1)
    low, part = int(place), place - int(place)
    if part == 0 or order[low] == order[low + 1]:
        return float(order[low])
    return float(order[low] + part * (order[low + 1] - order[low]))


def _mean_and_sd(errors: Values) -> tuple[float, float]:
    if not np.isfinite(errors).all():
        return math.inf, math.inf
    return float(errors.mean()), float(errors.std())


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _known_median(values: Sequence[float]) -> float:
    known = np.array([value for value in values if math.isfinite(value)])
    return float(np.median(known)) if len(known) else math.nan


def _known_mean(values: Sequence[float]) -> float:
    known = np.array([value for value in values if math.isfinite(value)])
    return float(known.mean()) if len(known) else math.nan
