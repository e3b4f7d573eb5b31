"""Descent on learned similarities: alone, followed by CMA-ES, or followed by our refinement; and the same on ZNCC.

A learned similarity gives a coarse pose (methods.md A1, A3, A4), which a second method refines; the papers use CMA-ES.
Descents on ZNCC and on gradient correlation, with the same steps and the same refinement, show the benefit of learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checks import InputError
from ...networks.inference.similarity_objective import require_telling
from ...networks.inference.similarity_scene import descended, scene_similarity
from ...networks.model.checkpoint import read_card
from ...optimize import Optimiser, OptimiserProgress, Parameterisation, RotVec, sgd
from ...registration.results import OnStep, Step
from ...scene import Scene
from ...settings import SgdSettings, SimilarityName, Term
from ...settings.methods import CHEN_CMA, PROST_SGD_LEARNED
from .evolution import ChenSettings, boxed_cma
from .gradients import only
from .meter import Meter, thinned
from .method import CASE_OPTIONS, SIMILARITY, Method, MethodContext, MethodOutcome, Run, settings_with_options
from .ours import OursSettings, refined, searched_with_similarity
from .similarities import gradient_zncc, zncc
from .staged import Level, given_start, registered

# Fraction of the progress bar for the descent if a second method follows.
_FIRST = 0.5


@dataclass(frozen=True)
class DescentSettings:
    """Momentum on a rotation vector and a translation in units of a length, as in ProST.

    steps: maximum. rate: learning rate. still: ends when the last ten scores deviate by less. relative: whether scores
    are divided by the norm of the first gradient; ProST's are not.
    """

    steps: int = PROST_SGD_LEARNED.steps
    rate: float = PROST_SGD_LEARNED.rates[0]
    still: float = PROST_SGD_LEARNED.still
    relative: bool = PROST_SGD_LEARNED.relative

    @property
    def sgd(self) -> SgdSettings:
        """The optimiser's settings."""
        return replace(
            PROST_SGD_LEARNED, rates=(self.rate,), steps=self.steps, still=self.still, relative=self.relative
        )


@dataclass(frozen=True)
class ClassicDescentSettings(DescentSettings):
    """descent_px: the only resolution. scale_mm: length equivalent to 1 rad. Both as for the learned similarities."""

    descent_px: int = 128
    scale_mm: float = 128.0


def _learned(architecture: SimilarityName) -> Run:
    """Descent on a learned similarity from the initial pose.

    Constants: momentum 0.9 and rate 0.01 (ProST), on a rotation vector and a translation in units of the network's
    own length; at most 500 steps, fewer when the last ten values deviate by less than 0.003. Values are divided by the
    norm of the first gradient, see `settings.methods.PROST_SGD_LEARNED`. SOPI has a rate of 5e-4 on its own
    values. The pose with the highest similarity is kept, not the last one. A similarity that is a sum of squares is
    optimised by Levenberg-Marquardt with the same maximum of steps and uses none of the other constants.
    """

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        settings = settings_with_options(DescentSettings(), context)
        file = str(context.options[SIMILARITY])
        similarity = scene_similarity(file, scene, context.engine, context.device)
        _require_architecture(similarity.architecture, architecture, similarity.name)
        objective = similarity.objective
        meter = Meter(lambda: objective.projector.renders)
        start = given_start(scene, objective.pivot)
        require_telling(objective, start, similarity.name)
        parameters = RotVec(start, objective.pivot, objective.units)

        def on_progress(progress: OptimiserProgress) -> None:
            meter.saw(parameters.poses(progress.point[None])[0], progress.score)
            on_step(meter.step(progress.evaluations / max(1, settings.steps), "following the learned similarity"))

        found = descended(similarity, start, settings.sgd, on_progress)
        return meter.outcome(found.pose, found.score, found.reason)

    return run


def _require_architecture(found: str, wanted: SimilarityName, file: str) -> None:
    if found != wanted:
        raise InputError(
            f"method {wanted}",
            expected=f"a similarity of the architecture {wanted}",
            found=f"{Path(file).name}, which is {found or 'a network that predicts poses'}",
            remedy=(f"run the method {found}, or " if found else "") + f"train one with --architecture {wanted}",
        )


def _classic(terms: tuple[Term, ...], what: str) -> Run:
    """Descent on a similarity that is not learned, with the steps used for the learned ones, at 128 pixels."""

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        settings = settings_with_options(ClassicDescentSettings(), context)
        units = torch.tensor([1.0] * 3 + [settings.scale_mm] * 3, dtype=torch.float64)

        def solve(start: Tensor, pivot: Tensor) -> tuple[Parameterisation, Optimiser]:
            parameters = RotVec(start, pivot, units)
            return parameters, sgd(parameters.point(start), settings.sgd)

        level = Level(lambda _: settings.descent_px, terms, solve, settings.steps, f"following {what}")
        return registered(scene, context, [level], only, on_step)

    return run


