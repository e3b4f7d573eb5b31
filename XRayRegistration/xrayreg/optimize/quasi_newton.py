"""L-BFGS-B on the score's gradient: SciPy's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..settings import LbfgsSettings
from .losses import Losses
from .optimiser import Objective, Query, best_seen, box, numbers

_ENDINGS = {
    0: "The similarity no longer rises.",
    1: "The steps were used up.",
    2: "No step along the search direction improves the similarity.",
}


@best_seen
def lbfgs(
    objective: Objective,
    start: Tensor,
    settings: LbfgsSettings,
    lower: Tensor | None = None,
    upper: Tensor | None = None,
) -> str:
    """Run L-BFGS-B from a start (P,), within optional bounds (P,).

    Its first step is one unit long, so parameters should be scaled (`RotVec.scale`) to units that are small steps.
    A point that cannot be scored counts as worse than all others, and the line search backtracks from it.
    """
    from scipy.optimize import minimize

    first = numbers(start, "start")
    limits = box(lower, upper)
    if limits is not None:
        first = first.clamp(*limits)
    pairs = None if limits is None else torch.stack(limits, dim=1).tolist()
    losses = Losses()

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        answer = objective(Query(torch.from_numpy(values.copy())[None], 1))
        assert answer.gradients is not None
        slope = answer.gradients[0].numpy()
        score = float(answer.scores[0]) if np.isfinite(slope).all() else float("nan")
        return losses.of(score), -slope if np.isfinite(score) else np.zeros(len(slope))

    options = {
        "maxiter": settings.steps,
        "maxfun": 5 * settings.steps,
        "maxcor": settings.memory,
        "ftol": settings.gain,
        "gtol": settings.slope,
    }
    ended = minimize(loss, first.numpy(), jac=True, method="L-BFGS-B", bounds=pairs, options=options)
    return _ENDINGS.get(int(ended.status), _ENDINGS[2])
