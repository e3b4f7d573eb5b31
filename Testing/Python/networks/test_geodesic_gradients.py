"""The geodesic distance, its gradient and the losses on gradients: against derivatives by torch and by differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xrayreg.geometry import pose_difference, retract, rotation_from_vector
from xrayreg.geometry.rotations import vector_from_rotation
from xrayreg.networks.training.geodesic_gradients import (
    GRADIENT_LOSSES,
    angle_between_deg,
    angle_loss,
    direction_loss,
    geodesic_gradient,
    geodesic_loss,
    parameter_tangents,
    squared_geodesic,
)

DOUBLE = torch.float64
PIVOT = torch.tensor([11.0, -7.0, 30.0], dtype=DOUBLE)
SCALE_MM = 128.0


def poses(count: int, seed: int, degrees: float = 40.0) -> Tensor:
    """Poses (B, 4, 4) spread about one 700 mm from the source."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([math.radians(degrees)] * 3 + [40.0, 40.0, 80.0], dtype=DOUBLE)
    middle = torch.eye(4, dtype=DOUBLE)
    middle[:3, :3] = rotation_from_vector(torch.tensor([1.2, 0.3, -0.4], dtype=DOUBLE))
    middle[2, 3] = 700.0
    return retract(middle.expand(count, 4, 4), torch.randn(count, 6, generator=generator, dtype=DOUBLE) * spread, PIVOT)


def moved(base: Tensor, parameters: Tensor) -> Tensor:
    return retract(base, torch.cat([parameters[:, :3], SCALE_MM * parameters[:, 3:]], -1), PIVOT)


def parameters_of(pose: Tensor, base: Tensor) -> Tensor:
    difference = pose_difference(pose, base, PIVOT)
    return torch.cat([difference[:, :3], difference[:, 3:] / SCALE_MM], -1)