def followed(first: Run, second: Run, of_second: type) -> Run:
    """One method, then another from its result. of_second: the settings that are options of the second method."""
    names = {field.name for field in fields(of_second)}

    def run(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        before, after = _shared(context.options, names)

        def in_first(step: Step) -> None:
            on_step(replace(step, fraction=_FIRST * step.fraction))

        found = first(scene, replace(context, options=before), in_first)

        def in_second(step: Step) -> None:
            done = _FIRST + (1 - _FIRST) * step.fraction
            on_step(replace(step, fraction=done, renders=found.renders + step.renders))

        return _together(found, second(_moved(scene, found), replace(context, options=after), in_second))

    return run


def _shared(options: Mapping[str, Any], of_second: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the first and of the second method; options that belong to the case are passed to both."""
    before = {name: value for name, value in options.items() if name not in of_second}
    after = {name: value for name, value in options.items() if name in of_second or name in CASE_OPTIONS}
    return before, after


def _moved(scene: Scene, found: MethodOutcome) -> Scene:
    """The scene with the found pose as initial pose; unchanged if that is not a possible pose of the patient."""
    try:
        return replace(scene, initial=np.linalg.inv(scene.views[0].camera.camera_from_world) @ found.camera_from_volume)
    except InputError:
        return scene


def _together(first: MethodOutcome, second: MethodOutcome) -> MethodOutcome:
    """The second outcome with the costs of both methods and their concatenated trace."""
    level = 1 + (first.trace[-1].level if first.trace else 0)
    later = [
        replace(
            point,
            seconds=point.seconds + first.seconds,
            renders=point.renders + first.renders,
            level=point.level + level,
        )
        for point in second.trace
    ]
    return replace(
        second,
        renders=first.renders + second.renders,
        seconds=first.seconds + second.seconds,
        trace=thinned([*first.trace, *later]),
    )


def _family(name: str, title: str, source: str, needs: tuple[str, ...], descent: Run) -> tuple[Method, ...]:
    """A descent alone, then CMA-ES (Chen), then our refinement."""
    cmaes = followed(descent, boxed_cma(CHEN_CMA), ChenSettings)
    ours = followed(descent, refined, OursSettings)
    return (
        Method(name, title, source, needs, descent),
        Method(f"{name}+cmaes", f"{title}, then CMA-ES", source, needs, cmaes),
        Method(f"{name}+ours", f"{title}, then ours", source, needs, ours),
    )


def _similarity(name: SimilarityName, title: str, source: str) -> tuple[Method, ...]:
    """The family of a learned similarity, and our search that uses it to propose starts."""

    def searched(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
        """See `searched_with_similarity`."""
        file = str(context.options[SIMILARITY])
        wanted = read_card(file).settings.similarity
        _require_architecture("" if wanted is None else wanted.architecture, name, file)
        return searched_with_similarity(scene, context, on_step)

    asked_first = Method(f"{name}+search", f"{title}, asked first by ours", source, (SIMILARITY,), searched)
    return (*_family(name, title, source, _NEEDED, _learned(name)), asked_first)


_GAO, _GAO_VIT = "Gao et al., MICCAI 2020: the first stage.", "Gao et al., IEEE TMI 43(1), 2024: the first stage."
_CHEN, _SOPI = "Chen et al., ISBI 2024.", "SOPI, ICASSP 2024: the second stage."
_POINTS = "This program: distance between the points of X-ray and DRR."
_NEEDED = ("initial", SIMILARITY)
_STEPS = "This program, with the steps of Gao et al., MICCAI 2020."
LEARNED = (
    *_similarity("prost", "Learned similarity (ProST)", _GAO),
    *_similarity("prost-vit", "Learned similarity (ProST, CrossViT)", _GAO_VIT),
    *_similarity("correlation", "Learned similarity (Chen)", _CHEN),
    *_similarity("sopi", "Learned similarity (SOPI)", _SOPI),
    *_similarity("embedding", "Learned similarity (ours)", _POINTS),
    *_family("zncc", "Descent on ZNCC", _STEPS, ("initial",), _classic(zncc(), "ZNCC")),
    *_family(
        "gradncc",
        "Descent on gradient correlation",
        _STEPS,
        ("initial",),
        _classic(gradient_zncc(None), "gradient correlation"),
    ),
)
