"""A problem on a parameterisation as an optimiser's objective."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from optimiser_problems import PIVOT, START, TRUTH, UNITS, Watched, small_problem, start_parameters
from phantoms import furthest_mm
from torch import Tensor

from xrayreg.geometry import pose_difference
from xrayreg.optimize import (
    EulerPenalty,
    EulerZXY,
    MultiObject,
    ObjectPenalty,
    PartlyFixed,
    PoseObjective,
    Progress,
    Query,
    RotVec,
    adam,
    cma_es,
    lbfgs,
    levenberg_marquardt,
    optimise,
    span,
)
from xrayreg.settings import CmaSettings, LbfgsSettings, LmSettings, PoseSpan
from xrayreg.settings.methods import XVR_ADAM
from xrayreg.similarity import Agreement

DOUBLE = torch.float64
NEAR = PoseSpan((5.0, 5.0, 5.0), (10.0, 10.0, 30.0))
CHARTS = {
    "twist": start_parameters(),
    "Euler": EulerZXY(PIVOT),
    "held": PartlyFixed(start_parameters(), torch.zeros(6, dtype=DOUBLE), (0, 2, 5)),
}


def points_near(parameters, count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    base = torch.zeros(3, dtype=DOUBLE) if isinstance(parameters, PartlyFixed) else parameters.point(START)
    unit = torch.tensor([0.02] * 3 + [2.0] * 3, dtype=DOUBLE) if isinstance(parameters, EulerZXY) else torch.ones(1)
    return base + unit * torch.randn(count, parameters.dimensions, generator=generator, dtype=DOUBLE)


def test_without_penalties_the_score_is_the_problems():
    problem, parameters = small_problem(), start_parameters()
    points = points_near(parameters)
    poses = parameters.poses(points)
    objective = PoseObjective(problem, parameters)
    plain, full = objective.answer(Query(points)), objective.answer(Query(points, 2))
    torch.testing.assert_close(plain.scores, problem.scores(poses).double())
    torch.testing.assert_close(full.scores, problem.agreement(poses).score.double())
    assert plain.gradients is None and plain.normals is None
    assert objective.answer(Query(points, 1)).normals is None


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("penalised", [False, True])
def test_the_gradient_is_that_of_the_numbers(name, penalised):
    parameters = CHARTS[name]
    penalties = (EulerPenalty(START, PIVOT, span(NEAR), 0.1),) if penalised else ()
    objective = PoseObjective(small_problem(), parameters, penalties, 0.9)
    points = points_near(parameters)
    found = objective.answer(Query(points, 1)).gradients
    unit = torch.tensor([0.02] * 3 + [2.0] * 3, dtype=DOUBLE) if name == "Euler" else torch.ones(6, dtype=DOUBLE)
    for n in range(parameters.dimensions):
        moved = torch.zeros(parameters.dimensions, dtype=DOUBLE)
        moved[n] = 0.05 * unit[n]
        after, before = (objective.answer(Query(points + sign * moved)).scores for sign in (1, -1))
        slope = (after - before) / (2 * moved[n])
        # Scores are single-precision, and curve within the step: a hundredth of the steepest slope.
        assert (found[:, n] - slope).abs().max() < 0.01 * found.abs().amax() + 2e-5 / float(unit[n])


def test_a_gradient_is_the_same_whether_normals_are_asked_for_or_not():
    parameters = start_parameters()
    points = points_near(parameters)
    objective = PoseObjective(small_problem(), parameters, (EulerPenalty(START, PIVOT, span(NEAR), 0.1),), 0.9)
    first, second = objective.answer(Query(points, 1)), objective.answer(Query(points, 2))
    # Single precision by two ways.
    torch.testing.assert_close(first.gradients, second.gradients, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(first.scores, second.scores, rtol=0, atol=1e-6)


def test_normals_follow_the_parameterisation():
    parameters = EulerZXY(PIVOT)
    points = points_near(parameters)
    twists = parameters.twists(points)
    normal = small_problem().agreement(parameters.poses(points)).normal.double()
    found = PoseObjective(small_problem(), parameters).answer(Query(points, 2)).normals
    torch.testing.assert_close(found, twists.mT @ normal @ twists)


def test_weights_and_penalties_add_up():
    parameters = start_parameters()
    points = points_near(parameters)
    penalty = EulerPenalty(START, PIVOT, span(NEAR), 0.1)
    bare = PoseObjective(small_problem(), parameters).answer(Query(points, 2))
    both = PoseObjective(small_problem(), parameters, (penalty, penalty), 0.9).answer(Query(points, 2))
    extra = penalty.agreement(parameters.poses(points)).score
    torch.testing.assert_close(both.scores, 0.9 * bare.scores + 2 * extra)
    torch.testing.assert_close(
        PoseObjective(small_problem(), parameters, (penalty, penalty), 0.9).answer(Query(points)).scores,
        both.scores,
        rtol=0,
        atol=1e-6,
    )


def test_xvrs_adam_finds_the_pose_by_its_own_numbers():
    parameters = EulerZXY(PIVOT)
    settings = replace(XVR_ADAM, schedule=replace(XVR_ADAM.schedule, threshold=1e-6))
    optimum = optimise(adam(parameters.point(START), settings), PoseObjective(small_problem(), parameters).answer)
    assert furthest_mm(parameters.poses(optimum.point[None]), TRUTH[None]) < 3


def test_progress_holds_the_best_so_far_and_changes_nothing():
    parameters = start_parameters()
    objective = PoseObjective(small_problem(), parameters)
    start = torch.zeros(6, dtype=DOUBLE)
    settings = CmaSettings(population=8, generations=6)
    watched = Watched(objective.answer)
    plain = optimise(cma_es(start, torch.ones(6), settings), watched)
    news: list[Progress] = []
    optimum = optimise(cma_es(start, torch.ones(6), settings), objective.answer, news.append)
    assert [progress.evaluations for progress in news] == [1 + 8 * n for n in range(7)]
    best = torch.cat(watched.scores).cummax(0).values
    assert [progress.score for progress in news] == [float(best[progress.evaluations - 1]) for progress in news]
    assert torch.equal(optimum.point, plain.point) and optimum.evaluations == plain.evaluations == 49


@pytest.mark.parametrize("count", [2, 3])
def test_several_objects_are_found_together(count):
    """Objects whose scores add up: bones that are rendered apart, with a pose each."""
    starts = [START, start_parameters().poses(torch.ones(1, 6, dtype=DOUBLE))[0], TRUTH][:count]
    parameters = MultiObject(tuple(RotVec(start, PIVOT, UNITS) for start in starts))
    penalty = ObjectPenalty(EulerPenalty(START, PIVOT, span(NEAR), 1e-6), count - 1)
    objective = PoseObjective(Together(), parameters, (penalty,))
    start = torch.zeros(6 * count, dtype=DOUBLE)
    for optimiser in (
        lbfgs(start, LbfgsSettings()),
        levenberg_marquardt(start, LmSettings(stop_step=1e-4, stop_gain=1e-8)),
    ):
        optimum = optimise(optimiser, objective.answer)
        found = parameters.poses(optimum.point[None])[0]
        assert furthest_mm(found, TRUTH.expand(count, 4, 4)).max() < 0.8


class Together:
    """The small problem for several objects at once: the mean of their similarities."""

    def scores(self, poses: Tensor) -> Tensor:
        each = small_problem().scores(poses.flatten(0, 1))
        return each.unflatten(0, poses.shape[:2]).mean(1)

    def agreement(self, poses: Tensor, *, normals: bool) -> Agreement:
        count, objects = poses.shape[:2]
        each = small_problem().agreement(poses.flatten(0, 1), normals=normals)
        normal = torch.zeros(count, 6 * objects, 6 * objects, dtype=DOUBLE)
        for n in range(objects):
            place = slice(6 * n, 6 * n + 6)
            normal[:, place, place] = each.normal.unflatten(0, (count, objects))[:, n] / objects
        score = each.score.unflatten(0, (count, objects)).mean(1)
        return Agreement(score, each.gradient.reshape(count, -1) / objects, normal)


def test_a_point_far_from_the_scene_scores_and_never_breaks_the_run():
    parameters = start_parameters()
    away = torch.tensor([0.0, 0.0, 0.0, 3000.0, 0.0, 0.0], dtype=DOUBLE)
    optimum = optimise(lbfgs(away, LbfgsSettings(steps=3)), PoseObjective(small_problem(), parameters).answer)
    assert optimum.reason.endswith(".") and optimum.evaluations >= 1
    assert pose_difference(parameters.poses(away[None])[0], START, PIVOT)[3] == pytest.approx(3000.0)
