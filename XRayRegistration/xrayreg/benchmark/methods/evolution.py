"""Derivative-free methods with a wide search: CMA-ES, differential evolution and grids, followed by BOBYQA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...optimize import (
    LandmarkPenalty,
    Optimiser,
    Parameterisation,
    RotVec,
    SE3Log,
    bobyqa,
    cma_es,
    differential_evolution,
    grid,
    span,
)
from ...registration.initial import LandmarkPose
from ...registration.results import OnStep
from ...scene import Scene
from ...settings import BobyqaSettings, CmaSettings, DeSettings, GridSettings, PoseSpan
from ...settings.methods import (
    CHEN_BOX,
    CHEN_CMA,
    GRUPP_DE,
    GRUPP_DE_BOX,
    GRUPP_GLOBAL_GRID,
    GRUPP_GLOBAL_GRID_BOX,
    GRUPP_GRID,
    GRUPP_GRID_BOX,
    LRA_CMA,
    XREG_BOBYQA,
    XREG_BOBYQA_BOX,
    XREG_CMA,
    XREG_CMA_SIGMA,
    XREG_LANDMARK_PX,
    XREG_PENALTY,
    XREG_PENALTY_GLOBAL,
    XREG_WEIGHTS,
)
from .given import landmark_pose
from .gradients import only
from .method import LANDMARKS, Method, MethodContext, MethodOutcome, Run, settings_with_options
from .similarities import multiscale_zncc, patch_gradient_zncc
from .staged import PUBLISHED_FOCAL_PX, Level, Regulariser, Solver, as_fine, held_near, registered


@dataclass(frozen=True)
class LocalSettings:
    """population, generations: of CMA-ES at 1/8. evaluations: of BOBYQA at 1/4. All are upper limits."""

    population: int = XREG_CMA.population
    generations: int = XREG_CMA.generations
    evaluations: int = XREG_BOBYQA.evaluations


@dataclass(frozen=True)
class XregSettings(LocalSettings):
    """penalised: whether CMA-ES has a penalty on the distance from the start, for starts known to be near the truth."""

    penalised: bool = False


@dataclass(frozen=True)
class ChenSettings:
    """image_px: the only resolution. sigma: initial standard deviation as a fraction of half the box's edges."""

    image_px: int = 256
    population: int = CHEN_CMA.population
    generations: int = CHEN_CMA.generations
    sigma: float = 0.3


@dataclass(frozen=True)
class GlobalSettings:
    """population, generations: of differential evolution at 1/32. counts: of the grid around its result.

    refined: settings of the refinement that follows.
    """

    population: int = GRUPP_DE.population
    generations: int = GRUPP_DE.generations
    counts: tuple[int, ...] = GRUPP_GRID.counts
    refined: LocalSettings = LocalSettings()


@dataclass(frozen=True)
class ExhaustiveSettings:
    """counts: of the grid at 1/32 along each pose parameter. rotation_deg, translation_mm: half its edges.

    refined: settings of the refinement that follows.
    """

    counts: tuple[int, ...] = GRUPP_GLOBAL_GRID.counts
    rotation_deg: tuple[float, float, float] = GRUPP_GLOBAL_GRID_BOX.rotation_deg
    translation_mm: tuple[float, float, float] = GRUPP_GLOBAL_GRID_BOX.translation_mm
    refined: LocalSettings = LocalSettings()


# Approximate number of generations until the tolerances end CMA-ES.
_GENERATIONS = 70
# The published budgets, reduced to what a laptop computes in half a minute.
_QUICK = LocalSettings(population=30, generations=60, evaluations=200)
QUICK_GLOBAL = GlobalSettings(population=120, generations=60, counts=(3, 3, 3, 3, 3, 3), refined=_QUICK)
QUICK_GRID = ExhaustiveSettings((7, 7, 3, 5, 5, 5), (24.0, 24.0, 8.0), (40.0, 40.0, 80.0), _QUICK)


