"""Settings of optimisers, and published constants of the methods that this project's is compared with.

Lengths are millimetres; `PoseSpan` is in degrees, learning rates in the parameterisation's own numbers (radians and
millimetres, where it is not scaled).
Sources, quoted by the short names below:
    xvr        Gopalakrishnan et al., arXiv 2503.16309, 2025, and its released registrar.
    DiffPose   Gopalakrishnan et al., CVPR 2024.
    ProST      Gao et al., MICCAI 2020.
    Grupp      Grupp et al., IJCARS 15, 2020 (IPCAI), and its released program Regi2D3D with the library xReg.
    CMAES-reg  Chen et al., the released CMA-ES baseline of "Fully differentiable correlation-driven 2D/3D
               registration", ISBI 2024. LRA-CMA: its successor, ISBI 2025, after Nomura, Akimoto and Ono, GECCO 2023.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from .registration import LevelSettings, StepSettings, Term, patch_gradient


@dataclass(frozen=True)
class PoseSpan:
    """Range of a twist in the first camera's axes: standard deviations, or half the edges of a box."""

    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Constant:
    """Constant learning rates."""


@dataclass(frozen=True)
class Plateau:
    """Rates times `factor` after `patience` steps without a relative gain of `threshold` (torch's ReduceLROnPlateau).

    plateaus: the run ends when the rates reach the last of this many values, including the first; 2 or more.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    plateaus: int = 3


@dataclass(frozen=True)
class Stairs:
    """Rates times `factor` at a fixed interval of steps (torch's StepLR)."""

    every: int
    factor: float


@dataclass(frozen=True)
class Cycle:
    """Rates that rise to `highest` times their value and fall to `lowest` times, in `half` steps each (CyclicLR)."""

    lowest: float
    highest: float
    half: int


Schedule = Constant | Plateau | Stairs | Cycle


@dataclass(frozen=True)
class AdamSettings:
    """Adam (Kingma and Ba 2015), step for step as in torch.optim.

    rates: learning rate of each parameter, repeated for every further object with as many parameters.
    steps: maximum. still: ends when the standard deviation of the last ten scores is below this.
    """

    rates: tuple[float, ...]
    steps: int = 500
    schedule: Schedule = Constant()
    still: float = 0.0


@dataclass(frozen=True)
class SgdSettings:
    """Gradient ascent with momentum as in torch.optim; see `AdamSettings`.

    relative: scores are scaled by the norm of the first gradient, so that the first step is as long as the rates
    regardless of the scale of scores; `still` is in that unit too.
    """

    rates: tuple[float, ...]
    momentum: float = 0.9
    steps: int = 500
    schedule: Schedule = Constant()
    still: float = 0.0
    relative: bool = False


@dataclass(frozen=True)
class LbfgsSettings:
    """L-BFGS-B (Byrd et al. 1995) as in SciPy.

    memory: pairs kept. steps: maximum of iterations; of evaluations five times as many. gain: ends when an iteration
    gains less than this fraction of the score (or of one). slope: ends when no projected gradient entry is larger.
    """

    steps: int = 100
    memory: int = 10
    gain: float = 1e-7
    slope: float = 1e-6


@dataclass(frozen=True)
class CmaSettings:
    """CMA-ES (Hansen 2016) as in the package cmaes.

    population: 0 for 4 + 3 ln P. generations: maximum.
    tolerance_points: ends when a generation's standard deviation is below it in every parameter, in its own units.
    tolerance_scores: ends when the best scores of the last 10 + 30 P / population generations, and all scores of the
        last one, lie this close together. 0 switches a tolerance off; the package's own limits end it then.
    adapt_rates: learning rates adapted to noise and to many optima (LRA-CMA).
    """

    population: int = 0
    generations: int = 100
    tolerance_points: float = 0.0
    tolerance_scores: float = 0.0
    adapt_rates: bool = False
    seed: int = 0


@dataclass(frozen=True)
class BobyqaSettings:
    """BOBYQA (Powell 2009) as in NLopt.

    tolerance: relative, of points and of the cost 1 - score. first_step: fraction of the distance between the bounds.
    evaluations: maximum.
    """

    tolerance: float = 1e-4
    first_step: float = 0.25
    evaluations: int = 2000


@dataclass(frozen=True)
class DeSettings:
    """Differential evolution DE/rand/1/bin (Storn and Price 1997).

    scale: of the differences; with `dither`, drawn between it and one for every candidate. crossover: chance of taking
    a parameter from the mutant. tolerance_scores: ends when all scores of the population lie this close together.
    """

    population: int = 100
    generations: int = 100
    scale: float = 0.5
    dither: bool = True
    crossover: float = 0.2
    tolerance_scores: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class GridSettings:
    """Points along each parameter, with both ends; a single one is in the middle. batch: points evaluated at once."""

    counts: tuple[int, ...]
    batch: int = 500


@dataclass(frozen=True)
class LmSettings:
    """Levenberg-Marquardt with Nielsen's damping, as in `optimize.lm_batch`, on the numbers of a parameterisation.

    scores_are: "correlation" where 1 is perfect and the curvature falls with the score; "cost" for minus squares.
    most_step: longest step allowed for the parameters of one object together, in the parameterisation's units.
    stop_step, stop_gain: a step shorter than this, or one that gains less, is the last one.
    """

    steps: int = 50
    scores_are: Literal["correlation", "cost"] = "correlation"
    most_step: float = 40.0
    stop_step: float = 1e-3
    stop_gain: float = 1e-5


@dataclass(frozen=True)
class SurrogateSettings:
    """Levenberg-Marquardt on predicted DRRs (`optimize.surrogate_lm`).

    levels: from coarse to fine; all of them compare the images that the last one renders. Steps are those on one
        prediction; where it is a single one, derivatives at the rendered pose do.
    least_gains: of similarity, for each level; the level ends when less is predicted.
    come_true: fraction of the predicted gain that must be realised before moving to a finer level.
    renders: maximum.
    """

    levels: tuple[LevelSettings, ...] = (
        LevelSettings(32, 8, (Term(weight=0.5), patch_gradient(9, weight=0.5))),
        LevelSettings(64, 8, (Term(weight=0.5), patch_gradient(13, weight=0.5))),
        LevelSettings(128, 4),
        LevelSettings(256, 1, (Term("gradient", weight=0.5), patch_gradient(25, weight=0.5, floor=0.01))),
    )
    least_gains: tuple[float, ...] = (5e-3, 2e-3, 1e-3, 2e-5)
    come_true: float = 0.5
    renders: int = 30
    step: StepSettings = field(default_factory=StepSettings)


# xvr.
XVR_ADAM = AdamSettings(rates=(1e-2,) * 3 + (1.0,) * 3, steps=500, schedule=Plateau())


def xvr_adam(level: int, steps: int = 500) -> AdamSettings:
    """xvr's refinement on pyramid level 1, 2, ... of Euler ZXY angles and the source's place.

    Each level divides the rates by 2^(level - 1) once more, that is by 1, 2, 8, 64, as the released program does.
    """
    finer = 2.0 ** (level * (level - 1) // 2)
    return replace(XVR_ADAM, rates=tuple(rate / finer for rate in XVR_ADAM.rates), steps=steps)


# DiffPose: 500 iterations, rates 7.5e-3 rad and 7.5 mm, times 0.9 every 25.
DIFFPOSE_ADAM = AdamSettings(rates=(7.5e-3,) * 3 + (7.5,) * 3, steps=500, schedule=Stairs(25, 0.9))

# ProST: its second stage, on gradient correlation. Its numbers are a rotation vector and a translation in units of half
# the volume's edge, which is the scale of its parameterisation.
PROST_SGD_GRADIENT = SgdSettings(rates=(2e-3,), momentum=0.9, steps=500, schedule=Cycle(0.5, 1.5, 100), still=1e-4)

# ProST: its first stage, on the learned similarity. A loss that compares directions, as ProST's first one, leaves open
# how long gradients are, so steps are relative to the first one. That is ours.
PROST_SGD_LEARNED = SgdSettings(rates=(1e-2,), momentum=0.9, steps=500, still=3e-3, relative=True)

# Grupp: intraoperative registration at 1/8 and 1/4 of the resolution; rad and mm.
XREG_CMA = CmaSettings(population=100, generations=1000, tolerance_points=0.01, tolerance_scores=0.01)
XREG_CMA_SIGMA = PoseSpan((15.0, 15.0, 30.0), (50.0, 50.0, 100.0))
# The penalty's standard deviations: near a known view (its method 2), and after the global search.
XREG_PENALTY = PoseSpan((15.0, 15.0, 10.0), (30.0, 30.0, 150.0))
XREG_PENALTY_GLOBAL = PoseSpan((10.0, 10.0, 10.0), (20.0, 20.0, 100.0))
XREG_WEIGHTS = (0.9, 0.1)
# Standard deviation of a landmark's column and row in pixels of 0.194 mm, 1020 mm from the source.
XREG_LANDMARK_PX = 100.0
XREG_BOBYQA = BobyqaSettings(tolerance=1e-4)
XREG_BOBYQA_BOX = PoseSpan((2.5, 2.5, 2.5), (5.0, 5.0, 10.0))

# Grupp: global search at 1/32 of the resolution, and the exhaustive grid around what it finds.
GRUPP_DE = DeSettings(population=1000, generations=400)
GRUPP_DE_BOX = PoseSpan((60.0, 40.0, 10.0), (200.0, 200.0, 250.0))
GRUPP_GRID = GridSettings((11, 11, 3, 11, 11, 11))
GRUPP_GRID_BOX = PoseSpan((5.0, 5.0, 1.0), (10.0, 10.0, 50.0))
# Its second method: 2.7 million poses 7.5, 5 degrees and 20, 20, 25 mm apart.
GRUPP_GLOBAL_GRID = GridSettings((17, 17, 1, 21, 21, 21))
GRUPP_GLOBAL_GRID_BOX = PoseSpan((60.0, 40.0, 0.0), (200.0, 200.0, 250.0))

# CMAES-reg: bounds about the nominal view; in units of the box a first standard deviation of 0.05 to 1.
CHEN_CMA = CmaSettings(population=30, generations=100)
CHEN_BOX = PoseSpan((30.0, 30.0, 30.0), (50.0, 50.0, 50.0))
LRA_CMA = replace(CHEN_CMA, adapt_rates=True)
