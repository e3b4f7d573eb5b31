"""The story of a registration: prepare, start, refine, judge; told one step at a time.

    for step in register(scene, settings):
        ...
    result = step.result

Whoever loops over the steps may draw them, or stop. When a case brings a pose, that is tried first; when the verdict on
it is no, the prior around it is searched (`--init auto`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import InputError
from .initial import NOMINAL_VIEWS, deviations, distinct, draw_poses, nominal_pose, nominal_sod_mm, search
from .problem import Prior, Problem
from .refine import State, best_first, descend
from .render.dispatch import choose_engine
from .results import Registration, Step, ViewResult
from .scene import Scene
from .settings import LevelSettings, PosePrior, RegistrationSettings, SearchSettings
from .verdict import (
    SURE_SIMILARITY,
    Evidence,
    Uncertainty,
    Verdict,
    contrast,
    in_view,
    judge,
    mirrored_pose,
    uncertainty_of,
)
from .workshop import Workshop

STARTS = ("auto", "case", "search")
# Part of the X-ray compared around the anatomy while refining: how far a refinement may still move it [mm].
_REFINE_MARGIN_MM = 20.0
# Steps per level for the mirrored X-ray: enough to see whether it fits better, not to measure anything.
_MIRROR_STEPS = 6
_CLEAR_MIRROR_GAP = 0.15
# Neighbouring pixels repeat each other. With one independent value in 36 pixels the expected error agreed with the true
# one on simulated X-rays (ratio 0.4 to 1.1).
_PIXELS_PER_VALUE = 36


@dataclass(frozen=True, eq=False)
class _Found:
    """A refined pose and what speaks for it."""

    pose: Tensor
    started_from: Tensor
    start: str
    stopped: str
    evidence: Evidence
    uncertainty: Uncertainty
    verdict: Verdict
    similarities: tuple[float, ...]


def register(scene: Scene, settings: RegistrationSettings, load_seconds: float = 0.0) -> Iterator[Step]:
    """Register a scene, yielding a Step at a time; the last one carries the Registration.

    Raises InputError when the scene cannot be registered at all (an unknown start or engine, anatomy out of view).
    """
    if settings.init not in STARTS:
        raise InputError("init", expected=f"one of {', '.join(STARTS)}", found=settings.init, remedy="choose one")
    if settings.init == "case" and scene.initial is None:
        raise InputError(
            "init", expected='an "initial" pose in the case', found="none", remedy="add one or use --init search"
        )
    _, _, engine = choose_engine(settings.engine, settings.device)
    clock = _Clock()
    yield Step("prepare", 0.0, "preparing the volume")
    workshop = Workshop.for_scene(scene, settings)
    first_from_world = torch.as_tensor(scene.views[0].camera.camera_from_world)
    found: _Found | None = None
    attempts = _attempts(scene, workshop, settings)
    for number, attempt in enumerate(attempts):
        shown = number / len(attempts), (number + 1) / len(attempts)
        for step, this in _try(workshop, attempt, shown, clock):
            yield step
            if this is not None and (found is None or _is_better(this, found)):
                found = this
        if found is not None and found.verdict.accepted and _is_sure(found, workshop):
            break
    assert found is not None
    yield Step(
        "done", 1.0, found.verdict.reason, found.pose.numpy(), found.evidence.similarity,
        _registration(scene, workshop, found, first_from_world, engine, clock.seconds(load_seconds)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A way to start: hypotheses (N, 4, 4) about an expected pose, ranked by `search` when there is more than one."""

    name: str
    hypotheses: Tensor
    expected: Tensor
    prior: PosePrior
    search: SearchSettings | None


def _attempts(scene: Scene, workshop: Workshop, settings: RegistrationSettings) -> list[_Attempt]:
    """What to try, cheapest first."""
    camera = scene.views[0].camera
    attempts: list[_Attempt] = []
    if scene.initial is not None:
        initial = torch.as_tensor(camera.camera_from_world @ scene.initial)[None]
        _require_in_view(scene, workshop, initial[0])
        if settings.init != "search":
            attempts.append(_Attempt("the case's initial pose", initial, initial[0], settings.search.prior, None))
        centres = initial
    else:
        sod = nominal_sod_mm(camera)
        poses = [nominal_pose(view, workshop.pivot.numpy(), sod) for view in NOMINAL_VIEWS]
        centres = torch.as_tensor(np.stack(poses))
    if settings.init != "case":
        small = scene.initial is not None and workshop.is_small(centres[0])
        wide = settings.part_search if small else settings.search
        spread = PosePrior(_times(wide.prior.rotation_deg, wide.spread), _times(wide.prior.translation_mm, wide.spread))
        drawn = draw_poses(centres, workshop.pivot, spread, wide.hypotheses, settings.seed)
        attempts.append(_Attempt("a search", drawn, centres[0], spread, wide))
    return attempts


