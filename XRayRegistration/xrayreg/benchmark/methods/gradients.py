"""Gradient-based methods from the initial pose: those of xvr, DiffPose and ProST, L-BFGS and Levenberg-Marquardt."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...checks import InputError
from ...optimize import EulerZXY, Optimiser, Parameterisation, RotVec, adam, lbfgs, levenberg_marquardt, sgd
from ...registration.results import OnStep
from ...scene import Scene
from ...settings import AdamSettings, LbfgsSettings, LmSettings, Term
from ...settings.methods import DIFFPOSE_ADAM, PROST_SGD_GRADIENT, xvr_adam
from .method import Method, MethodContext, MethodOutcome, settings_with_options
from .similarities import gradient_zncc, multiscale_zncc
from .staged import UNITS, Level, Solver, as_large, registered

# xvr's similarity: half mNCC with windows of 9 pixels, half gradient NCC with windows of 11.
XVR_TERMS: tuple[Term, ...] = (*multiscale_zncc(9, weight=0.5), *gradient_zncc(11, weight=0.5))


@dataclass(frozen=True)
class XvrSettings:
    """scales: downsampling of each level. steps: limit per level. antipodal: whether to start from behind as well."""

    scales: tuple[float, ...] = (24.0, 12.0, 6.0)
    steps: tuple[int, ...] = (500, 500, 500)
    antipodal: bool = False


@dataclass(frozen=True)
class DiffposeSettings:
    """image_px: the only resolution. steps: at most."""

    image_px: int = 256
    steps: int = 500


@dataclass(frozen=True)
class ProstSettings:
    """image_px: the only resolution. steps: at most."""

    image_px: int = 128
    steps: int = PROST_SGD_GRADIENT.steps


@dataclass(frozen=True)
class LbfgsMethodSettings:
    """scales: downsampling of each level. steps: iterations at most, on each."""

    scales: tuple[float, ...] = (24.0, 12.0, 6.0)
    steps: int = 100


@dataclass(frozen=True)
class LmMethodSettings:
    """scales: downsampling of each level. steps: at most, on each."""

    scales: tuple[float, ...] = (24.0, 12.0, 6.0)
    steps: int = 50


def xvr(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Adam on Euler angles and the source position, three resolutions, half mNCC and half gradient NCC.

    Constants: learning rates 1e-2 rad and 1 mm, times 0.1 after ten steps without a relative gain of 1e-4, three
    plateaus, 500 steps per level; windows 9 and 11; scales 24, 12, 6 (xvr's for DeepFluoro).
    """
    settings = settings_with_options(XvrSettings(), context)
    _require_steps(settings)

    def solver(number: int, steps: int) -> Solver:
        def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
            parameters = EulerZXY(pivot)
            return parameters, adam(parameters.point(start), xvr_adam(number, steps))

        return solve

    levels = [
        Level(as_large(scale), XVR_TERMS, solver(number, steps), steps, f"Adam at 1/{scale:g}")
        for number, (scale, steps) in enumerate(zip(settings.scales, settings.steps, strict=True), start=1)
    ]
    return registered(scene, context, levels, with_antipode if settings.antipodal else only, on_step)


def with_antipode(given: Tensor, pivot: Tensor) -> list[Tensor]:
    """The given pose (4, 4) and its antipode: the C-arm on the other side of a symmetric patient.

    Primary angle a becomes pi - a, the secondary angle changes its sign: for parallel rays and a symmetric patient
    both images are the same (xvr's antipodal restart).
    """
    parameters = EulerZXY(pivot)
    numbers = parameters.point(given)
    behind = numbers.clone()
    behind[0], behind[1] = math.pi - numbers[0], -numbers[1]
    return [given, parameters.poses(behind[None])[0]]


def only(given: Tensor, pivot: Tensor) -> list[Tensor]:
    """The given pose (4, 4) alone."""
    return [given]