def test_the_distance_is_the_left_canonical_one_and_does_not_see_a_common_motion():
    one, other, common = poses(6, 0), poses(6, 1), poses(6, 2)
    found = squared_geodesic(one, other, PIVOT, SCALE_MM)
    # ProST's poses: rotation about the isocentre and its place in canonical units; theta^2 + |R^T (t - t')|^2.
    turn, apart = one[:, :3, :3], (one - other) @ torch.cat([PIVOT, PIVOT.new_ones(1)])
    shift = (turn.mT @ apart[:, :3, None])[..., 0] / SCALE_MM
    angle = torch.arccos(((turn.mT @ other[:, :3, :3]).diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2)
    torch.testing.assert_close(found, angle.square() + shift.square().sum(-1))
    torch.testing.assert_close(squared_geodesic(common @ one, common @ other, PIVOT, SCALE_MM), found)
    torch.testing.assert_close(squared_geodesic(other, one, PIVOT, SCALE_MM), found)
    assert not squared_geodesic(one, one, PIVOT, SCALE_MM).gt(1e-20).any()


@pytest.mark.parametrize("about", ["each pose itself", "a nominal view"])
def test_the_gradient_is_the_derivative_of_the_distance(about):
    pose, truth = poses(8, 0), poses(8, 1)
    base = None if about == "each pose itself" else poses(1, 3).expand(8, 4, 4)
    leaf = parameters_of(pose, pose if base is None else base).requires_grad_()
    distance = squared_geodesic(moved(pose if base is None else base, leaf), truth, PIVOT, SCALE_MM)
    (expected,) = torch.autograd.grad(distance.sum(), leaf)
    torch.testing.assert_close(geodesic_gradient(pose, truth, PIVOT, SCALE_MM, base), expected)


def test_tangents_are_differences_of_poses_along_the_parameters():
    pose, base, step = poses(3, 0), poses(1, 3).expand(3, 4, 4), 1e-6
    tangents = parameter_tangents(pose, PIVOT, SCALE_MM, base)
    at = parameters_of(pose, base)
    for column in range(6):
        aside = torch.zeros(6, dtype=DOUBLE)
        aside[column] = step
        difference = (moved(base, at + aside) - moved(base, at - aside)) / (2 * step)
        torch.testing.assert_close(tangents[:, column], difference, atol=1e-6, rtol=1e-6)


def test_a_step_against_the_gradient_leads_to_the_truth():
    pose, truth = poses(5, 0), poses(5, 1)
    there = moved(pose, -geodesic_gradient(pose, truth, PIVOT, SCALE_MM) / 2)
    torch.testing.assert_close(there, truth)


def test_nothing_is_nan_at_the_truth_and_at_half_a_turn():
    truth = poses(1, 0)
    for axis in torch.eye(3, dtype=DOUBLE):
        turns = torch.stack([0 * axis, 1e-12 * axis, math.pi * axis, (math.pi - 1e-9) * axis, -math.pi * axis])
        pose = truth.expand(5, 4, 4).clone()
        pose[:, :3, :3] = rotation_from_vector(turns) @ truth[:, :3, :3]
        # The pivot stays where it was.
        pose[:, :3, 3] += ((truth - pose)[:, :3, :3] @ PIVOT[:, None])[..., 0]
        gradient = geodesic_gradient(pose, truth, PIVOT, SCALE_MM)
        assert gradient.isfinite().all()
        lengths = gradient[:, :3].norm(dim=-1)
        expected = 2 * torch.tensor([0, 0, math.pi, math.pi, math.pi], dtype=DOUBLE)
        torch.testing.assert_close(lengths, expected, atol=1e-6, rtol=1e-6)
        assert gradient[0].abs().max() < 1e-12
        for loss in GRADIENT_LOSSES.values():
            found = gradient.clone().requires_grad_()
            value = loss(found, gradient)
            (by_gradient,) = torch.autograd.grad(value.sum(), found)
            assert value.abs().max() < 1e-9 and by_gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", GRADIENT_LOSSES)
def test_losses_and_their_derivatives_are_finite_at_every_singular_point(name, dtype):
    loss, true = GRADIENT_LOSSES[name], geodesic_gradient(poses(4, 0), poses(4, 1), PIVOT, SCALE_MM).to(dtype)
    half_turn = true.clone()
    about = torch.linalg.cross(true[:, :3], torch.ones(4, 3, dtype=dtype))
    opposite = rotation_from_vector(math.pi * about / about.norm(dim=-1, keepdim=True)) @ rotation_from_vector(
        true[:, :3]
    )
    half_turn[:, :3] = vector_from_rotation(opposite)
    whole_turn = true.clone()
    whole_turn[:, :3] *= 2 * math.pi / true[:, :3].norm(dim=-1, keepdim=True)
    for found in (true, -true, 0 * true, 1e-30 * true, 1e6 * true, half_turn, whole_turn):
        for target in (true, 0 * true):
            leaf = found.detach().clone().requires_grad_()
            value = loss(leaf, target)
            (derivative,) = torch.autograd.grad(value.sum(), leaf)
            assert value.isfinite().all() and derivative.isfinite().all() and (value >= 0).all()
    assert loss(true, true).max() < 1e-9


@pytest.mark.parametrize("name", GRADIENT_LOSSES)
def test_derivatives_of_the_losses_are_their_differences(name):
    generator = torch.Generator().manual_seed(4)
    found = torch.randn(4, 6, generator=generator, dtype=DOUBLE).requires_grad_()
    true = torch.randn(4, 6, generator=generator, dtype=DOUBLE)
    assert torch.autograd.gradcheck(lambda leaf: GRADIENT_LOSSES[name](leaf, true), (found,))


def test_directions_alone_count_in_the_one_and_poses_in_the_other():
    true = torch.tensor([[0.3, 0.0, 0.0, 0.0, 2.0, 0.0]], dtype=DOUBLE)
    assert direction_loss(7 * true, true).item() < 1e-20
    assert direction_loss(-true, true).item() == pytest.approx(8)
    # Nothing to say of the rotation: only the translation is asked for.
    assert direction_loss(-true, true * torch.tensor([0.0] * 3 + [1.0] * 3)).item() == pytest.approx(4)
    # Of the whole gradient a small part counts for little, whatever its direction.
    aside = torch.tensor([[0.0, 0.3, 0.0, 0.0, 2.0, 0.0]], dtype=DOUBLE)
    assert angle_loss(7 * true, true).item() < 1e-20 and angle_loss(-true, true).item() == pytest.approx(4)
    angle = math.radians(angle_between_deg(aside, true).item())
    assert angle_loss(aside, true).item() == pytest.approx(2 - 2 * math.cos(angle))
    assert angle_loss(aside, true).item() < 0.05 and direction_loss(aside, true).item() == pytest.approx(2)
    found = torch.tensor([[0.1, 0.0, 0.0, 0.0, 2.5, 0.0]], dtype=DOUBLE)
    assert geodesic_loss(found, true).item() == pytest.approx(0.2**2 + 0.5**2)
    # Rotations a whole turn apart are the same pose.
    found[0, 0] = 0.3 + 2 * math.pi
    assert geodesic_loss(found, true).item() == pytest.approx(0.5**2)


def test_angles_between_gradients_keep_their_digits():
    axis, aside = torch.eye(6, dtype=DOUBLE)[:1], torch.eye(6, dtype=DOUBLE)[1:2]
    for degrees in (0.0, 1e-7, 30.0, 90.0, 179.9999999, 180.0):
        other = math.cos(math.radians(degrees)) * axis + math.sin(math.radians(degrees)) * aside
        assert angle_between_deg(5 * axis, 0.1 * other).item() == pytest.approx(degrees, abs=1e-12)
    assert angle_between_deg(axis, 0 * axis).item() == pytest.approx(90)
