"""Levenberg-Marquardt on images predicted from renders: several steps per render, on coarse similarities first.

The next render is made at the pose where the prediction from the last one scores best. Where the similarity rose there
about as predicted, or no more gain is predicted, a finer similarity comes next: it resolves more, and its predictions
hold over a shorter range. Changing over costs no render, as every similarity compares the same images.
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

# A pose that proves worse is replaced by one at this share of its distance; the number of tries is limited.
_NEARER = 0.3
_TRIALS = 3
# Damping of the first step on a prediction. Rendering detects steps that fail, so it may be small.
_FIRST_DAMPING = 1e-4
# Least share of the expected curvature that is assumed: steps grow by its inverse.
_LEAST_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class RenderedPose:
    """A rendered pose, as compared at a level.

    images: of the finest level. compared: the images for this level; agreement: at this level. level: its index.
    renders: made so far. reason: why the refinement ended here, a sentence, empty before.
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
        """The score, which rises within a level."""
        return float(self.agreement.score[0])


OnPlace = Callable[[RenderedPose], object]


def surrogate_lm(images: Rendered, settings: SurrogateSettings, on_place: OnPlace = lambda place: None) -> RenderedPose:
    """Refine the pose (1, 4, 4) of images; returns the last rendered pose.

    on_place: called with the start of every level and with every better pose.
    """
    renders = 1
    for level in range(len(settings.levels)):
        first = _place(images, settings, level, renders)
        on_place(first)
        best = _on_level(first, settings, on_place)
        images, renders = best.images, best.renders
    return best


def _on_level(best: RenderedPose, settings: SurrogateSettings, on_place: OnPlace) -> RenderedPose:
    """The best pose of a level, or the first from which predictions of shorter range suffice."""
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
        # A gain above the prediction means that the score's curvature is only a share of the expected one.
        share = min(1.0, max(_LEAST_SHARE, share * (2 - gained / promised)))
        best = found
        on_place(best)
        if not finest and gained > settings.come_true * promised:
            return best
    return replace(best, reason="The renders were used up while it was still improving.")


def _aim(place: RenderedPose, settings: SurrogateSettings, share: float) -> tuple[Tensor, float]:
    """The best predicted pose (1, 4, 4), and the predicted gain.

    A single step needs only the derivatives, which are exact, and no images of other poses.
    share: observed curvature of the score as a share of the expected one.
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


def _tried(best: RenderedPose, aim: Tensor, settings: SurrogateSettings) -> RenderedPose:
    """The render at a pose (1, 4, 4), or at poses ever nearer to the best one until one is better."""
    problem, poses = best.images.problem, best.images.poses
    step = pose_difference(aim, poses, problem.pivot)
    for attempt in range(1, _TRIALS + 1):
        images = rendered(problem, retract(poses, step, problem.pivot), best.images.margin_px)
        found = _place(images, settings, best.level, best.renders + attempt)
        if found.score > best.score:
            break
        step = _NEARER * step
    return found


def _place(images: Rendered, settings: SurrogateSettings, level: int, renders: int) -> RenderedPose:
    compared = images.on_level(settings.levels[level])
    return RenderedPose(images, compared, compared.agreement(), level, renders)