def _try(
    workshop: Workshop, attempt: _Attempt, shown: tuple[float, float], clock: _Clock
) -> Iterator[tuple[Step, _Found | None]]:
    """Run one attempt; the last yield brings what was found."""
    settings = workshop.settings
    low, width = shown[0], shown[1] - shown[0]
    poses, others = attempt.hypotheses, None
    one_centre = workshop.scene.initial is not None
    prior = Prior(attempt.expected, deviations(attempt.prior), settings.refine.prior_weight) if one_centre else None
    levels = settings.refine.levels
    if attempt.search is not None:
        clock.switch("initialise")
        margin = _REFINE_MARGIN_MM + 2 * max(attempt.prior.translation_mm[:2])
        searching = workshop.for_search()

        def problem_at(level: LevelSettings, around: Tensor) -> Problem:
            return searching.problem(level, around, margin, prior)

        for candidates in search(problem_at, poses, attempt.search, settings.refine.step):
            best, score = candidates.poses[0].numpy(), float(candidates.scores[0])
            yield Step("search", low + 0.5 * width * candidates.fraction, candidates.message, best, score), None
        poses = candidates.poses
        if len(candidates.scores) > 1:
            others = float(candidates.scores[0] - candidates.scores[1])
        levels = (
            tuple(level for level in levels if level.image_px > attempt.search.levels[0].image_px * 2) or levels[-1:]
        )
    clock.switch("refine")
    started = attempt.expected
    state: State | None = None
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        poses = poses[:1] if last else poses
        problem = workshop.problem(level, poses, _REFINE_MARGIN_MM, prior)
        for taken, state in enumerate(descend(problem, poses, level.max_steps, settings.refine.step)):
            done = (number + min(1.0, taken / max(1, level.max_steps))) / len(levels)
            message = f"refining at {max(view.camera.width for view in problem.views)} px"
            ordered = best_first(state)
            fraction = low + width * (0.5 + 0.45 * done)
            yield Step("refine", fraction, message, ordered.poses[0].numpy(), float(ordered.agreement.score[0])), None
        assert state is not None
        state = best_first(state)
        if not last:
            others = _rivals(state, workshop.pivot)
        poses = state.poses
    assert state is not None
    clock.switch("judge")
    found = _weigh(workshop, state, others, started, attempt.name)
    message = f"{attempt.name}: {'accepted' if found.verdict.accepted else 'not trusted'}"
    yield Step("judge", low + 0.99 * width, message, found.pose.numpy(), found.evidence.similarity), found


def _rivals(state: State, pivot: Tensor) -> float | None:
    """How much lower the best other optimum of a level scores; None when all starts found the same one."""
    _, scores = distinct(state.poses, state.agreement.score, pivot, 2)
    return float(scores[0] - scores[1]) if len(scores) > 1 else None


def _weigh(workshop: Workshop, state: State, gap: float | None, started: Tensor, name: str) -> _Found:
    """Evidence, uncertainty and verdict for the best pose of a state at the finest level."""
    pose = state.poses[0]
    *_, coarse, fine = workshop.settings.refine.levels
    problem = workshop.problem(fine, pose[None], _REFINE_MARGIN_MM)
    agreement = problem.agreement(pose[None])
    finest = float(agreement.score[0])
    coarser = float(workshop.problem(coarse, pose[None], _REFINE_MARGIN_MM).scores(pose[None])[0])
    pixels = sum(
        float((view.target.mask * (1 if view.support is None else view.support[0])).sum()) for view in problem.views
    )
    targets = torch.as_tensor(workshop.scene.target_points())
    uncertainty = uncertainty_of(agreement, pose, workshop.pivot, targets, int(pixels / _PIXELS_PER_VALUE))
    evidence = Evidence(
        similarity=max(finest, coarser),
        contrast=contrast(problem, pose, finest),
        gap=gap,
        in_view=in_view(problem, pose),
        expected_error_mm=uncertainty.target_mm,
        mirror_gap=_mirror_gap(workshop, pose, coarser, finest),
    )
    per_view = tuple(
        float(problem.similarity.score(view.target, image, view.support)[0])
        for view, image in zip(problem.views, problem.images(pose[None]), strict=True)
    )
    return _Found(pose, started, name, state.reasons[0], evidence, uncertainty, judge(evidence), per_view)


