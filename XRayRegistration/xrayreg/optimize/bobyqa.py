"""BOBYQA: a quadratic model of the score in a trust region within bounds, without derivatives; NLopt's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import InputError
from ..settings import BobyqaSettings
from .losses import Losses
from .optimiser import Objective, Query, best_seen, bounds, numbers


@best_seen
def bobyqa(objective: Objective, start: Tensor, lower: Tensor, upper: Tensor, settings: BobyqaSettings) -> str:
    """Run BOBYQA from a start (P,), clamped to bounds (P,), of which at least two leave an interval to search.

    Source: Powell, "The BOBYQA algorithm for bound constrained optimization without derivatives", 2009.
    Raises InputError where NLopt is not installed.
    """
    try:
        import nlopt
    except ImportError as error:
        raise InputError(
            "BOBYQA", expected="the package nlopt", found="none", remedy="install it: pip install nlopt"
        ) from error
    low, high = bounds(lower, upper)
    first = numbers(start, "start").clamp(low, high)
    if int((high > low).sum()) < 2:
        raise InputError("BOBYQA", expected="room in two numbers at least", found="less", remedy="widen the bounds")
    losses = Losses()
    answered = True

    def loss(values: NDArray[np.float64], slope: NDArray[np.float64]) -> float:
        nonlocal answered
        answered = False
        score = float(objective(Query(torch.from_numpy(values.copy())[None])).scores[0])
        answered = True
        # The tolerance is relative to the cost, which is zero at perfect correlation.
        return 1 + losses.of(score)

    method = nlopt.opt(nlopt.LN_BOBYQA, len(first))
    method.set_min_objective(loss)
    method.set_lower_bounds(low.numpy())
    method.set_upper_bounds(high.numpy())
    method.set_initial_step((settings.first_step * torch.where(high > low, high - low, 1.0)).numpy())
    method.set_ftol_rel(settings.tolerance)
    method.set_xtol_rel(settings.tolerance)
    method.set_maxeval(settings.evaluations)
    try:
        method.optimize(first.numpy())
    except nlopt.RoundoffLimited:
        # Raised by the objective and not by NLopt.
        if not answered:
            raise
        return "Rounding leaves no better step."
    return {
        nlopt.FTOL_REACHED: "The similarity no longer rises.",
        nlopt.XTOL_REACHED: "The last step was too small to matter.",
        nlopt.MAXEVAL_REACHED: "The evaluations were used up.",
    }.get(method.last_optimize_result(), "The search came to rest.")
