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
from .initial import (
    NOMINAL_VIEWS,
    Candidates,
    deviations,
    distinct,
    draw_poses,
    nominal_pose,
    nominal_sod_mm,
    search,
)
from .judgement import Found, weigh
from .pieces import Pieces, Story, retold
from .problem import Prior, Problem
from .refine import State, best_first, descend
from .render import choose_engine, warm_up
from .results import Registration, Step, ViewResult
from .scene import Scene
from .settings import LevelSettings, PosePrior, RegistrationSettings, SearchSettings
from .workshop import REFINE_MARGIN_MM, Workshop, workshop_for

STARTS = ("auto", "case", "search")


def register(scene: Scene, settings: RegistrationSettings, load_seconds: float = 0.0) -> Iterator[Step]:
    """Register a scene, yielding a Step at a time; the last one carries the Registration.

    Steps come often enough for a window to live meanwhile: where there is nothing new to tell, the last Step comes
    again, the same object. Only where the render engine was never compiled on this machine the first steps take long
    (see `render.kernels_are_cached`).
    Raises InputError when the scene cannot be registered at all (an unknown start or engine, anatomy out of view).
    """
    if settings.init not in STARTS:
        raise InputError("init", expected=f"one of {', '.join(STARTS)}", found=settings.init, remedy="choose one")
    if settings.init == "case" and scene.initial is None:
        raise InputError(
            "init", expected='an "initial" pose in the case', found="none", remedy="add one or use --init search"
        )
    told = Step("prepare", 0.0, "loading the render engine")
    for news in _story(scene, settings, load_seconds):
        told = told if news is None else news
        yield told


def _story(scene: Scene, settings: RegistrationSettings, load_seconds: float) -> Story[Step, None]:
    clock = _Clock()
    _, _, engine = choose_engine(settings.engine, settings.device)
    yield from retold(warm_up.pieces(settings.engine, settings.device), lambda part: None)
    yield Step("prepare", 0.0, "preparing the volume")
    workshop = yield from workshop_for.pieces(scene, settings)
    best: Found | None = None
    attempts = _attempts(scene, workshop, settings)
    for number, attempt in enumerate(attempts):
        found = yield from _try(workshop, attempt, _Span(number / len(attempts), 1 / len(attempts)), clock)
        best = found if best is None or found.is_better_than(best) else best
        if best.is_sure(workshop.partial):
            break
    assert best is not None
    yield Step(
        "done", 1.0, best.verdict.reason, best.pose.numpy(), best.evidence.similarity,
        _registration(scene, workshop, best, engine, clock.seconds(load_seconds)),
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


@dataclass(frozen=True)
class _Span:
    """One attempt's part of the whole registration."""

    start: float
    length: float

    def at(self, share: float) -> float:
        """The fraction of the whole where a share of this part is done."""
        return self.start + self.length * share


def _try(workshop: Workshop, attempt: _Attempt, span: _Span, clock: _Clock) -> Story[Step, Found]:
    """Run one attempt: search where it asks for that, refine, judge."""
    settings = workshop.settings
    one_centre = workshop.scene.initial is not None
    prior = Prior(attempt.expected, deviations(attempt.prior), settings.refine.prior_weight) if one_centre else None
    poses, gap, levels = attempt.hypotheses, None, settings.refine.levels
    if attempt.search is not None:
        clock.switch("initialise")
        candidates = yield from _searched(workshop, attempt, attempt.search, span, prior)
        poses = candidates.poses
        if len(candidates.scores) > 1:
            gap = float(candidates.scores[0] - candidates.scores[1])
        larger = tuple(level for level in levels if level.image_px > attempt.search.levels[0].image_px * 2)
        levels = larger or levels[-1:]
    clock.switch("refine")
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        poses = poses[:1] if last else poses
        part = _Span(span.at(0.5 + 0.45 * number / len(levels)), span.length * 0.45 / len(levels))
        state = best_first((yield from _refined(workshop, level, poses, part, prior)))
        if not last:
            gap = _rivals(state, workshop.pivot)
        poses = state.poses
    clock.switch("judge")
    pose, score = state.poses[0].numpy(), float(state.agreement.score[0])
    yield Step("judge", span.at(0.96), f"judging {attempt.name}", pose, score)
    found = yield from weigh.pieces(workshop, state, gap, attempt.expected, attempt.name)
    message = f"{attempt.name}: {'accepted' if found.verdict.accepted else 'not trusted'}"
    yield Step("judge", span.at(0.99), message, found.pose.numpy(), found.evidence.similarity)
    return found


def _searched(
    workshop: Workshop, attempt: _Attempt, settings: SearchSettings, span: _Span, prior: Prior | None
) -> Story[Step, Candidates]:
    """The distinct best poses around an attempt's hypotheses."""
    margin = REFINE_MARGIN_MM + 2 * max(attempt.prior.translation_mm[:2])
    searching = yield from workshop.for_search.pieces()

    def problem_at(level: LevelSettings, around: Tensor) -> Pieces[Problem]:
        return searching.problem.pieces(level, around, margin, prior)

    def step(found: Candidates) -> Step:
        pose, score = found.poses[0].numpy(), float(found.scores[0])
        return Step("search", span.at(0.5 * found.fraction), found.message, pose, score)

    story = search(problem_at, attempt.hypotheses, settings, workshop.settings.refine.step)
    return (yield from retold(story, step))


def _refined(
    workshop: Workshop, level: LevelSettings, poses: Tensor, span: _Span, prior: Prior | None
) -> Story[Step, State]:
    """Poses (B, 4, 4) refined on one level."""
    problem = yield from workshop.problem.pieces(level, poses, REFINE_MARGIN_MM, prior)
    message = f"refining at {max(view.camera.width for view in problem.views)} px"

    def step(state: State) -> Step:
        best = best_first(state)
        done = min(1.0, state.steps / max(1, level.max_steps))
        return Step("refine", span.at(done), message, best.poses[0].numpy(), float(best.agreement.score[0]))

    story = descend(problem, poses, level.max_steps, workshop.settings.refine.step)
    return (yield from retold(story, step))


def _rivals(state: State, pivot: Tensor) -> float | None:
    """How much lower the best other optimum of a level scores; None when all starts found the same one."""
    _, scores = distinct(state.poses, state.agreement.score, pivot, 2)
    return float(scores[0] - scores[1]) if len(scores) > 1 else None


def _registration(
    scene: Scene, workshop: Workshop, found: Found, engine: str, seconds: dict[str, float]
) -> Registration:
    world_from_first = np.linalg.inv(scene.views[0].camera.camera_from_world)
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
