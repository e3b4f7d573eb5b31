"""Formatting of numbers in tables."""

from __future__ import annotations

import math

from ..statistics import Rate, Trust
from ..statistics.comparison import Interval, MeanOfBest

UNKNOWN, FAILED = "\N{EN DASH}", "∞"


def length(value: float | None) -> str:
    """A number with about three significant digits, for errors in millimetres or degrees."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return FAILED if value > 0 else f"\N{MINUS SIGN}{FAILED}"
    if value == 0:
        return "0"
    size = abs(value)
    digits = 3 if size < 0.0995 else 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """A difference, with its sign."""
    told = length(value)
    return f"+{told}" if value > 0 else told


def percent(value: float | None, n: int) -> str:
    """A share [%] of `n` cases, with a decimal if `n` is large enough."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return f"{value:.{1 if n >= 200 else 0}f}"


def rate(share: Rate | None, n: int) -> tuple[str, str]:
    """A share of `n` cases and its interval."""
    if share is None or math.isnan(share.percent):
        return UNKNOWN, ""
    return percent(share.percent, n), f"{percent(share.low, n)}\N{EN DASH}{percent(share.high, n)}"


def interval(found: Interval) -> str:
    """The ends of an interval of differences."""
    return f"{signed(found.low)} to {signed(found.high)}"


def best(mean: MeanOfBest) -> str:
    """Mean and standard deviation over the best part of the cases."""
    return FAILED if math.isinf(mean.mean) else f"{length(mean.mean)} ± {length(mean.sd)}"


def verdicts(trust: Trust) -> str:
    """Numbers of results that a method accepted, and how many of them were wrong."""
    if not trust.accepted:
        return "accepted none of its results"
    wrong = trust.accepted_wrong
    share, span = rate(trust.wrong_of_accepted, trust.accepted)
    return (
        f"accepted {count(trust.accepted)} of its results; {count(wrong)} of these {'was' if wrong == 1 else 'were'} "
        f"wrong by more than {trust.wrong_mm:g} mm ({share} %; {span} %)"
    )


def count(value: float | None) -> str:
    """A count."""
    return (
        UNKNOWN
        if value is None or not math.isfinite(value)
        else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    )


def probability(value: float) -> str:
    """A p-value."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
