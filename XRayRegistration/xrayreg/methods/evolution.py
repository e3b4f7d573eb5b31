"""Methods that need no slope and look further than one: CMA-ES, differential evolution, grids, then BOBYQA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..pieces import Story
from ..refine import Chart, Optimiser, TwistChart, bobyqa, cma_es, differential_evolution, grid, span
from ..results import Step
from ..scene import Scene
from ..settings import BobyqaSettings, CmaSettings, DeSettings, GridSettings, PoseSpan
from ..settings.methods import (
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
    XREG_PENALTY,
    XREG_PENALTY_GLOBAL,
    XREG_WEIGHTS,
)
from .gradients import only
from .method import Method, MethodContext, Outcome, Run, settings_with_options
from .similarities import multiscale_zncc, patch_gradient_zncc
from .staged import PUBLISHED_PX, Level, Regulariser, Solver, registered


@dataclass(frozen=True)
class XregSettings:
    """population, generations: of CMA-ES at 1/8. evaluations: of BOBYQA at 1/4. All at most."""

    population: int = XREG_CMA.population
    generations: int = XREG_CMA.generations
    evaluations: int = XREG_BOBYQA.evaluations


@dataclass(frozen=True)
class ChenSettings:
    """image_px: the only resolution. sigma: the first standard deviation as a share of half the box's edges."""

    image_px: int = 256
    population: int = CHEN_CMA.population
    generations: int = CHEN_CMA.generations
    sigma: float = 0.3


@dataclass(frozen=True)
class GlobalSettings:
    """Differential evolution at 1/32, a grid around what it found, then `refined` as in XregSettings."""

    population: int = GRUPP_DE.population
    generations: int = GRUPP_DE.generations
    counts: tuple[int, ...] = GRUPP_GRID.counts
    refined: XregSettings = XregSettings()


@dataclass(frozen=True)
class ExhaustiveSettings:
    """counts: of the grid at 1/32 along each number of the twist; rotation_deg, translation_mm: half its edges."""

    counts: tuple[int, ...] = GRUPP_GLOBAL_GRID.counts
    rotation_deg: tuple[float, float, float] = GRUPP_GLOBAL_GRID_BOX.rotation_deg
    translation_mm: tuple[float, float, float] = GRUPP_GLOBAL_GRID_BOX.translation_mm
    refined: XregSettings = XregSettings()


# Generations of CMA-ES before its tolerances end it, about.
_GENERATIONS = 60
# So much of the published budgets as a laptop does in half a minute.
_QUICK = XregSettings(population=30, generations=60, evaluations=200)
QUICK_GLOBAL = GlobalSettings(population=120, generations=60, counts=(3, 3, 3, 3, 3, 3), refined=_QUICK)
QUICK_GRID = ExhaustiveSettings((7, 7, 3, 5, 5, 5), (24.0, 24.0, 8.0), (40.0, 40.0, 80.0), _QUICK)