def _mirror_gap(workshop: Workshop, pose: Tensor, coarser: float, finest: float) -> float:
    """How much better the X-rays fit than their mirror images do near the mirrored pose.

    Compared before the finest level, and on the finest only when that does not decide.
    """
    mirror = workshop.mirrored()
    poses = mirrored_pose(pose, workshop.pivot)[None]
    levels = workshop.settings.refine.levels
    gap = 0.0
    for level in levels:
        problem = mirror.problem(level, poses, _REFINE_MARGIN_MM)
        for state in descend(problem, poses, _MIRROR_STEPS, workshop.settings.refine.step):
            poses, reached = state.poses, float(state.agreement.score[0])
        if level is levels[-2]:
            gap = coarser - reached
            if abs(gap) > _CLEAR_MIRROR_GAP:
                return gap
    return finest - reached


def _is_sure(found: _Found, workshop: Workshop) -> bool:
    """Whether an accepted pose needs no second opinion from a search."""
    return not workshop.partial or found.evidence.similarity >= SURE_SIMILARITY


def _is_better(this: _Found, other: _Found) -> bool:
    if this.verdict.accepted != other.verdict.accepted:
        return this.verdict.accepted
    return this.evidence.similarity > other.evidence.similarity


def _registration(
    scene: Scene, workshop: Workshop, found: _Found, first_from_world: Tensor, engine: str, seconds: dict[str, float]
) -> Registration:
    world_from_first = np.linalg.inv(first_from_world.numpy())
    world_from_volume = world_from_first @ found.pose.numpy()
    return Registration(
        world_from_volume=world_from_volume,
        started_from=world_from_first @ found.started_from.numpy(),
        views=tuple(
            ViewResult(view.name, view.camera.camera_from_world @ world_from_volume, similarity)
            for view, similarity in zip(scene.views, found.similarities, strict=True)
        ),
        verdict=found.verdict,
        evidence=found.evidence,
        uncertainty=found.uncertainty,
        start=found.start,
        stopped=found.stopped,
        seconds=seconds,
        renders=workshop.renders,
        engine=engine,
        notes=tuple(f"{view.name}: {note}" for view in scene.views for note in view.notes),
    )


def _require_in_view(scene: Scene, workshop: Workshop, pose: Tensor) -> None:
    """Refuse an initial pose that puts the whole volume outside every view."""
    first_from_world = scene.views[0].camera.camera_from_world
    for view in scene.views:
        camera_from_volume = view.camera.camera_from_world @ np.linalg.inv(first_from_world) @ pose.numpy()
        corners = workshop.attenuation.grid.corners() @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]
        if corners[:, 2].max() <= 0:
            continue
        pixels = view.camera.project(corners)
        low, high = np.nanmin(pixels, axis=0), np.nanmax(pixels, axis=0)
        if low[0] < view.camera.width and low[1] < view.camera.height and (high > 0).all():
            return
    raise InputError(
        "initial pose",
        expected="a pose that puts the volume into the X-ray",
        found="a volume entirely outside the view",
        remedy='check "initial" (world_from_volume, RAS mm), or leave it out to search',
    )


def _times(values: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    first, second, third = (value * factor for value in values)
    return first, second, third


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self._spent = {"initialise": 0.0, "refine": 0.0, "judge": 0.0}
        self._stage, self._since = "initialise", time.perf_counter()

    def switch(self, stage: str) -> None:
        now = time.perf_counter()
        self._spent[self._stage] += now - self._since
        self._stage, self._since = stage, now

    def seconds(self, load: float) -> dict[str, float]:
        self.switch(self._stage)
        spent = {"load": load, **self._spent}
        return {**spent, "total": sum(spent.values())}


def world_pose(scene: Scene, camera_from_volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """world_from_volume (4, 4) of a Step's pose, which is that of the first view's camera."""
    return np.linalg.inv(scene.views[0].camera.camera_from_world) @ camera_from_volume