def _xreg(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """CMA-ES at 1/8 of the resolution, then BOBYQA at 1/4 in a small box, on xReg's patch gradient correlation.

    Constants: population 100, sigma 15, 15, 30 degrees and 50, 50, 100 mm, tolerances 0.01; the box is +-2.5 degrees
    and +-5, 5, 10 mm, tolerance 1e-4. Parameters are those of se(3) about the volume's centre in the camera's axes.
    Fractions refer to pixels of 0.194 mm, 1020 mm from the source, and are kept as angles: patches keep their size on
    the detector (8 mm), and images that are already coarser are not resampled. CMA-ES returns the best pose it
    evaluated; xReg returns the mean.
    This is Grupp's first intraoperative method, which starts at a nominal frontal view without further information.
    With the penalty it is his second one, which starts near the truth (landmarks, PnP): 0.9 similarity and 0.1 penalty,
    that of a normal density with 15, 15, 10 degrees and 30, 30, 150 mm; but without weights from a segmented X-ray.
    """
    settings = settings_with_options(XregSettings(), context)
    regulariser = held_near(XREG_PENALTY, XREG_WEIGHTS) if settings.penalised else None
    return registered(scene, context, _xreg_levels(settings, context.seed, regulariser), only, on_step)


def _xreg_landmarks(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """As `xreg` with a landmark penalty: Grupp's third intraoperative method, started from the landmarks' PnP pose.

    CMA-ES has 0.9 similarity and 0.1 penalty: half the squared distances on the detector between projected and marked
    landmarks, in all views, in units of xReg's standard deviation: 100 pixels of 0.194 mm, its 20 mm. The
    released program measures them on images at 1/8, which weakens the penalty eightfold, starts at a nominal
    frontal view with one landmark aligned, and has weights from a segmented X-ray. A landmark that is inconsistent with
    the others is left out.
    """
    settings = settings_with_options(LocalSettings(), context)
    found = landmark_pose(scene, context)
    levels = _xreg_levels(settings, context.seed, _held_to_landmarks(scene, context, found))
    return registered(replace(scene, initial=found.world_from_volume), context, levels, only, on_step)


def _held_to_landmarks(scene: Scene, context: MethodContext, found: LandmarkPose) -> Regulariser:
    """Penalty on the distances between projected and marked landmarks, without the one that PnP left out."""
    of_similarity, of_penalty = XREG_WEIGHTS
    given = context.options[LANDMARKS]
    points = torch.as_tensor(np.asarray(given["points"], dtype=np.float64))
    cameras = [view.camera for view in scene.views]
    world_from_first = np.linalg.inv(cameras[0].camera_from_world)
    used = np.isfinite(found.residuals_px)
    if found.outlier is not None:
        used[:, found.outlier] = False
    views = [
        (camera, points[torch.from_numpy(here)], torch.as_tensor(np.asarray(pixels, dtype=np.float64)[here]))
        for camera, pixels, here in zip(cameras, given["pixels"], used, strict=True)
        if here.any()
    ]

    def penalties(start: Tensor, pivot: Tensor) -> tuple[LandmarkPenalty, ...]:
        return tuple(
            LandmarkPenalty(
                points=seen,
                pixels=pixels,
                camera=camera,
                view_from_first=torch.as_tensor(camera.camera_from_world @ world_from_first),
                pivot=pivot,
                deviation_px=XREG_LANDMARK_PX * camera.focal_px / PUBLISHED_FOCAL_PX,
                weight=of_penalty,
            )
            for camera, seen, pixels in views
        )

    return Regulariser(penalties, of_similarity)


def _xreg_levels(settings: LocalSettings, seed: int, regulariser: Regulariser | None) -> list[Level]:
    cma = replace(XREG_CMA, population=settings.population, generations=settings.generations, seed=seed)
    polish = replace(XREG_BOBYQA, evaluations=settings.evaluations)
    return [
        Level(
            as_fine(8.0),
            patch_gradient_zncc(8.0),
            _evolving(cma, XREG_CMA_SIGMA),
            min(_GENERATIONS, settings.generations) * settings.population,
            "CMA-ES at 1/8",
            regulariser,
        ),
        Level(as_fine(4.0), patch_gradient_zncc(4.0), _in_box(polish, XREG_BOBYQA_BOX), 200, "BOBYQA at 1/4"),
    ]


def boxed_cma(preset: CmaSettings) -> Run:
    """CMA-ES in a box about the start, at 256 pixels, on mNCC with windows of 13.

    Constants: the box is +-30 degrees and +-50 mm, population 30, 100 generations. Initial standard deviations from
    0.05 to 1 of the box are published; ours is 0.3.
    """

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        settings = settings_with_options(ChenSettings(), context)
        cma = replace(preset, population=settings.population, generations=settings.generations, seed=context.seed)
        edge = torch.ones(6, dtype=torch.float64)

        def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
            parameters = RotVec(start, pivot, span(CHEN_BOX))
            return parameters, cma_es(parameters.point(start), settings.sigma * edge, cma, -edge, edge)

        poses = settings.generations * settings.population
        level = Level(lambda _: settings.image_px, multiscale_zncc(13), solve, poses, f"CMA-ES, {_told(poses)}")
        return registered(scene, context, [level], only, on_step)

    return run


def _global(preset: GlobalSettings) -> Run:
    """Differential evolution at 1/32 in a large box, a grid around its result, CMA-ES at 1/8, BOBYQA at 1/4.

    Constants (grupp-global-full): population 1000, 400 generations in +-60, 40, 10 degrees and +-200, 200, 250 mm;
    grid in +-5, 5, 1 degrees and +-10, 10, 50 mm, 1 degree and 2, 2, 10 mm apart. CMA-ES is as in `xreg`, penalised
    with 10 degrees and 20, 20, 100 mm. Grupp's differential evolution also penalises views that are not frontal; this
    needs landmarks and is left out.
    """

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        settings = settings_with_options(preset, context)
        wide = replace(GRUPP_DE, population=settings.population, generations=settings.generations, seed=context.seed)
        levels = [
            _coarse(
                _differing(wide, GRUPP_DE_BOX), settings.generations * settings.population, "differential evolution"
            ),
            _coarse(_exhausting(settings.counts, GRUPP_GRID_BOX), math.prod(settings.counts), "a grid"),
            *_xreg_levels(settings.refined, context.seed, held_near(XREG_PENALTY_GLOBAL, XREG_WEIGHTS)),
        ]
        return registered(scene, context, levels, only, on_step)

    return run


def _grid(preset: ExhaustiveSettings) -> Run:
    """Every pose of a grid at 1/32, then CMA-ES at 1/8 and BOBYQA at 1/4 from the best, as in `grupp-global`.

    Constants (grid-full): 17, 17, 1, 21, 21, 21 poses in +-60, 40, 0 degrees and +-200, 200, 250 mm, the grid of
    Grupp's second global method. CMA-ES replaces the particle swarm and the wider BOBYQA that follow it there.
    """

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        settings = settings_with_options(preset, context)
        box = PoseSpan(settings.rotation_deg, settings.translation_mm)
        levels = [
            _coarse(_exhausting(settings.counts, box), math.prod(settings.counts), "a grid"),
            *_xreg_levels(settings.refined, context.seed, held_near(XREG_PENALTY_GLOBAL, XREG_WEIGHTS)),
        ]
        return registered(scene, context, levels, only, on_step)

    return run


def _coarse(solver: Solver, poses: int, message: str) -> Level:
    return Level(as_fine(32.0), patch_gradient_zncc(32.0), solver, poses, f"{message} at 1/32, {_told(poses)}")


def _told(poses: int) -> str:
    """The number of poses to evaluate, as text for progress messages."""
    return f"{poses:,} poses".replace(",", " ")


def _evolving(settings: CmaSettings, sigma: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters = SE3Log(start, pivot)
        return parameters, cma_es(parameters.point(start), span(sigma), settings)

    return solve


def _in_box(settings: BobyqaSettings, box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters, edge = SE3Log(start, pivot), span(box)
        return parameters, bobyqa(parameters.point(start), -edge, edge, settings)

    return solve


def _differing(settings: DeSettings, box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters, edge = SE3Log(start, pivot), span(box)
        return parameters, differential_evolution(-edge, edge, settings)

    return solve


def _exhausting(counts: tuple[int, ...], box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters, edge = SE3Log(start, pivot), span(box)
        return parameters, grid(-edge, edge, GridSettings(counts))

    return solve


_CHEN = "m1nhengChen/CMAES-reg, the CMA-ES baseline of Chen et al., ISBI 2024."
_LRA = "ISBI 2025, after Nomura, Akimoto and Ono, GECCO 2023."
_GRUPP = "Grupp et al., IJCARS 15, 2020"
EVOLUTION = (
    Method("xreg", "CMA-ES and BOBYQA (xReg)", f"{_GRUPP}; rg2/xreg.", ("initial",), _xreg),
    Method(
        "xreg-landmarks",
        "CMA-ES and BOBYQA held to landmarks (xReg)",
        f"{_GRUPP}, method 3; rg2/xreg.",
        (LANDMARKS,),
        _xreg_landmarks,
    ),
    Method("cmaes-chen", "CMA-ES (Chen)", _CHEN, ("initial",), boxed_cma(CHEN_CMA)),
    Method("lra-cma", "LRA-CMA-ES", _LRA, ("initial",), boxed_cma(LRA_CMA)),
    Method("grupp-global", "Global search (Grupp), quick", f"{_GRUPP}, after method 1.", (), _global(QUICK_GLOBAL)),
    Method(
        "grupp-global-full",
        "Global search (Grupp)",
        f"{_GRUPP}, method 1: 900 000 poses.",
        (),
        _global(GlobalSettings()),
    ),
    Method("grid", "Grid, CMA-ES and BOBYQA, quick", f"{_GRUPP}, after method 2's grid.", (), _grid(QUICK_GRID)),
    Method(
        "grid-full",
        "Grid, CMA-ES and BOBYQA",
        f"{_GRUPP}, method 2's grid: 2.7 million poses.",
        (),
        _grid(ExhaustiveSettings()),
    ),
)
