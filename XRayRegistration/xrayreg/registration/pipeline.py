"""One registration: prepare, start, refine, judge.

    registration = register(scene, settings, on_step=print)

Which attempt comes first, and which follow when a pose is not accepted, is planned in `starts`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..checks import InputError
from ..networks.inference.prediction import Prediction, predict, unfamiliar
from ..networks.inference.similarity_scene import SceneSimilarity, needs_learned_maps, scene_similarity
from ..networks.model.checkpoint import Checkpoint, load_checkpoint
from ..optimize import State, best_first, descend, falling
from ..reasons import Note, NoteCode, noted
from ..render import choose_device, choose_engine, kernels_are_cached, warm_up
from ..scene import Scene, require_different_views
from ..settings import LevelSettings, RegistrationSettings, SearchSettings
from .assessment import AssessedPose, assess
from .initial import Candidates, distinct, search
from .problem import Prior, Problem
from .problem_cache import REFINE_MARGIN_MM, ProblemCache, problem_cache_for
from .results import Estimate, OnStep, Registration, Step, ViewResult, unheeded
from .starts import (
    Attempt,
    Proposals,
    attempts,
    learned_proposals,
    network_file,
    require_start,
    search_anew,
    search_around,
)
from .verdict import LEAST_SIMILARITY, unless_assumed

AROUND_BEST = "a search around the best pose"
# Share of the progress that the planned attempts take; the rest is for confirming searches.
_PLANNED = 0.8


def register(
    scene: Scene, settings: RegistrationSettings, on_step: OnStep = unheeded, load_seconds: float = 0.0
) -> Registration:
    """Register a scene.

    on_step: called between renders with what is being done, the fraction done and the best pose so far; an error that
        it raises ends the registration and reaches the caller. Several calls may report the same state. The
        first ones take long only where the render engine was never compiled on this machine (see
        `render.kernels_are_cached`).
    load_seconds: what loading the scene took; it is part of the result's `seconds`.
    Raises InputError when the scene cannot be registered at all (an unknown start or engine, anatomy out of view, one
    X-ray as two views, a network of another patient).
    """
    require_start(settings.init, scene)
    require_different_views(scene.views)
    clock = _Clock()
    _, _, engine = choose_engine(settings.engine, settings.device)
    checkpoint, prediction = None, None
    file = network_file(settings.init)
    if file is not None:
        clock.switch("network")
        on_step(Step("prepare", 0.0, "running the network"))
        checkpoint = load_checkpoint(file, choose_device(settings.device))
        prediction = predict(checkpoint, scene, settings.engine, settings.device, settings.network.looks)
        clock.switch("initialise")
    warmed_up(settings, on_step)
    on_step(Step("prepare", 0.0, "preparing the volume"))
    problems = problem_cache_for(scene, settings)
    proposals = None if prediction is None else Proposals(prediction.poses, prediction.names)
    similarity: SceneSimilarity | None = None
    if settings.similarity is not None:
        similarity, proposals = _asked_similarity(problems, settings.similarity, prediction, clock, on_step)
    spent = 0 if similarity is None else similarity.objective.projector.renders
    planned = attempts(problems, proposals)
    best = _found(problems, planned, clock, lambda step: on_step(replace(step, renders=spent + problems.renders)))
    notes = () if prediction is None or checkpoint is None else _notes(scene, prediction, checkpoint, best.pose)
    if similarity is not None:
        notes += noted(NoteCode.SIMILARITY, _similarity_notes(similarity, settings))
        notes += noted(NoteCode.SIMILARITY_UNFAMILIAR, similarity.unfamiliar(scene, best.pose))
    renders = spent + problems.renders
    result = _registration(scene, renders, best, engine, clock.seconds(load_seconds), notes)
    on_step(Step("done", 1.0, result.verdict.reason, best.pose.numpy(), best.evidence.similarity, renders))
    return result


def estimate(scene: Scene, settings: RegistrationSettings, load_seconds: float = 0.0) -> Estimate:
    """The most probable pose of the network named by `settings.init`, neither refined nor judged.

    Takes milliseconds, as nothing is rendered. Raises InputError where `settings.init` names no network, and as
    `register` does.
    """
    file = network_file(settings.init)
    if file is None:
        raise InputError(
            "init", expected="the file of a trained network", found=settings.init, remedy="name one, or let it register"
        )
    clock = _Clock()
    clock.switch("network")
    checkpoint = load_checkpoint(file, choose_device(settings.device))
    prediction = predict(checkpoint, scene, settings.engine, settings.device, settings.network.looks)
    if not len(prediction.poses):
        raise InputError(
            f"network {file.name}", expected="a pose", found="numbers that are none", remedy="train it again"
        )
    world_from_volume = world_pose(scene, prediction.poses[0].numpy())
    return Estimate(
        world_from_volume=world_from_volume,
        views=tuple((view.name, view.camera.camera_from_world @ world_from_volume) for view in scene.views),
        start=prediction.names[0],
        belief=float(prediction.beliefs[0]),
        seconds=clock.seconds(load_seconds),
        coded_notes=_notes(scene, prediction, checkpoint, prediction.poses[0]),
    )


def warmed_up(settings: RegistrationSettings, on_step: OnStep = unheeded) -> float:
    """Load the compiled code that a registration needs; a step reports where it has to be compiled first.

    Returns the seconds spent on compiling. Raises InputError as `choose_engine` does, and for a similarity's file that
    is not a network.
    """
    learned_maps = settings.similarity is not None and needs_learned_maps(settings.similarity)
    if not kernels_are_cached(settings.engine, settings.device, learned_maps):
        compiling = Step("prepare", 0.0, "compiling the render engine for this computer, once")
        on_step(compiling)
        return warm_up(settings.engine, settings.device, learned_maps, lambda part: on_step(compiling))
    return warm_up(settings.engine, settings.device, learned_maps)


def _asked_similarity(
    problems: ProblemCache, file: str, prediction: Prediction | None, clock: _Clock, on_step: OnStep
) -> tuple[SceneSimilarity, Proposals]:
    """The learned similarity in a file, and the poses that it proposes."""
    settings = problems.settings
    clock.switch("similarity")
    on_step(Step("prepare", 0.0, "loading the learned similarity"))
    similarity = scene_similarity(file, problems.scene, settings.engine, settings.device)
    following = Step("prepare", 0.0, "following the learned similarity")
    proposals = learned_proposals(problems, similarity, prediction, lambda progress: on_step(following))
    clock.switch("initialise")
    return similarity, proposals


def _similarity_notes(similarity: SceneSimilarity, settings: RegistrationSettings) -> tuple[str, ...]:
    """Notes on the use of a learned similarity and on its fit to the scene, one sentence each."""
    ranked = "" if settings.init == "case" else "ranked hypotheses, and "
    done = (
        f"The learned similarity {similarity.name} ({similarity.architecture}) {ranked}led to poses that were tried "
        "first; refinement and verdict do not depend on it."
    )
    return (done, *similarity.notes)


def _found(problems: ProblemCache, planned: list[Attempt], clock: _Clock, on_step: OnStep) -> AssessedPose:
    """The best pose of the planned attempts and the confirming searches."""
    best: AssessedPose | None = None
    for number, attempt in enumerate(planned):
        span = _Span(_PLANNED * number / len(planned), _PLANNED / len(planned))
        found = _try(problems, attempt, span, clock, on_step)
        if found is not None:
            best = found if best is None else best.or_better(found, problems.pivot)
        if best is not None and best.verdict.accepted:
            break
    # The last attempt is never given up, as no other follows it.
    assert best is not None
    return _looked_again(problems, best, clock, on_step)


def _looked_again(problems: ProblemCache, best: AssessedPose, clock: _Clock, on_step: OnStep) -> AssessedPose:
    """The best pose once it is confirmed, or the best of all that further searches found.

    Confirmed is a pose that is clear by itself, or that a search around it leads back to. On poor X-rays this alone
    distinguishes right from wrong optima: near a wrong one there is a better one.
    """
    general, settings, partial = problems.settings, problems.settings.second, problems.partial
    given, found_again, fresh = general.init == "case", False, 0
    rounds = settings.part_rounds if problems.is_small(best.pose) else settings.rounds
    # Bones alone fit a little worse than the whole body, and a search for them takes longer.
    fair = settings.promising if partial else LEAST_SIMILARITY
    for number in range(rounds):
        settled = found_again and best.evidence.similarity >= fair
        if settled or best.is_clear(partial) or best.is_mirrored or (given and not best.verdict.accepted):
            return best
        seed = general.seed + 1 + number
        if best.evidence.similarity >= settings.promising and not found_again:
            attempt = search_around(problems, best.pose[None], AROUND_BEST, seed)
        elif fresh < settings.fresh:
            attempt = replace(search_anew(problems, seed), hopeless=None if partial else general.hopeless)
            fresh += 1
        else:
            return best
        share = (1 - _PLANNED) / rounds
        found = _try(problems, attempt, _Span(_PLANNED + share * number, share), clock, on_step)
        if found is None:
            continue
        if given:
            return best.beside(found, problems.pivot)
        before, best = best, best.or_better(found, problems.pivot)
        found_again = best.is_where(before, problems.pivot)
    return best if found_again or best.is_clear(partial) or not rounds else best.unconfirmed()


@dataclass(frozen=True)
class _Span:
    """One attempt's share of the progress of a registration."""

    start: float
    length: float

    def at(self, share: float) -> float:
        """The fraction of the registration done once a share of this attempt is done."""
        return self.start + self.length * share