def _diffpose(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Adam on a twist at 256 pixels, mNCC with windows of 13: rates 7.5e-3 rad and 7.5 mm, times 0.9 every 25 steps."""
    settings = settings_with_options(DiffposeSettings(), context)
    rates = AdamSettings(DIFFPOSE_ADAM.rates, settings.steps, DIFFPOSE_ADAM.schedule)

    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters = RotVec(start, pivot)
        return parameters, adam(parameters.point(start), rates)

    levels = [
        Level(
            lambda camera: settings.image_px,
            multiscale_zncc(13),
            solve,
            settings.steps,
            f"Adam at {settings.image_px} px",
        )
    ]
    return registered(scene, context, levels, only, on_step)


def _prost_gradient(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Gradient ascent with momentum at 128 pixels, on the whole images' gradient NCC: ProST's second stage alone.

    Constants: momentum 0.9, learning rates from 0.001 to 0.003 and back in 200 steps, 500 steps; ends when the last ten
    scores deviate by less than 1e-4. Parameters are a rotation vector and a translation in units of half the volume's
    largest edge, both relative to the initial pose; in ProST they are relative to a frontal one. The learned similarity
    of its first stage is left out.
    """
    settings = settings_with_options(ProstSettings(), context)
    grid = scene.volume.grid
    half_edge_mm = float((grid.spacing_mm * grid.shape).max()) / 2
    units = torch.tensor([1.0] * 3 + [half_edge_mm] * 3, dtype=torch.float64)

    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters = RotVec(start, pivot, units)
        return parameters, sgd(parameters.point(start), replace(PROST_SGD_GRADIENT, steps=settings.steps))

    message = f"Gradient ascent at {settings.image_px} px"
    level = Level(lambda camera: settings.image_px, gradient_zncc(None), solve, settings.steps, message)
    return registered(scene, context, [level], only, on_step)


def _lbfgs(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """L-BFGS on a twist, otherwise as xvr: a quasi-Newton method in place of Adam."""
    settings = settings_with_options(LbfgsMethodSettings(), context)

    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters = RotVec(start, pivot, UNITS)
        return parameters, lbfgs(parameters.point(start), LbfgsSettings(steps=settings.steps))

    levels = [
        Level(as_large(scale), XVR_TERMS, solve, settings.steps, f"L-BFGS at 1/{scale:g}") for scale in settings.scales
    ]
    return registered(scene, context, levels, only, on_step)


def _lm(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Levenberg-Marquardt on a twist, otherwise as xvr: isolates the benefit of second-order information."""
    settings = settings_with_options(LmMethodSettings(), context)

    def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
        parameters = RotVec(start, pivot, UNITS)
        return parameters, levenberg_marquardt(parameters.point(start), LmSettings(steps=settings.steps))

    levels = [
        Level(as_large(scale), XVR_TERMS, solve, settings.steps, f"Levenberg-Marquardt at 1/{scale:g}")
        for scale in settings.scales
    ]
    return registered(scene, context, levels, only, on_step)


def _require_steps(settings: XvrSettings) -> None:
    if not settings.scales or len(settings.scales) != len(settings.steps) or min(settings.scales) <= 0:
        raise InputError(
            "scales",
            expected="numbers above 0, and as many steps",
            found=f"{settings.scales} and {settings.steps}",
            remedy="give one number of steps for each scale",
        )


_INITIAL = ("initial",)
GRADIENTS = (
    Method("xvr", "Adam (xvr)", "Gopalakrishnan et al., arXiv 2503.16309, 2025.", _INITIAL, xvr),
    Method("diffpose", "Adam (DiffPose)", "Gopalakrishnan et al., CVPR 2024.", _INITIAL, _diffpose),
    Method(
        "prost-gradient",
        "Gradient ascent (ProST)",
        "Gao et al., MICCAI 2020: the second stage.",
        _INITIAL,
        _prost_gradient,
    ),
    Method("lbfgs", "L-BFGS", "Byrd et al., SIAM J. Sci. Comput. 16, 1995, on xvr's objective.", _INITIAL, _lbfgs),
    Method("lm-xvr", "Levenberg-Marquardt on xvr's objective", "This program, and as xvr.", _INITIAL, _lm),
)
