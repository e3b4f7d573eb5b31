"""This program's own ways to register: whole, from a network, and its refinement alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from ..checks import InputError
from ..initial import deviations
from ..pieces import Story, retold
from ..pipeline import estimate, register
from ..problem import Prior
from ..refine import State, descend
from ..results import Step
from ..scene import Scene
from ..settings import Effort, LevelSettings, RegistrationSettings, Term, patch_gradient, registration_settings
from ..starts import network_file
from ..workshop import REFINE_MARGIN_MM, workshop_for
from .meter import Meter, thinned
from .method import NETWORK, Method, MethodContext, Outcome, TracePoint, settings_with_options
from .staged import given_start


@dataclass(frozen=True)
class OursSettings:
    """effort: how long to look; see `registration_settings`."""

    effort: Effort = "standard"


# Levels with the gain below which each is left. From some 40 mm off, on X-rays of the generated pelvis, they took 15 to
# 18 renders where the pyramid took 21 to 34, and ended as near (Testing/Benchmarks/optimisers.py).
_QUICK_LEVELS = (
    (LevelSettings(32, 8, (Term(weight=0.5), patch_gradient(9, weight=0.5))), 5e-3),
    (LevelSettings(64, 8, (Term(weight=0.5), patch_gradient(13, weight=0.5))), 2e-3),
    (LevelSettings(128, 5), 1e-3),
    (LevelSettings(256, 4, (patch_gradient(13, floor=0.01),)), 1e-4),
)


def _ours(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """Everything a user gets: the initial pose, a search where that leads nowhere, refinement and verdict."""
    return (yield from _registered(scene, _settings(context)))


def _ours_search(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same without a look at the initial pose alone: a search around it, or around all nominal views."""
    return (yield from _registered(scene, _settings(context, "search")))


def _network_ours(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same from a trained network's poses."""
    return (yield from _registered(scene, _settings(context, _network(context))))


def _network_alone(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The pose a trained network believes in most, as it is."""
    began = perf_counter()
    found = yield from estimate.pieces(scene, _settings(context, _network(context)))
    _, pose = found.views[0]
    return Outcome(pose, float("nan"), 0, perf_counter() - began, f"{found.start}, believed {found.belief:.2f}.")


def refined(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The pyramid of Levenberg-Marquardt from the initial pose, without search and verdict."""
    settings = _settings(context)
    gain = settings.refine.step.stop_gain
    return (yield from _descended(scene, settings, [(level, gain) for level in settings.refine.levels]))


def _quick(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same with a smaller first level, each level left as soon as it gains little: half the renders."""
    return (yield from _descended(scene, _settings(context), _QUICK_LEVELS))


def _descended(
    scene: Scene, settings: RegistrationSettings, levels: Sequence[tuple[LevelSettings, float]]
) -> Story[Step, Outcome]:
    """Levenberg-Marquardt on levels, each with the gain below which it is left."""
    workshop = yield from workshop_for.pieces(scene, settings)
    meter = Meter(lambda: workshop.renders)
    given = given_start(scene, workshop.pivot)
    prior = Prior(given, deviations(settings.search.prior), settings.refine.prior_weight)
    pose, score, reason = given, math.nan, ""
    for number, (level, gain) in enumerate(levels):
        problem = yield from workshop.problem.pieces(level, pose[None], REFINE_MARGIN_MM, prior)
        meter.next_level()
        steps = replace(settings.refine.step, stop_gain=gain)
        told = partial(_told, meter=meter, level=level, before=number / len(levels), share=1 / len(levels))
        state = yield from retold(descend(problem, pose[None], level.max_steps, steps), told)
        pose, score, reason = state.poses[0], float(state.agreement.score[0]), state.reasons[0]
    as_given = float((yield from problem.scores.pieces(given[None]))[0])
    if as_given > score:
        return meter.outcome(given, as_given, "Nothing was found that fits better than the start.")
    return meter.outcome(pose, score, reason)


def _told(state: State, meter: Meter, level: LevelSettings, before: float, share: float) -> Step:
    meter.saw(state.poses[0], float(state.agreement.score[0]))
    done = min(1.0, state.steps / max(1, level.max_steps))
    return meter.step(before + share * done, f"refining at {level.image_px} px")


def _registered(scene: Scene, settings: RegistrationSettings) -> Story[Step, Outcome]:
    """The pipeline's own story, with its best poses kept."""
    began = perf_counter()
    points: list[TracePoint] = []
    last: Step | None = None
    for step in register(scene, settings):
        if step is last:
            yield None
            continue
        _keep(points, step, last, perf_counter() - began)
        last = step
        yield step
    result = None if last is None else last.result
    assert result is not None
    return Outcome(
        result.views[0].camera_from_volume,
        result.evidence.similarity,
        result.renders,
        perf_counter() - began,
        result.verdict.reason,
        result.verdict.accepted,
        thinned(points),
    )


def _keep(points: list[TracePoint], step: Step, last: Step | None, seconds: float) -> None:
    """Add a step's pose to the points where it is better than those of its level, or the first of one."""
    if step.camera_from_volume is None or step.similarity is None or step.result is not None:
        return
    same = last is not None and (step.stage, step.message) == (last.stage, last.message) and bool(points)
    if same and not step.similarity > points[-1].similarity:
        return
    level = 0 if not points else points[-1].level + (not same)
    points.append(TracePoint(seconds, step.renders, step.similarity, step.camera_from_volume, level))


def _settings(context: MethodContext, init: str = "auto") -> RegistrationSettings:
    effort = settings_with_options(OursSettings(), context).effort
    return registration_settings(effort, init=init, engine=context.engine, device=context.device, seed=context.seed)


def _network(context: MethodContext) -> str:
    """The network's file; raises InputError for one that is not there, and for what is no network."""
    init = str(context.options[NETWORK])
    if network_file(init) is None:
        raise InputError(NETWORK, expected="the file of a trained network", found=repr(init), remedy="name one")
    return init


_PROGRAM = "This program."
OURS = (
    Method("ours", "Ours", _PROGRAM, (), _ours),
    Method("ours-search", "Ours, searching at once", _PROGRAM, (), _ours_search),
    Method("ours-lm", "Ours, Levenberg-Marquardt alone", _PROGRAM, ("initial",), refined),
    Method("ours-lm-quick", "Ours, fewer renders", _PROGRAM, ("initial",), _quick),
    Method("network", "Network alone", _PROGRAM, (NETWORK,), _network_alone),
    Method("network+ours", "Network, then ours", _PROGRAM, (NETWORK,), _network_ours),
)