@dataclass(frozen=True, eq=False)
class _Field:
    """The remaining hypotheses of an attempt, the best first.

    poses: (N, 4, 4) current; origins: (N, 4, 4) where they started. names: of those starts.
    gap: how much lower the best other optimum scored when last compared.
    """

    poses: Tensor
    origins: Tensor
    names: tuple[str, ...]
    gap: float | None = None

    def after(self, state: State, pivot: Tensor) -> _Field:
        """The field when a level ends with `state`, whose starts are its first poses."""
        order = falling(state.agreement.score)
        poses, scores = state.poses[order], state.agreement.score[order]
        gap = self.gap if len(poses) == 1 else _gap(distinct(poses, scores, pivot, 2)[1])
        return _Field(poses, self.origins[order], tuple(self.names[n] for n in order.tolist()), gap)


def _try(problems: ProblemCache, attempt: Attempt, span: _Span, clock: _Clock, on_step: OnStep) -> AssessedPose | None:
    """Run one attempt: search if it has one, refine, judge; None where it is given up as hopeless."""
    field = _Field(attempt.hypotheses, attempt.hypotheses, attempt.names)
    # The first level of an attempt without a search takes its place.
    early = 1
    if attempt.search is not None:
        clock.switch("initialise")
        field, early = _searched(problems, attempt, attempt.search, span, on_step), 0
    clock.switch("refine")
    for number, level in enumerate(attempt.levels):
        if number == early and attempt.hopeless is not None:
            similarity = _coarse_similarity(problems, field.poses[:1])
            if not similarity >= attempt.hopeless:
                message = f"{field.names[0]}: given up, not similar enough"
                on_step(Step("refine", span.at(0.99), message, field.poses[0].numpy(), similarity))
                return None
        poses = field.poses[:1] if level is attempt.levels[-1] else field.poses
        part = _Span(span.at(0.5 + 0.45 * number / len(attempt.levels)), span.length * 0.45 / len(attempt.levels))
        state = _refined(problems, level, poses, part, attempt.prior, on_step)
        field = field.after(state, problems.pivot)
    clock.switch("judge")
    state, name = best_first(state), field.names[0]
    pose, score = state.poses[0].numpy(), float(state.agreement.score[0])
    judging = Step("judge", span.at(0.96), f"judging {name}", pose, score)
    on_step(judging)
    found = assess(problems, state, field.gap, field.origins[0], name, lambda: on_step(judging))
    message = f"{name}: {'accepted' if found.verdict.accepted else 'not trusted'}"
    on_step(Step("judge", span.at(0.99), message, found.pose.numpy(), found.evidence.similarity))
    return found


