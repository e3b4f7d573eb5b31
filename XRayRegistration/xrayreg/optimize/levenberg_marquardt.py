"""Levenberg-Marquardt on the parameters of a parameterisation; damping as in `lm_batch`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..settings import LmSettings
from ..similarity import Agreement
from .lm_batch import FIRST_DAMPING, MOST_DAMPING, damped_step, predicted_gain, redamped
from .optimiser import Answer, Objective, Query, best_seen, numbers

# Parameters per object; the steps of one object are shortened together.
_OBJECT = 6


@best_seen
def levenberg_marquardt(objective: Objective, start: Tensor, settings: LmSettings) -> str:
    """Run Levenberg-Marquardt from a start (P,); a rejected step is repeated with more damping.

    Derivatives are requested with every candidate, as most are accepted.
    """
    point = numbers(start, "start")
    here = objective(Query(point[None], 2))
    if not _usable(here):
        return "The similarity could not be computed at the start."
    damping = point.new_full((1,), FIRST_DAMPING)
    growth = point.new_full((1,), 2.0)
    for _ in range(settings.steps):
        gradient, normal = _cost(here, settings)
        step = damped_step(gradient, normal, damping)
        if not torch.isfinite(step).all():
            return "The similarity does not tell where to go."
        step = step / (_longest(step) / settings.most_step).clamp(min=1)
        there = objective(Query(point[None] + step, 2))
        predicted = predicted_gain(step, gradient, normal)
        usable = _usable(there)
        gained = there.scores - here.scores if usable else torch.full_like(predicted, -torch.inf)
        better = gained > 0
        # Gain ratio: actual over predicted decrease of the cost; minus infinity where it cannot be scored.
        damping, growth = redamped(damping, growth, gained / predicted.clamp(min=1e-15), better)
        damping = damping.clamp(min=1e-9)
        if better:
            point, here = point + step[0], there
        if float(_longest(step)) < settings.stop_step:
            return "The last step was too small to matter."
        if float(gained if better else predicted) < settings.stop_gain:
            return "The similarity no longer rises."
        if float(damping) > MOST_DAMPING:
            return "No step in any direction improves the similarity."
    return "The steps were used up."


def _cost(answer: Answer, settings: LmSettings) -> tuple[Tensor, Tensor]:
    """Gradient (1, P) and approximate Hessian (1, P, P) of the cost, which is the negative score."""
    assert answer.gradients is not None and answer.normals is not None
    agreement = Agreement(answer.scores, -answer.gradients, answer.normals)
    return agreement.gradient, agreement.curvature if settings.scores_are == "correlation" else agreement.normal


def _longest(step: Tensor) -> Tensor:
    """The largest norm among the per-object parts of a step (1, P)."""
    return torch.stack([part.norm() for part in step[0].split(_OBJECT)]).max()


def _usable(answer: Answer) -> bool:
    assert answer.gradients is not None and answer.normals is not None
    return all(bool(torch.isfinite(part).all()) for part in (answer.scores, answer.gradients, answer.normals))
