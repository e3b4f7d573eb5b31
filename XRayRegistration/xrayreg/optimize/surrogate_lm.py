"""Levenberg-Marquardt on what renders predict: several steps for each, on coarse similarities first.

A render is made where the last one's prediction was best. Where the similarity rose there about as promised, or nothing
more is promised, a finer similarity comes next: it resolves more, and its predictions see less far. Changing over costs
no render, as every similarity compares the same images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..geometry import pose_difference, retract
from ..settings import SurrogateSettings
from ..similarity import Agreement
from .lm_batch import ask, predicted_gain, start, tell
from .plane_parallax import Rendered, rendered

# A pose that turns out worse is replaced by one so much nearer; so many are tried in all.
_NEARER = 0.3
_TRIALS = 3
# Damping of the first step on a parallax. Steps that lead astray are found out by rendering, so it may be small.
_FIRST_DAMPING = 1e-4
# Least share of the expected curvature that is believed: steps grow by its inverse.
_LEAST_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Place:
    """A pose that was rendered, as a level compares it.

    images: of the finest level. compared: as this level does; agreement: so found. level: its number.
    renders: made by then. reason: why the work ended here, a sentence, empty before.
    """

    images: Rendered
    compared: Rendered
    agreement: Agreement
    level: int
    renders: int
    reason: str = ""

    @property
    def pose(self) -> Tensor:
        """The pose (4, 4)."""
        return self.images.poses[0]

    @property
    def score(self) -> float:
        """What rises within a level."""
        return float(self.agreement.score[0])


OnPlace = Callable[[Place], object]


def surrogate_lm(images: Rendered, settings: SurrogateSettings, on_place: OnPlace = lambda place: None) -> Place:
    """Refine the pose (1, 4, 4) of images; returns the last place.

    on_place: called with the start of every level and with every better pose.
    """
    renders = 1
    for level in range(len(settings.levels)):
        first = _place(images, settings, level, renders)
        on_place(first)
        best = _on_level(first, settings, on_place)
        images, renders = best.images, best.renders
    return best


def _on_level(best: Place, settings: SurrogateSettings, on_place: OnPlace) -> Place:
    """The best pose of a level, or the first after which predictions that see less far will do."""
    least_gain, finest = settings.least_gains[best.level], best.level + 1 == len(settings.levels)
    share = 1.0
    if math.isnan(best.score):
        return replace(best, reason="The similarity could not be computed there: the structure left the image.")
    while best.renders < settings.renders:
        aim, promised = _aim(best, settings, share)
        if not promised > least_gain:
            return replace(best, reason="The similarity no longer rises.")
        found = _tried(best, aim, settings)
        gained = found.score - best.score
        if not gained > 0:
            return replace(best, renders=found.renders, reason="No step in any direction improves the similarity.")
        # Where the score falls off less steeply than told, more is gained: it curves by a share of what it should.
        share = min(1.0, max(_LEAST_SHARE, share * (2 - gained / promised)))
        best = found
        on_place(best)
        if not finest and gained > settings.come_true * promised:
            return best
    return replace(best, reason="The renders were used up while it was still improving.")


def _aim(place: Place, settings: SurrogateSettings, share: float) -> tuple[Tensor, float]:
    """The best pose (1, 4, 4) that is surrogate_lm, and by how much.

    A single step needs the derivatives alone, which are exact, and no images of other poses; share: by how much of the
    expected curvature the score was found to curve.
    """
    problem, max_steps = place.compared.problem, settings.levels[place.level].max_steps
    state = start(place.compared.poses, place.agreement)
    state = replace(state, damping=torch.full_like(state.damping, _FIRST_DAMPING))
    if max_steps == 1:
        step = ask(state, problem.pivot, settings.step)[0].step
        gain = predicted_gain(step, place.agreement.gradient.double(), place.agreement.curvature.double())
        return retract(state.poses, step / share, problem.pivot), float(gain) / share
    parallax = place.compared.parallax()
    for _ in range(max_steps):
        if not state.active.any():
            break
        state, candidates = ask(state, problem.pivot, settings.step)
        state = tell(state, candidates, parallax.agreement(candidates), settings.step)
    return state.poses, float(state.agreement.score[0]) - place.score


def _tried(best: Place, aim: Tensor, settings: SurrogateSettings) -> Place:
    """What is found at a pose (1, 4, 4), or nearer and nearer to the best one until it is better."""
    problem, poses = best.images.problem, best.images.poses
    step = pose_difference(aim, poses, problem.pivot)
    for attempt in range(1, _TRIALS + 1):
        images = rendered(problem, retract(poses, step, problem.pivot), best.images.margin_px)
        found = _place(images, settings, best.level, best.renders + attempt)
        if found.score > best.score:
            break
        step = _NEARER * step
    return found


def _place(images: Rendered, settings: SurrogateSettings, level: int, renders: int) -> Place:
    compared = images.on_level(settings.levels[level])
    return Place(images, compared, compared.agreement(), level, renders)
