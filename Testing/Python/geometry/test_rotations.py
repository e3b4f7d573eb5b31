"""Rotation vectors and matrices are two names of one thing, also at zero and at a half turn."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xrayreg.geometry import (
    left_jacobian,
    left_jacobian_inverse,
    rotation_from_vector,
    skew,
    vector_from_rotation,
)

AXES = torch.nn.functional.normalize(
    torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [1, 1, 0], [1, -2, 3], [1e-9, 1, -1e-9], [-0.2, -0.3, 0.9]],
        dtype=torch.float64,
    ),
    dim=-1,
)
ANGLES = [0.0, 1e-12, 1e-7, 3.1e-3, 3.3e-3, 0.1, 1.0, 2.0, 3.0, math.pi - 1e-4, math.pi - 1e-7]
coordinate = st.floats(-1.8, 1.8)  # so that vectors stay shorter than pi


def identity_like(matrix: torch.Tensor) -> torch.Tensor:
    return torch.eye(3, dtype=matrix.dtype).expand_as(matrix)


def test_skew_is_the_cross_product() -> None:
    a, b = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close((skew(a) @ b[..., None]).squeeze(-1), torch.linalg.cross(a, b))


@pytest.mark.parametrize("angle", [*ANGLES, math.pi, 4.0, 7.0, -2.0])
def test_exponential_is_that_of_the_matrix_series(angle) -> None:
    vectors = angle * AXES
    # torch.linalg.matrix_exp knows nothing of rotations; both round at 1e-16 per operation.
    torch.testing.assert_close(rotation_from_vector(vectors), torch.matrix_exp(skew(vectors)), atol=1e-13, rtol=0)


@pytest.mark.parametrize("angle", [*ANGLES, math.pi, 100.0])
def test_exponential_is_a_rotation(angle) -> None:
    rotation = rotation_from_vector(angle * AXES)
    torch.testing.assert_close(rotation @ rotation.mT, identity_like(rotation), atol=1e-14, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(AXES), dtype=torch.float64))


@pytest.mark.parametrize("angle", ANGLES)
def test_logarithm_undoes_the_exponential(angle) -> None:
    vectors = angle * AXES
    # Rounding of the matrix, 1e-16, becomes as much in the quaternion that is read off its largest column.
    torch.testing.assert_close(vector_from_rotation(rotation_from_vector(vectors)), vectors, atol=1e-14, rtol=1e-14)


@pytest.mark.parametrize("excess", [0.0, 1e-9, 0.3])
def test_half_turn_and_beyond_give_the_same_rotation_by_a_vector_of_at_most_pi(excess) -> None:
    rotation = rotation_from_vector((math.pi + excess) * AXES)
    vector = vector_from_rotation(rotation)
    assert (vector.norm(dim=-1) <= math.pi + 1e-12).all()
    torch.testing.assert_close(rotation_from_vector(vector), rotation, atol=1e-14, rtol=0)


@given(st.tuples(coordinate, coordinate, coordinate))
@settings(max_examples=60)
def test_round_trip_holds_for_any_vector(numbers) -> None:
    vector = torch.tensor(numbers, dtype=torch.float64)
    torch.testing.assert_close(vector_from_rotation(rotation_from_vector(vector)), vector, atol=1e-13, rtol=0)


def test_opposite_vector_is_the_inverse_rotation() -> None:
    vectors = 1.3 * AXES
    torch.testing.assert_close(rotation_from_vector(-vectors), rotation_from_vector(vectors).mT)


def test_turns_about_one_axis_add_up() -> None:
    product = rotation_from_vector(0.4 * AXES) @ rotation_from_vector(0.9 * AXES)
    torch.testing.assert_close(product, rotation_from_vector(1.3 * AXES))


@pytest.mark.parametrize("angle", ANGLES)
def test_single_precision_keeps_its_digits(angle) -> None:
    vectors = (angle * AXES).float()
    found = vector_from_rotation(rotation_from_vector(vectors))
    # Float rounding is 6e-8 per operation, a dozen operations on numbers up to pi.
    torch.testing.assert_close(found.norm(dim=-1), vectors.norm(dim=-1), atol=2e-6, rtol=0)
    torch.testing.assert_close(rotation_from_vector(found), rotation_from_vector(vectors), atol=2e-6, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 3.1e-3, 3.3e-3, 1.0, 3.0])
def test_both_maps_have_the_derivatives_of_their_differences(angle) -> None:
    vectors = (angle * AXES).clone().requires_grad_()
    assert torch.autograd.gradcheck(rotation_from_vector, vectors)
    # The logarithm is differentiated along rotations only: off them it is arbitrary.
    base = rotation_from_vector(angle * AXES)
    small = torch.zeros_like(vectors, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: vector_from_rotation(rotation_from_vector(v) @ base), small)


def test_second_derivatives_exist_at_zero() -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(rotation_from_vector, zero)


def test_empty_and_nested_batches_keep_their_shape() -> None:
    assert rotation_from_vector(torch.zeros(0, 3)).shape == (0, 3, 3)
    assert vector_from_rotation(torch.eye(3).expand(4, 2, 3, 3)).shape == (4, 2, 3)


def test_both_maps_agree_with_roma() -> None:
    roma = pytest.importorskip("roma", reason="the independent rotation library roma is not installed")
    vectors = torch.cat([angle * AXES for angle in ANGLES[5:]])
    matrices = roma.rotvec_to_rotmat(vectors)
    torch.testing.assert_close(rotation_from_vector(vectors), matrices, atol=1e-12, rtol=0)
    torch.testing.assert_close(vector_from_rotation(matrices), roma.rotmat_to_rotvec(matrices), atol=1e-9, rtol=0)


@pytest.mark.parametrize("angle", [*ANGLES, 0.0999, 0.1001, math.pi, 4.0, 2 * math.pi, 7.0])
def test_the_left_jacobian_is_the_turn_that_a_change_of_the_vector_makes(angle) -> None:
    vectors, step = angle * AXES, 1e-6
    for n, unit in enumerate(torch.eye(3, dtype=torch.float64)):
        after, before = (rotation_from_vector(vectors + sign * step * unit) for sign in (1, -1))
        expected = vector_from_rotation(after @ before.mT) / (2 * step)
        # Rotations round at 1e-16, which the step makes 1e-10; the differences' own error is of that order too.
        torch.testing.assert_close(left_jacobian(vectors)[..., n], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [*ANGLES, 0.0999, 0.1001, math.pi, 4.0, 6.0])
def test_the_two_left_jacobians_undo_each_other(angle) -> None:
    product = left_jacobian(angle * AXES) @ left_jacobian_inverse(angle * AXES)
    # Near a whole turn the inverse is as large as one over what is left to it.
    torch.testing.assert_close(product, identity_like(product), rtol=0, atol=1e-12)