def _searched(
    problems: ProblemCache, attempt: Attempt, settings: SearchSettings, span: _Span, on_step: OnStep
) -> _Field:
    """The distinct best poses around an attempt's hypotheses."""
    margin = REFINE_MARGIN_MM + 2 * max(attempt.spread.translation_mm[:2])
    searching = problems.for_search()

    def problem_at(level: LevelSettings, around: Tensor) -> Problem:
        return searching.problem(level, around, margin, attempt.prior)

    def on_candidates(found: Candidates) -> None:
        pose, score = found.poses[0].numpy(), float(found.scores[0])
        on_step(Step("search", span.at(0.5 * found.fraction), found.message, pose, score))

    general = problems.settings
    step = general.refine.step
    found = search(problem_at, attempt.hypotheses, problems.pivot, settings, step, general.seed, on_candidates)
    poses = found.poses[found.scores >= found.scores[0] - settings.outclassed]
    expected = attempt.hypotheses[:1].expand_as(poses)
    return _Field(poses, expected, attempt.names[:1] * len(poses), _gap(found.scores))


def _coarse_similarity(problems: ProblemCache, poses: Tensor) -> float:
    """Similarity of one pose (1, 4, 4) at the level before the finest: a cheap test of whether it may be right."""
    problem = problems.problem(problems.settings.refine.levels[-2], poses, REFINE_MARGIN_MM)
    return float(problem.scores(poses)[0])


