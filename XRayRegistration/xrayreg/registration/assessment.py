"""Assessment of a refinement: the evidence for its best pose, computed on the X-rays.

`verdict` holds the rules; this module builds and evaluates the problems that they need.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..optimize import State, descend
from ..reasons import ReasonCode
from .initial import distinct_places
from .problem import Problem
from .problem_cache import REFINE_MARGIN_MM, ProblemCache
from .verdict import (
    SURE_SIMILARITY,
    SURE_SIMILARITY_OF_A_PART,
    Evidence,
    Uncertainty,
    Verdict,
    contrast,
    fits_better_mirrored,
    in_view,
    judge,
    mirrored_pose,
    place_of,
    uncertainty_of,
)

# Steps per level for the mirrored X-ray: enough to decide whether it fits better, too few to measure by how much.
_MIRROR_STEPS = 6
_CLEAR_MIRROR_GAP = 0.15
_UNCONFIRMED = "Each search found another pose that fits better, and none led back to one: choose the effort thorough."
# Neighbouring pixels are correlated. With one independent value per 36 pixels the expected error agreed with the true
# one on simulated X-rays (ratio 0.4 to 1.1).
_PIXELS_PER_VALUE = 36


@dataclass(frozen=True, eq=False)
class AssessedPose:
    """A refined pose (4, 4) of the first camera and the evidence for it.

    started_from: (4, 4) the pose before any step; start: name of the start, in words.
    stopped: why the refinement ended. similarities: at the pose, one for each view, at the level of the evidence's
    similarity, which is their mean.
    """

    pose: Tensor
    started_from: Tensor
    start: str
    stopped: str
    evidence: Evidence
    uncertainty: Uncertainty
    verdict: Verdict
    similarities: tuple[float, ...]

    def is_better_than(self, other: AssessedPose) -> bool:
        """Whether this pose is preferred to the other."""
        if self.verdict.accepted != other.verdict.accepted:
            return self.verdict.accepted
        return self.evidence.similarity > other.evidence.similarity

    def is_where(self, other: AssessedPose, pivot: Tensor) -> bool:
        """Whether both are the same optimum; pivot as in ProblemCache."""
        return len(distinct_places(torch.stack([self.pose, other.pose]), pivot, 2)) == 1

    def beside(self, rival: AssessedPose, pivot: Tensor) -> AssessedPose:
        """The same pose, judged again given that another attempt ended in `rival`."""
        apart = self.evidence.similarity - rival.evidence.similarity
        gaps = (self.evidence.gap, rival.evidence.gap if self.is_where(rival, pivot) else apart)
        evidence = replace(self.evidence, gap=min((gap for gap in gaps if gap is not None), default=None))
        return replace(self, evidence=evidence, verdict=judge(evidence))

    def or_better(self, other: AssessedPose, pivot: Tensor) -> AssessedPose:
        """The preferred one of two, each judged given the other."""
        one, other = self.beside(other, pivot), other.beside(self, pivot)
        return other if other.is_better_than(one) else one

    def unconfirmed(self) -> AssessedPose:
        """The same pose, not accepted, as no search led back to it."""
        if not self.verdict.accepted:
            return self
        return replace(self, verdict=Verdict(False, _UNCONFIRMED, ReasonCode.UNCONFIRMED))

    @property
    def is_mirrored(self) -> bool:
        """Whether the mirrored X-ray fits better here."""
        return fits_better_mirrored(self.evidence)

    def is_clear(self, partial: bool) -> bool:
        """Whether it needs no confirming search; `partial` as in ProblemCache."""
        sure = SURE_SIMILARITY_OF_A_PART if partial else SURE_SIMILARITY
        return self.verdict.accepted and self.evidence.similarity >= sure


def assess(
    problems: ProblemCache,
    state: State,
    gap: float | None,
    started: Tensor,
    name: str,
    pause: Callable[[], object] = lambda: None,
) -> AssessedPose:
    """Evidence, uncertainty and verdict for the best pose of a state at the finest level.

    gap: how much lower the best other optimum scores, where one was found.
    started, name: `started_from` and `start` of AssessedPose.
    pause: called between renders.
    """
    pose = state.poses[0]
    *_, coarse, fine = problems.settings.refine.levels
    problem = problems.problem(fine, pose[None], REFINE_MARGIN_MM)
    agreement = problem.agreement(pose[None])
    finest = float(agreement.score[0])
    smaller = problems.problem(coarse, pose[None], REFINE_MARGIN_MM)
    coarser = float(smaller.scores(pose[None])[0])
    pixels = sum(
        float((view.target.mask * (1 if view.support is None else view.support[0])).sum()) for view in problem.views
    )
    targets = torch.as_tensor(problems.scene.target_points())
    uncertainty = uncertainty_of(agreement, pose, problems.pivot, targets, int(pixels / _PIXELS_PER_VALUE))
    similarity = math.nan if math.isnan(coarser) else max(finest, coarser)
    per_view = _by_view(problem if similarity == finest else smaller, pose, similarity)
    evidence = Evidence(
        similarity=similarity,
        contrast=contrast(problem, pose, finest),
        gap=gap,
        in_view=in_view(problem, pose),
        expected_error_mm=uncertainty.target_mm,
        mirror_gap=_mirror_gap(problems, pose, coarser, finest, pause),
        weakest_view=_least(per_view) if len(per_view) > 1 else None,
        place=place_of(problems.attenuation, problem, pose),
    )
    return AssessedPose(pose, started, name, state.reasons[0], evidence, uncertainty, judge(evidence), per_view)


def _by_view(problem: Problem, pose: Tensor, together: float) -> tuple[float, ...]:
    """The similarity of each view at a pose (4, 4); `together`: their known mean."""
    if len(problem.views) == 1:
        return (together,)
    similarities = []
    for view, image in zip(problem.views, problem.images(pose[None]), strict=True):
        similarities.append(float(problem.similarity.score(view.target, image, view.support)[0]))
    return tuple(similarities)


def _least(values: tuple[float, ...]) -> float:
    """The minimum of the values, NaN where one is NaN."""
    return math.nan if any(math.isnan(value) for value in values) else min(values)


def _mirror_gap(
    problems: ProblemCache, pose: Tensor, coarser: float, finest: float, pause: Callable[[], object]
) -> float:
    """How much better the X-rays fit than their mirror images do near the mirrored pose.

    Compared at the level before the finest, and at the finest only where that is inconclusive.
    """
    mirror = problems.mirrored()
    poses = mirrored_pose(pose, problems.pivot)[None]
    levels = problems.settings.refine.levels
    gap = 0.0
    for level in levels:
        problem = mirror.problem(level, poses, REFINE_MARGIN_MM)
        state = descend(problem, poses, _MIRROR_STEPS, problems.settings.refine.step, lambda state: pause())
        poses, reached = state.poses, float(state.agreement.score[0])
        if level is levels[-2]:
            gap = coarser - reached
            if abs(gap) > _CLEAR_MIRROR_GAP:
                return gap
    return finest - reached
