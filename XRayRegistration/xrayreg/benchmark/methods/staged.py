"""Classical methods as a sequence of levels, each with a resolution, a similarity, a parameterisation, an optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...geometry import Camera, nominal_pose, nominal_sod_mm
from ...optimize import (
    EulerPenalty,
    Optimiser,
    OptimiserProgress,
    Optimum,
    Parameterisation,
    Penalty,
    PoseObjective,
    optimise,
    span,
)
from ...registration.problem import Problem
from ...registration.problem_cache import ProblemCache, problem_cache_for
from ...registration.results import OnStep
from ...scene import Scene
from ...settings import LevelSettings, PoseSpan, Term, registration_settings
from .meter import Meter, single
from .method import MethodContext, MethodOutcome

# Images to which the published downsampling factors refer: 1536 pixels less 50 on each side, and a source-to-image
# distance of 1020 mm in their pixels of 0.194 mm.
PUBLISHED_PX = 1436
PUBLISHED_FOCAL_PX = 1020 / 0.194

# Units of the twist parameters [rad, mm]: small steps, larger in depth, which is the least determined.
UNITS = torch.tensor([math.radians(1.0)] * 3 + [1.0, 1.0, 3.0], dtype=torch.float64)

# Longest side [pixels] to which a camera's images are downsampled, by the nearest whole factor.
Size = Callable[[Camera], float]
# From the start of a level (4, 4) and the pivot (3,): its parameterisation and its optimiser.
Solver = Callable[[Tensor, Tensor], tuple[Parameterisation, Optimiser]]


def as_large(downsampling: float) -> Size:
    """The size of the published images downsampled by `downsampling`, independent of the pixel pitch."""
    return lambda camera: PUBLISHED_PX / downsampling


def as_fine(downsampling: float) -> Size:
    """The size at which pixels subtend the same angle as in the published images downsampled by `downsampling`.

    For methods whose windows are lengths on the detector: smaller detectors have smaller images.
    """

    def size(camera: Camera) -> float:
        return max(camera.width, camera.height) * PUBLISHED_FOCAL_PX / (downsampling * camera.focal_px)

    return size


@dataclass(frozen=True, eq=False)
class Regulariser:
    """Prior knowledge of the pose.

    penalties: from the start of a level (4, 4) and the pivot (3,). weight: of the similarity relative to them.
    """

    penalties: Callable[[Tensor, Tensor], tuple[Penalty, ...]]
    weight: float


def held_near(spread: PoseSpan, weights: tuple[float, float]) -> Regulariser:
    """A penalty on the distance from a level's start: `weights` of similarity and penalty, `spread` of the penalty."""
    of_similarity, of_penalty = weights
    return Regulariser(lambda start, pivot: (EulerPenalty(start, pivot, span(spread), of_penalty),), of_similarity)


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a method.

    size: of the images. terms: of the similarity. solver: makes its parameterisation and optimiser.
    evaluations: approximate number of poses. message: description for the user.
    regulariser: prior knowledge of the pose, if any; the last level of a method has none.
    """

    size: Size
    terms: tuple[Term, ...]
    solver: Solver
    evaluations: int
    message: str
    regulariser: Regulariser | None = None


@dataclass(frozen=True, eq=False)
class LevelResult:
    """Result of a run of levels: pose (4, 4), its score on the last level, and why it ended."""

    pose: Tensor
    score: float
    reason: str


@dataclass(frozen=True)
class Part:
    """A part of the whole work: its start and length as fractions, and its approximate number of evaluations."""

    before: float
    share: float
    evaluations: int
    message: str


def registered(
    scene: Scene,
    context: MethodContext,
    levels: Sequence[Level],
    starts_from: Callable[[Tensor, Tensor], list[Tensor]],
    on_step: OnStep,
) -> MethodOutcome:
    """Run the levels from every start and keep the best pose by the last level's score.

    starts_from: computes the starts (4, 4), the given one first, from the given one (4, 4) and the pivot (3,).
    The whole image is compared, even if only some structures are rendered. If the given pose scores better than every
    pose found, it is returned.
    """
    settings = registration_settings(engine=context.engine, device=context.device, seed=context.seed)
    problems = replace(problem_cache_for(scene, settings), partial=False)
    meter = Meter(lambda: problems.renders)
    given = given_start(scene, problems.pivot)
    starts = starts_from(given, problems.pivot)
    best: LevelResult | None = None
    for number, start in enumerate(starts):
        found = _through(problems, levels, start, meter, number / len(starts), 1 / len(starts), on_step)
        best = found if best is None or not best.score >= found.score else best
    assert best is not None
    problem = _problem(problems, levels[-1], best.pose)
    as_given = float(problem.scores(given[None])[0])
    if as_given > best.score or math.isnan(best.score):
        return meter.outcome(given, as_given, "Nothing was found that fits better than the start.")
    return meter.outcome(best.pose, best.score, best.reason)


def given_start(scene: Scene, pivot: Tensor) -> Tensor:
    """The pose (4, 4) that a scene gives, a nominal frontal one if it gives none."""
    camera = scene.views[0].camera
    if scene.initial is not None:
        return single(camera.camera_from_world @ scene.initial)
    return single(nominal_pose("pa", pivot.numpy(), nominal_sod_mm(camera)))


def _through(
    problems: ProblemCache,
    levels: Sequence[Level],
    start: Tensor,
    meter: Meter,
    before: float,
    share: float,
    on_step: OnStep,
) -> LevelResult:
    pose, score, reason = start, math.nan, ""
    # The cost of a level is about proportional to the pixels of all its images.
    costs = [level.evaluations * _image_px(problems.scene, level) ** 2 for level in levels]
    for level, cost in zip(levels, costs, strict=True):
        parameters, optimiser = level.solver(pose, problems.pivot)
        objective = _objective(_problem(problems, level, pose), level, parameters, pose)
        part = Part(before, share * cost / sum(costs), level.evaluations, level.message)
        optimum = played(optimiser, objective, meter, part, on_step)
        before += part.share
        score, reason = optimum.score, optimum.reason
        if not math.isnan(score):
            pose = parameters.poses(optimum.point[None])[0]
    return LevelResult(pose, score, reason)


def _problem(problems: ProblemCache, level: Level, around: Tensor) -> Problem:
    """The problem of a level for poses near one (4, 4), on whole images."""
    settings = LevelSettings(_image_px(problems.scene, level), 0, level.terms)
    return problems.problem(settings, around[None], math.inf)


def _objective(problem: Problem, level: Level, parameters: Parameterisation, start: Tensor) -> PoseObjective:
    """The objective of a level that starts at a pose (4, 4)."""
    if level.regulariser is None:
        return PoseObjective(problem, parameters)
    penalties = level.regulariser.penalties(start, problem.pivot)
    return PoseObjective(problem, parameters, penalties, level.regulariser.weight)


def _image_px(scene: Scene, level: Level) -> int:
    """Longest side of a level's images [pixels]; images are downsampled, never upsampled."""
    cameras = [view.camera for view in scene.views]
    longest = max(max(camera.width, camera.height) for camera in cameras)
    return min(longest, max(1, round(level.size(cameras[0]))))


def played(optimiser: Optimiser, objective: PoseObjective, meter: Meter, part: Part, on_step: OnStep) -> Optimum:
    """Run `optimiser` on `objective` as a level of its own, with a step after every evaluation."""
    meter.next_level()

    def on_progress(progress: OptimiserProgress) -> None:
        meter.saw(objective.parameters.poses(progress.point[None])[0], progress.score)
        done = min(1.0, progress.evaluations / max(1, part.evaluations))
        on_step(meter.step(part.before + part.share * done, part.message))

    on_step(meter.step(part.before, part.message))
    return optimise(optimiser, objective.answer, on_progress)
