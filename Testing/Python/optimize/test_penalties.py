"""What is known of the pose besides the images: closed forms, and derivatives against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xrayreg.geometry import Camera, retract, rotation_from_eulers, transform_points
from xrayreg.optimize import EulerPenalty, LandmarkPenalty, ObjectPenalty, Penalty, span
from xrayreg.registration.problem import Prior
from xrayreg.settings.methods import XREG_PENALTY

DOUBLE = torch.float64
PIVOT = torch.tensor([10.0, -20.0, 30.0], dtype=DOUBLE)
EXPECTED = retract(torch.eye(4, dtype=DOUBLE), torch.tensor([0.3, -0.2, 0.5, 12.0, -7.0, 640.0], dtype=DOUBLE), PIVOT)
CAMERA = Camera.from_sid(1000.0, 0.8, 300, 280)
SIDEWAYS = retract(torch.eye(4, dtype=DOUBLE), torch.tensor([0.1, 0.9, 0.0, -5.0, 3.0, 20.0], dtype=DOUBLE), PIVOT)
POINTS = PIVOT + 60 * torch.randn(7, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)


def projected(view_from_first: Tensor, pose: Tensor) -> Tensor:
    seen = transform_points(view_from_first @ pose, POINTS) @ torch.as_tensor(CAMERA.matrix).mT
    return seen[:, :2] / seen[:, 2:]


def euler_penalty(weight: float = 0.1) -> EulerPenalty:
    return EulerPenalty(EXPECTED, PIVOT, span(XREG_PENALTY), weight)


def landmark_penalty(view_from_first: Tensor) -> LandmarkPenalty:
    return LandmarkPenalty(POINTS, projected(view_from_first, EXPECTED), CAMERA, view_from_first, PIVOT, 5.0, 0.1)


PENALTIES: dict[str, Penalty] = {
    "Euler angles": euler_penalty(),
    "landmarks": landmark_penalty(torch.eye(4, dtype=DOUBLE)),
    "landmarks of another view": landmark_penalty(SIDEWAYS),
}


def poses_around(count: int = 12) -> Tensor:
    twists = torch.randn(count, 6, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    return retract(EXPECTED.expand(count, 4, 4), twists * span(XREG_PENALTY), PIVOT)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_nothing_is_lost_where_all_is_as_expected(penalty):
    found = penalty.agreement(EXPECTED[None])
    assert found.score.abs().max() < 1e-20 and found.gradient.abs().max() < 1e-10
    assert (penalty.agreement(poses_around()).score < 0).all()


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_gradient_is_that_of_the_cost_by_twists(penalty):
    poses = poses_around()
    found = penalty.agreement(poses).gradient
    for n in range(6):
        twist = torch.zeros(6, dtype=DOUBLE)
        twist[n] = 1e-5
        after, before = (penalty.agreement(retract(poses, sign * twist, PIVOT)).score for sign in (1, -1))
        torch.testing.assert_close(found[:, n], (before - after) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_normal_matrix_is_the_curvature_where_all_is_as_expected(penalty):
    normal = penalty.agreement(EXPECTED[None]).normal[0]
    step = 1e-4 * torch.eye(6, dtype=DOUBLE)
    for n in range(6):
        after, before = (penalty.agreement(retract(EXPECTED[None], sign * step[n], PIVOT)).gradient for sign in (1, -1))
        torch.testing.assert_close(normal[n], (after - before)[0] / 2e-4, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("axis", "deviation_deg"), [(0, 15.0), (1, 15.0), (2, 10.0)])
def test_one_standard_deviation_of_an_angle_costs_half_the_weight(axis, deviation_deg):
    angles = torch.zeros(1, 3, dtype=DOUBLE)
    angles[0, axis] = math.radians(deviation_deg)
    pose = EXPECTED[None].clone()
    pose[:, :3, :3] = rotation_from_eulers(angles, "xyz") @ EXPECTED[:3, :3]
    # About the pivot, which stays where it is.
    pose[:, :3, 3] = transform_points(EXPECTED, PIVOT[None]) - pose[:, :3, :3] @ PIVOT
    assert euler_penalty(0.1).agreement(pose).score.item() == pytest.approx(-0.05)


def test_it_is_minus_the_logarithm_of_the_density_counted_from_its_peak():
    angles = torch.tensor([[0.2, -0.1, 0.15]], dtype=DOUBLE)
    shift = torch.tensor([[10.0, -40.0, 90.0]], dtype=DOUBLE)
    pose = EXPECTED[None].clone()
    pose[:, :3, :3] = rotation_from_eulers(angles, "xyz") @ EXPECTED[:3, :3]
    pose[:, :3, 3] = transform_points(EXPECTED, PIVOT[None]) + shift - pose[:, :3, :3] @ PIVOT
    normal = torch.distributions.Normal(torch.zeros(6, dtype=DOUBLE), span(XREG_PENALTY))
    moved = torch.cat([angles, shift], dim=1)
    expected = normal.log_prob(moved).sum() - normal.log_prob(torch.zeros_like(moved)).sum()
    assert euler_penalty(1.0).agreement(pose).score.item() == pytest.approx(expected.item())


def test_small_motions_cost_what_the_quadratic_prior_says():
    poses = retract(EXPECTED.expand(6, 4, 4), 1e-3 * span(XREG_PENALTY) * torch.eye(6, dtype=DOUBLE), PIVOT)
    prior = Prior(EXPECTED, span(XREG_PENALTY), 0.1).agreement(poses, PIVOT)
    torch.testing.assert_close(euler_penalty().agreement(poses).score, prior.score, rtol=1e-6, atol=0)


@pytest.mark.parametrize("angle", [math.pi / 2, -math.pi / 2])
def test_a_quarter_turn_away_everything_stays_finite(angle):
    twist = torch.tensor([[0.0, angle, 0.0, 0.0, 0.0, 0.0]], dtype=DOUBLE)
    found = euler_penalty().agreement(retract(EXPECTED[None], twist, PIVOT))
    assert all(torch.isfinite(part).all() for part in (found.score, found.gradient, found.normal))
    assert found.score < -1


def test_landmarks_cost_half_their_squared_pixels():
    view = torch.eye(4, dtype=DOUBLE)
    off = projected(view, EXPECTED) + torch.tensor([3.0, -4.0], dtype=DOUBLE)
    penalty = LandmarkPenalty(POINTS, off, CAMERA, view, PIVOT, deviation_px=5.0, weight=1.0)
    assert penalty.agreement(EXPECTED[None]).score.item() == pytest.approx(-0.5 * len(POINTS))


def test_landmarks_behind_the_source_cost_without_end_and_break_nothing():
    penalty = landmark_penalty(torch.eye(4, dtype=DOUBLE))
    behind = EXPECTED.clone()
    behind[2, 3] -= 700.0
    both = penalty.agreement(torch.stack([behind, EXPECTED]))
    assert both.score[0] == -math.inf and both.score[1] > -1e-12
    assert torch.isfinite(both.gradient).all() and torch.isfinite(both.normal).all()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_penalty_of_one_object_leaves_the_others_alone(number):
    poses = torch.stack([poses_around(), poses_around().flip(0), poses_around().roll(3, 0)], dim=1)
    alone = euler_penalty().agreement(poses[:, number])
    found = ObjectPenalty(euler_penalty(), number).agreement(poses)
    assert found.gradient.shape == (12, 18) and found.normal.shape == (12, 18, 18)
    torch.testing.assert_close(found.score, alone.score)
    gradient, normal = found.gradient.unflatten(1, (3, 6)), found.normal.unflatten(1, (3, 6)).unflatten(-1, (3, 6))
    torch.testing.assert_close(gradient[:, number], alone.gradient)
    torch.testing.assert_close(normal[:, number, :, number], alone.normal)
    assert gradient.count_nonzero() == alone.gradient.count_nonzero()
    assert normal.count_nonzero() == alone.normal.count_nonzero()
