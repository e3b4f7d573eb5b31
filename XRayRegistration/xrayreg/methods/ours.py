"""This program's own ways to register: whole, from a network, and its refinement alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from torch import Tensor

from ..checks import InputError
from ..optimize import Place, State, descend, foretold, rendered
from ..pieces import Pieces, Story, retold
from ..registration.initial import deviations
from ..registration.pipeline import estimate, register
from ..registration.problem import Prior
from ..registration.problem_cache import REFINE_MARGIN_MM, SUPPORT_MARGIN_PX, ProblemCache, problem_cache_for
from ..registration.results import Step
from ..registration.starts import network_file
from ..scene import Scene
from ..settings import Effort, ForetoldSettings, LevelSettings, RegistrationSettings, registration_settings
from .meter import Meter, thinned
from .method import NETWORK, SIMILARITY, Method, MethodContext, Outcome, TracePoint, settings_with_options
from .staged import given_start


@dataclass(frozen=True)
class OursSettings:
    """effort: how long to look; see `registration_settings`."""

    effort: Effort = "standard"


# How far the structure may move within the part of the X-ray that is compared, from a start that may be far off [mm].
_START_MARGIN_MM = 40.0


def _ours(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """Everything a user gets: the initial pose, a search where that leads nowhere, refinement and verdict."""
    return (yield from _registered(scene, _settings(context)))


def _ours_search(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same without a look at the initial pose alone: a search around it, or around all nominal views."""
    return (yield from _registered(scene, _settings(context, "search")))


def _network_ours(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same from a trained network's poses."""
    return (yield from _registered(scene, _settings(context, _network(context))))


def searched_with_similarity(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The same as `ours`, with a learned similarity that is asked first where to look (`register --similarity`)."""
    settings = replace(_settings(context), similarity=str(context.options[SIMILARITY]))
    return (yield from _registered(scene, settings))


def network_alone(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The pose a trained network believes in most, as it is."""
    began = perf_counter()
    found = yield from estimate.pieces(scene, _settings(context, _network(context)))
    _, pose = found.views[0]
    return Outcome(pose, float("nan"), 0, perf_counter() - began, f"{found.start}, believed {found.belief:.2f}.")


def refined(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """The pyramid of Levenberg-Marquardt from the initial pose, without search and verdict."""
    problems, given, prior, meter = yield from _begun(scene, context)
    settings = problems.settings.refine
    pose, score, reason = given, math.nan, ""
    for number, level in enumerate(settings.levels):
        problem = yield from problems.problem.pieces(level, pose[None], REFINE_MARGIN_MM, prior)
        meter.next_level()
        count = len(settings.levels)
        told = partial(_told, meter=meter, level=level, before=number / count, share=1 / count)
        state = yield from retold(descend(problem, pose[None], level.max_steps, settings.step), told)
        pose, score, reason = state.poses[0], float(state.agreement.score[0]), state.reasons[0]
    as_given = float((yield from problem.scores.pieces(given[None]))[0])
    return _better(meter, (given, as_given), (pose, score), reason)


def _quick(scene: Scene, context: MethodContext) -> Story[Step, Outcome]:
    """Levenberg-Marquardt on what each render foretells of poses around it: a quarter of the renders.

    On X-rays of the generated pelvis, from some 30 mm off, it makes 7 renders where the pyramid makes 28 and Adam (xvr)
    170. Five until 1 mm is reached, where they need 17 and 70 (Testing/Benchmarks/optimisers.py).
    """
    problems, given, prior, meter = yield from _begun(scene, context)
    plan = ForetoldSettings()
    # What is rendered alone is told from the rest of the X-ray by the renders themselves.
    margin_px = SUPPORT_MARGIN_PX if problems.partial else None
    problems = replace(problems, partial=False)
    problem = yield from problems.problem.pieces(plan.levels[-1], given[None], _START_MARGIN_MM, prior)
    first = yield from rendered.pieces(problem, given[None], margin_px)
    level = -1

    def told(place: Place) -> Step:
        nonlocal level
        if place.level > level:
            meter.next_level()
        level = place.level
        meter.saw(place.pose, place.score)
        done = max(place.level / len(plan.levels), place.renders / plan.renders)
        return meter.step(done, f"refining at {plan.levels[level].image_px} px")

    last = yield from retold(foretold(first, plan), told)
    at_first = yield from (yield from first.on_level.pieces(plan.levels[-1])).agreement.pieces()
    return _better(meter, (given, float(at_first.score[0])), (last.pose, last.score), last.reason)


def _begun(scene: Scene, context: MethodContext) -> Pieces[tuple[ProblemCache, Tensor, Prior, Meter]]:
    """The problem cache, the given pose (4, 4), what holds poses near it, and the meter of a refinement."""
    settings = _settings(context)
    problems = yield from problem_cache_for.pieces(scene, settings)
    given = given_start(scene, problems.pivot)
    prior = Prior(given, deviations(settings.search.prior), settings.refine.prior_weight)
    return problems, given, prior, Meter(lambda: problems.renders)


def _better(meter: Meter, given: tuple[Tensor, float], found: tuple[Tensor, float], reason: str) -> Outcome:
    """What came out of refining a given pose (4, 4), both with their scores."""
    if given[1] > found[1]:
        return meter.outcome(*given, "Nothing was found that fits better than the start.")
    return meter.outcome(*found, reason)


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
        reason_code=result.verdict.code.value,
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
    Method("network", "Network alone", _PROGRAM, (NETWORK,), network_alone),
    Method("network+ours", "Network, then ours", _PROGRAM, (NETWORK,), _network_ours),
)