def _refined(
    problems: ProblemCache, level: LevelSettings, poses: Tensor, span: _Span, prior: Prior | None, on_step: OnStep
) -> State:
    """Poses (B, 4, 4) refined on one level."""
    problem = problems.problem(level, poses, REFINE_MARGIN_MM, prior)
    message = f"refining at {max(view.camera.width for view in problem.views)} px"

    def on_state(state: State) -> None:
        best = best_first(state)
        done = min(1.0, state.steps / max(1, level.max_steps))
        on_step(Step("refine", span.at(done), message, best.poses[0].numpy(), float(best.agreement.score[0])))

    return descend(problem, poses, level.max_steps, problems.settings.refine.step, on_state)


def _gap(scores: Tensor) -> float | None:
    """How much lower the second best distinct optimum scores; None when all starts found the same one."""
    return float(scores[0] - scores[1]) if len(scores) > 1 else None


def _registration(
    scene: Scene,
    renders: int,
    found: AssessedPose,
    engine: str,
    seconds: dict[str, float],
    notes: tuple[Note, ...],
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
        verdict=unless_assumed(found.verdict, scene.assumed),
        evidence=found.evidence,
        uncertainty=found.uncertainty,
        start=found.start,
        stopped=found.stopped,
        seconds=seconds,
        renders=renders,
        engine=engine,
        coded_notes=(*scene.coded_notes, *notes),
    )


def _notes(scene: Scene, prediction: Prediction, checkpoint: Checkpoint, pose: Tensor) -> tuple[Note, ...]:
    """Notes on the network at a pose (4, 4) of the first camera."""
    strange = unfamiliar(checkpoint.card, prediction, scene, pose)
    return (*noted(NoteCode.NETWORK, prediction.notes), *noted(NoteCode.NETWORK_UNFAMILIAR, strange))


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self._spent = {"initialise": 0.0, "refine": 0.0, "judge": 0.0}
        self._stage, self._since = "initialise", time.perf_counter()

    def switch(self, stage: str) -> None:
        now = time.perf_counter()
        self._spent[self._stage] = self._spent.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    def seconds(self, load: float) -> dict[str, float]:
        self.switch(self._stage)
        spent = {"load": load, **self._spent}
        return {**spent, "total": sum(spent.values())}


def world_pose(scene: Scene, camera_from_volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """world_from_volume (4, 4) of a Step's pose, which is that of the first view's camera."""
    return np.linalg.inv(scene.views[0].camera.camera_from_world) @ camera_from_volume
