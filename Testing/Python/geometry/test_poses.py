"""Poses form a group, and twists about a pivot move them as clinicians speak of it."""

from __future__ import annotations

import math

import pytest
import torch

from xrayreg.geometry import (
    inverse,
    pose_difference,
    retract,
    rigid,
    rotation_angle,
    rotation_from_vector,
    transform_points,
    twist_tangents,
)

PIVOT = torch.tensor([12.0, -140.0, 830.0], dtype=torch.float64)


def poses(count: int, seed: int = 0) -> torch.Tensor:
    """Poses (count, 4, 4) of all orientations, half a metre about."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    shifts = 500 * torch.randn(count, 3, dtype=torch.float64, generator=generator)
    return rigid(rotation_from_vector(2 * vectors), shifts)


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-9) -> None:
    """Equal to a nanometre: double precision on products of metres."""
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


def test_inverse_is_the_inverse_matrix() -> None:
    close(inverse(poses(5)), torch.linalg.inv(poses(5)))
    close(inverse(poses(5)) @ poses(5), torch.eye(4, dtype=torch.float64).expand(5, 4, 4))


def test_inverse_of_a_product_is_the_product_of_inverses_reversed() -> None:
    a, b = poses(5, 1), poses(5, 2)
    close(inverse(a @ b), inverse(b) @ inverse(a))


def test_moving_points_composes_as_the_matrices_do() -> None:
    a, b = poses(4, 1), poses(4, 2)
    points = 100 * torch.randn(4, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    close(transform_points(a, transform_points(b, points)), transform_points(a @ b, points))


def test_one_set_of_points_serves_many_poses() -> None:
    points = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = transform_points(poses(4), points)
    close(found[2], transform_points(poses(4)[2], points))


def test_rigid_broadcasts_and_ends_in_0_0_0_1() -> None:
    found = rigid(torch.eye(3, dtype=torch.float64), torch.zeros(5, 3, dtype=torch.float64))
    close(found, torch.eye(4, dtype=torch.float64).expand(5, 4, 4))


def test_zero_twist_changes_nothing() -> None:
    close(retract(poses(3), torch.zeros(3, 6, dtype=torch.float64), PIVOT), poses(3))


def test_turning_leaves_the_pivot_where_it_is_and_shifting_moves_it_along_the_camera_axes() -> None:
    twist = torch.tensor([0.4, -0.9, 0.3, 7.0, -8.0, 9.0], dtype=torch.float64)
    before = transform_points(poses(3), PIVOT[None])
    after = transform_points(retract(poses(3), twist, PIVOT), PIVOT[None])
    close(after - before, twist[3:].expand(3, 1, 3))


def test_rotation_is_about_camera_axes() -> None:
    twist = torch.tensor([0.0, 0.0, math.pi / 2, 0.0, 0.0, 0.0], dtype=torch.float64)
    pose = poses(1)[0]
    offset = torch.tensor([[10.0, 0.0, 0.0]], dtype=torch.float64)
    # A point 10 mm along camera x from the pivot comes to lie 10 mm along camera y.
    in_camera = transform_points(pose, PIVOT[None]) + offset
    moved = transform_points(retract(pose, twist, PIVOT), transform_points(inverse(pose), in_camera))
    close(moved - transform_points(pose, PIVOT[None]), torch.tensor([[0.0, 10.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 2.0, math.pi - 1e-6])
def test_difference_undoes_retraction(angle) -> None:
    direction = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), dim=0)
    twist = torch.cat([angle * direction, torch.tensor([5.0, -60.0, 200.0], dtype=torch.float64)]).expand(4, 6)
    # Rotations hold 1e-15 rad, translations 1e-13 relative to a metre.
    close(pose_difference(retract(poses(4), twist, PIVOT), poses(4), PIVOT), twist)


def test_retraction_by_the_difference_arrives() -> None:
    start, goal = poses(6, 4), poses(6, 5)
    close(retract(start, pose_difference(goal, start, PIVOT), PIVOT), goal)


def test_tangents_are_the_differences_of_retraction() -> None:
    pose, step = poses(2), 1e-5
    tangents = twist_tangents(pose, PIVOT)
    for axis in range(6):
        twist = torch.zeros(6, dtype=torch.float64)
        twist[axis] = step
        slope = (retract(pose, twist, PIVOT) - retract(pose, -twist, PIVOT)) / (2 * step)
        # Central differences: step squared / 6 on a metre, 2e-8 mm, and rounding 1e-13 / step, 1e-8 mm.
        close(tangents[:, axis], slope, atol=1e-6)


def test_retraction_has_the_derivatives_of_its_differences_at_zero_and_elsewhere() -> None:
    for scale in (0.0, 1e-7, 0.5):
        twist = (scale * torch.tensor([[1.0, -1.0, 0.5, 3.0, 2.0, 1.0]], dtype=torch.float64)).requires_grad_()
        # The pose is brought to decimetres, lest gradcheck's step of 1e-6 drown in rounding.
        pose = poses(1).clone()
        pose[:, :3, 3] /= 100
        assert torch.autograd.gradcheck(lambda t, pose=pose: retract(pose, t, PIVOT / 100), twist)


def test_angle_between_poses_is_that_of_the_turn_between_them() -> None:
    start = poses(3)
    for angle in (0.0, 1e-7, 1.0, math.pi):
        twist = torch.tensor([0.0, angle, 0.0, 50.0, 0.0, 0.0], dtype=torch.float64)
        found = rotation_angle(retract(start, twist, PIVOT), start)
        close(found, torch.full((3,), angle, dtype=torch.float64), atol=1e-13)
