"""Classical methods as levels, one after the other: a resolution, a similarity, and an optimiser on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..initial import nominal_pose, nominal_sod_mm
from ..pieces import Pieces, Story, retold
from ..refine import Chart, EulerPenalty, Optimiser, Optimum, PoseObjective, Progress, Query, optimise, span
from ..results import Step
from ..scene import Scene
from ..settings import LevelSettings, PoseSpan, Term, registration_settings
from ..workshop import Workshop, workshop_for
from .meter import Meter, single
from .method import MethodContext, Outcome

# Longest side of the images on which published resolutions were set: 1536 pixels less 50 on each side. Resolutions are
# kept as image sizes, so that they mean the same on other detectors.
PUBLISHED_PX = 1436

# One unit of each number of a twist: small steps, depth being the least determined [rad, mm].
UNITS = torch.tensor([math.radians(1.0)] * 3 + [1.0, 1.0, 3.0], dtype=torch.float64)

# From where a level starts (4, 4) and the pivot (3,): how poses are written there, and what looks for the best.
Solver = Callable[[Tensor, Tensor], tuple[Chart, Optimiser]]


@dataclass(frozen=True, eq=False)
class Regulariser:
    """A penalty on poses far from the start: `weights` of similarity and penalty, `spread` of the latter."""

    spread: PoseSpan
    weights: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a method.

    downsampling: of the images on which the method was published (see PUBLISHED_PX).
    terms: of the similarity. solver: what looks for its best value. evaluations: about how many poses that takes.
    message: what is done, for people. regulariser: on poses far from the start of the whole method, if any.
    """

    downsampling: float
    terms: tuple[Term, ...]
    solver: Solver
    evaluations: int
    message: str
    regulariser: Regulariser | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """Where a run of levels ended: pose (4, 4), its score on the last one, and why."""

    pose: Tensor
    score: float
    reason: str


@dataclass(frozen=True)
class Part:
    """A part of the whole work: where it begins, how long it is, and about how many evaluations it takes."""

    before: float
    share: float
    evaluations: int
    message: str


def registered(
    scene: Scene, context: MethodContext, levels: Sequence[Level], starts_from: Callable[[Tensor, Tensor], list[Tensor]]
) -> Story[Step, Outcome]:
    """Run the levels from every start and keep the best pose by the last level's score.

    starts_from: the starts (4, 4), the given one first, from the given one (4, 4) and the pivot (3,).
    The whole image is compared, also where only some structures are rendered. A method that found nothing better than
    what it was given by its own measure gives that back.
    """
    settings = registration_settings(engine=context.engine, device=context.device, seed=context.seed)
    workshop = replace((yield from workshop_for.pieces(scene, settings)), partial=False)
    meter = Meter(lambda: workshop.renders)
    given = given_start(scene, workshop.pivot)
    starts = starts_from(given, workshop.pivot)
    best: Found | None = None
    for number, start in enumerate(starts):
        found = yield from _through(workshop, levels, start, meter, number / len(starts), 1 / len(starts))
        best = found if best is None or not best.score >= found.score else best
    assert best is not None
    chart, optimiser = levels[-1].solver(given, workshop.pivot)
    optimiser.close()
    objective = yield from _objective(workshop, levels[-1], chart, given, given)
    answer = yield from objective.answer.pieces(Query(chart.point(given)[None]))
    as_given = float(answer.scores[0])
    if as_given > best.score or math.isnan(best.score):
        return meter.outcome(given, as_given, "Nothing was found that fits better than the start.")
    return meter.outcome(best.pose, best.score, best.reason)


def given_start(scene: Scene, pivot: Tensor) -> Tensor:
    """The pose (4, 4) that a scene gives, a nominal frontal one where it gives none."""
    camera = scene.views[0].camera
    if scene.initial is not None:
        return single(camera.camera_from_world @ scene.initial)
    return single(nominal_pose("pa", pivot.numpy(), nominal_sod_mm(camera)))


def _through(
    workshop: Workshop, levels: Sequence[Level], start: Tensor, meter: Meter, before: float, share: float
) -> Story[Step, Found]:
    pose, score, reason = start, math.nan, ""
    share /= len(levels)
    for number, level in enumerate(levels):
        chart, optimiser = level.solver(pose, workshop.pivot)
        objective = yield from _objective(workshop, level, chart, pose, start)
        part = Part(before + number * share, share, level.evaluations, level.message)
        optimum = yield from played(optimiser, objective, meter, part)
        score, reason = optimum.score, optimum.reason
        if not math.isnan(score):
            pose = chart.poses(optimum.point[None])[0]
    return Found(pose, score, reason)


def _objective(
    workshop: Workshop, level: Level, chart: Chart, around: Tensor, expected: Tensor
) -> Pieces[PoseObjective]:
    """The objective of a level on a chart; `expected` (4, 4) is what its regulariser, if any, prefers."""
    longest = max(max(view.camera.width, view.camera.height) for view in workshop.scene.views)
    image_px = min(longest, round(PUBLISHED_PX / level.downsampling))
    problem = yield from workshop.problem.pieces(LevelSettings(image_px, 0, level.terms), around[None], math.inf)
    if level.regulariser is None:
        return PoseObjective(problem, chart)
    of_similarity, of_penalty = level.regulariser.weights
    penalty = EulerPenalty(expected, workshop.pivot, span(level.regulariser.spread), of_penalty)
    return PoseObjective(problem, chart, (penalty,), of_similarity)


def played(optimiser: Optimiser, objective: PoseObjective, meter: Meter, part: Part) -> Story[Step, Optimum]:
    """Let an optimiser have its way on a level of its own, telling the best so far after every answer."""
    meter.next_level()

    def told(progress: Progress) -> Step:
        meter.saw(objective.chart.poses(progress.point[None])[0], progress.score)
        done = min(1.0, progress.evaluations / max(1, part.evaluations))
        return meter.step(part.before + part.share * done, part.message)

    return (yield from retold(optimise.pieces(optimiser, objective.answer.pieces), told))
