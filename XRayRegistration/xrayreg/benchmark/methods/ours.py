"""This program's own methods: the full pipeline, the pipeline from a network's pose, and the refinement alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from torch import Tensor

from ...checks import InputError
from ...optimize import RenderedPose, State, descend, rendered, surrogate_lm
from ...registration.initial import deviations
from ...registration.pipeline import estimate, register
from ...registration.problem import Prior
from ...registration.problem_cache import REFINE_MARGIN_MM, SUPPORT_MARGIN_PX, ProblemCache, problem_cache_for
from ...registration.results import OnStep, Step
from ...registration.starts import network_file
from ...scene import Scene
from ...settings import Effort, LevelSettings, RegistrationSettings, SurrogateSettings, registration_settings
from .meter import Meter, thinned
from .method import NETWORK, SIMILARITY, Method, MethodContext, MethodOutcome, TracePoint, settings_with_options
from .staged import given_start


@dataclass(frozen=True)
class OursSettings:
    """effort: extent of the search; see `registration_settings`."""

    effort: Effort = "standard"


# Margin [mm] around the structure in the compared part of the X-ray, for starts that may be far off.
_START_MARGIN_MM = 40.0


def _ours(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The full pipeline: the initial pose, a search if it does not fit, refinement and verdict."""
    return _registered(scene, _settings(context), on_step)


def _ours_search(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The pipeline without trying the initial pose alone: a search around it, or around all nominal views."""
    return _registered(scene, _settings(context, "search"), on_step)


def _network_ours(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The pipeline from a trained network's poses."""
    return _registered(scene, _settings(context, _network(context)), on_step)


def searched_with_similarity(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """As `ours`, with a learned similarity that proposes starts first (`register --similarity`)."""
    settings = replace(_settings(context), similarity=str(context.options[SIMILARITY]))
    return _registered(scene, settings, on_step)


def network_alone(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The most probable pose of a trained network, unrefined."""
    began = perf_counter()
    found = estimate(scene, _settings(context, _network(context)))
    _, pose = found.views[0]
    return MethodOutcome(
        pose, float("nan"), 0, perf_counter() - began, f"{found.start}, with confidence {found.belief:.2f}."
    )


def refined(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The pyramid of Levenberg-Marquardt from the initial pose, without search and verdict."""
    problems, given, prior, meter = _begun(scene, context)
    settings = problems.settings.refine
    pose, score, reason = given, math.nan, ""
    for number, level in enumerate(settings.levels):
        problem = problems.problem(level, pose[None], REFINE_MARGIN_MM, prior)
        meter.next_level()
        count = len(settings.levels)
        on_state = partial(_on_state, meter=meter, level=level, before=number / count, share=1 / count, on_step=on_step)
        state = descend(problem, pose[None], level.max_steps, settings.step, on_state)
        pose, score, reason = state.poses[0], float(state.agreement.score[0]), state.reasons[0]
    as_given = float(problem.scores(given[None])[0])
    return _better(meter, (given, as_given), (pose, score), reason)


def _quick(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Levenberg-Marquardt with DRRs of nearby poses predicted from each render: a quarter of the renders.

    On X-rays of the generated pelvis, from some 30 mm off, it takes 7 renders; the pyramid takes 28 and Adam (xvr) 170.
    It reaches 1 mm in 5 renders, they in 17 and 70 (Testing/Benchmarks/optimisers.py).
    """
    problems, given, prior, meter = _begun(scene, context)
    plan = SurrogateSettings()
    # If only some structures are rendered, the renders themselves show which part of the X-ray to compare.
    margin_px = SUPPORT_MARGIN_PX if problems.partial else None
    problems = replace(problems, partial=False)
    problem = problems.problem(plan.levels[-1], given[None], _START_MARGIN_MM, prior)
    first = rendered(problem, given[None], margin_px)
    level = -1

    def on_place(place: RenderedPose) -> None:
        nonlocal level
        if place.level > level:
            meter.next_level()
        level = place.level
        meter.saw(place.pose, place.score)
        done = max(place.level / len(plan.levels), place.renders / plan.renders)
        on_step(meter.step(done, f"refining at {plan.levels[level].image_px} px"))

    last = surrogate_lm(first, plan, on_place)
    at_first = first.on_level(plan.levels[-1]).agreement()
    return _better(meter, (given, float(at_first.score[0])), (last.pose, last.score), last.reason)


def _begun(scene: Scene, context: MethodContext) -> tuple[ProblemCache, Tensor, Prior, Meter]:
    """The problem cache, the given pose (4, 4), the prior that keeps poses near it, and the meter of a refinement."""
    settings = _settings(context)
    problems = problem_cache_for(scene, settings)
    given = given_start(scene, problems.pivot)
    prior = Prior(given, deviations(settings.search.prior), settings.refine.prior_weight)
    return problems, given, prior, Meter(lambda: problems.renders)


def _better(meter: Meter, given: tuple[Tensor, float], found: tuple[Tensor, float], reason: str) -> MethodOutcome:
    """The outcome of refining a given pose: the better of the given and the found pose (4, 4), by their scores."""
    if given[1] > found[1]:
        return meter.outcome(*given, "Nothing was found that fits better than the start.")
    return meter.outcome(*found, reason)


def _on_state(state: State, meter: Meter, level: LevelSettings, before: float, share: float, on_step: OnStep) -> None:
    meter.saw(state.poses[0], float(state.agreement.score[0]))
    done = min(1.0, state.steps / max(1, level.max_steps))
    on_step(meter.step(before + share * done, f"refining at {level.image_px} px"))


def _registered(scene: Scene, settings: RegistrationSettings, on_step: OnStep) -> MethodOutcome:
    """Run the whole pipeline and keep the best poses so far as the trace."""
    began = perf_counter()
    points: list[TracePoint] = []
    last: Step | None = None

    def keeping(step: Step) -> None:
        nonlocal last
        _keep(points, step, last, perf_counter() - began)
        last = step
        on_step(step)

    result = register(scene, settings, keeping)
    return MethodOutcome(
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
    """Add a step's pose to the points if it is better than the others of its level, or the first of a level."""
    if step.camera_from_volume is None or step.similarity is None or step.stage == "done":
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
    """The network's file; raises InputError if it does not exist or is not a network."""
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