def _xreg(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """CMA-ES at 1/8 on 0.9 patch gradient NCC and 0.1 penalty, then BOBYQA at 1/4 in a small box.

    Constants: population 100, sigma 15, 15, 30 degrees and 50, 50, 100 mm, tolerances 0.01; the penalty is that of a
    normal density with 15, 15, 10 degrees and 30, 30, 150 mm; the box is +-2.5 degrees and +-5, 5, 10 mm, tolerance
    1e-4.
    """
    settings = settings_with_options(XregSettings(), context)
    levels = _xreg_levels(settings, context.seed, Regulariser(XREG_PENALTY, XREG_WEIGHTS))
    return (yield from registered(scene, context, levels, only))


def _xreg_levels(settings: XregSettings, seed: int, regulariser: Regulariser) -> list[Level]:
    cma = replace(XREG_CMA, population=settings.population, generations=settings.generations, seed=seed)
    polish = replace(XREG_BOBYQA, evaluations=settings.evaluations)
    return [
        Level(
            8.0,
            patch_gradient_zncc(8.0),
            _evolving(cma, XREG_CMA_SIGMA),
            _GENERATIONS * settings.population,
            "CMA-ES at 1/8",
            regulariser,
        ),
        Level(4.0, patch_gradient_zncc(4.0), _in_box(polish, XREG_BOBYQA_BOX), 200, "BOBYQA at 1/4"),
    ]


def _boxed_cma(preset: CmaSettings) -> Run:
    """CMA-ES in a box about the start, at 256 pixels, on mNCC with windows of 13.

    Constants: the box is +-30 degrees and +-50 mm, population 30, 100 generations.
    """

    def run(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
        settings = settings_with_options(ChenSettings(), context)
        cma = replace(preset, population=settings.population, generations=settings.generations, seed=context.seed)
        edge = torch.ones(6, dtype=torch.float64)

        def solve(start: Tensor, pivot: Tensor) -> tuple[Chart, Optimiser]:
            chart = TwistChart(start, pivot, span(CHEN_BOX))
            return chart, cma_es(chart.point(start), settings.sigma * edge, cma, -edge, edge)

        downsampling = PUBLISHED_PX / settings.image_px
        levels = [Level(downsampling, multiscale_zncc(13), solve, settings.generations * settings.population, "CMA-ES")]
        return (yield from registered(scene, context, levels, only))

    return run


def _global(preset: GlobalSettings) -> Run:
    """Differential evolution at 1/32 in a large box, a grid around what it found, CMA-ES at 1/8, BOBYQA at 1/4.

    Constants (grupp-global-full): population 1000, 400 generations in +-60, 40, 10 degrees and +-200, 200, 250 mm;
    grid in +-5, 5, 1 degrees and +-10, 10, 50 mm.
    """

    def run(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
        settings = settings_with_options(preset, context)
        wide = replace(GRUPP_DE, population=settings.population, generations=settings.generations, seed=context.seed)
        levels = [
            _coarse(
                _differing(wide, GRUPP_DE_BOX),
                settings.generations * settings.population,
                "differential evolution at 1/32",
            ),
            _coarse(_exhausting(settings.counts, GRUPP_GRID_BOX), math.prod(settings.counts), "a grid at 1/32"),
            *_xreg_levels(settings.refined, context.seed, Regulariser(XREG_PENALTY_GLOBAL, XREG_WEIGHTS)),
        ]
        return (yield from registered(scene, context, levels, only))

    return run


def _grid(preset: ExhaustiveSettings) -> Run:
    """Every pose of a grid at 1/32, then CMA-ES at 1/8 and BOBYQA at 1/4 from the best.

    Constants (grid-full): 17, 17, 1, 21, 21, 21 poses in +-60, 40, 0 degrees and +-200, 200, 250 mm (Grupp's second
    global method, whose particle swarm after the grid is left to CMA-ES here).
    """

    def run(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
        settings = settings_with_options(preset, context)
        box = PoseSpan(settings.rotation_deg, settings.translation_mm)
        levels = [
            _coarse(_exhausting(settings.counts, box), math.prod(settings.counts), "a grid at 1/32"),
            *_xreg_levels(settings.refined, context.seed, Regulariser(XREG_PENALTY_GLOBAL, XREG_WEIGHTS)),
        ]
        return (yield from registered(scene, context, levels, only))

    return run


def _coarse(solver: Solver, evaluations: int, message: str) -> Level:
    return Level(32.0, patch_gradient_zncc(32.0), solver, evaluations, message)


def _evolving(settings: CmaSettings, sigma: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Chart, Optimiser]:
        chart = TwistChart(start, pivot)
        return chart, cma_es(chart.point(start), span(sigma), settings)

    return solve


def _in_box(settings: BobyqaSettings, box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Chart, Optimiser]:
        chart, edge = TwistChart(start, pivot), span(box)
        return chart, bobyqa(chart.point(start), -edge, edge, settings)

    return solve


def _differing(settings: DeSettings, box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Chart, Optimiser]:
        chart, edge = TwistChart(start, pivot), span(box)
        return chart, differential_evolution(-edge, edge, settings)

    return solve


def _exhausting(counts: tuple[int, ...], box: PoseSpan) -> Solver:
    def solve(start: Tensor, pivot: Tensor) -> tuple[Chart, Optimiser]:
        chart, edge = TwistChart(start, pivot), span(box)
        return chart, grid(-edge, edge, GridSettings(counts))

    return solve


_CHEN = "m1nhengChen/CMAES-reg, the CMA-ES baseline of Chen et al., ISBI 2024."
_LRA = "ISBI 2025, after Nomura, Akimoto and Ono, GECCO 2023."
_GRUPP = "Grupp et al., IJCARS 15, 2020"
EVOLUTION = (
    Method("xreg", "CMA-ES and BOBYQA (xReg)", f"{_GRUPP}; rg2/xreg.", ("initial",), _xreg),
    Method("cmaes-chen", "CMA-ES (Chen)", _CHEN, ("initial",), _boxed_cma(CHEN_CMA)),
    Method("lra-cma", "LRA-CMA-ES", _LRA, ("initial",), _boxed_cma(LRA_CMA)),
    Method("grupp-global", "Global search (Grupp), quick", f"{_GRUPP}, method 1.", (), _global(QUICK_GLOBAL)),
    Method("grupp-global-full", "Global search (Grupp)", f"{_GRUPP}, method 1.", (), _global(GlobalSettings())),
    Method("grid", "Grid, CMA-ES and BOBYQA, quick", f"{_GRUPP}, method 2.", (), _grid(QUICK_GRID)),
    Method("grid-full", "Grid, CMA-ES and BOBYQA", f"{_GRUPP}, method 2.", (), _grid(ExhaustiveSettings())),
)
