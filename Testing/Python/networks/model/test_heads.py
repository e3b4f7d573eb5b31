"""Numbers become poses smoothly, everywhere, and an untrained head says the nominal view."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from xrayreg.geometry import pose_difference, rotation_from_vector
from xrayreg.networks.model.canonical_frame import CanonicalFrame
from xrayreg.networks.model.heads import (
    ROTATION_NUMBERS,
    Hypotheses,
    PoseHead,
    best,
    quaternion_adjugate,
    rotation_from_quaternion_adjugate,
    rotation_from_sixd,
    sixd_from_rotation,
)
from xrayreg.settings import NetworkCamera, NetworkSettings

DECODERS = {"sixd": rotation_from_sixd, "quaternion": rotation_from_quaternion_adjugate}
ORIGIN = torch.zeros(3, dtype=torch.float64)
FRAME = CanonicalFrame(torch.as_tensor(Rotation.from_euler("xyz", [90, 20, 180], degrees=True).as_matrix()), 700.0)
CAMERA = NetworkCamera(64, 400.0, 1000.0)


def encoded(name: str, vectors: Tensor) -> Tensor:
    return quaternion_adjugate(vectors) if name == "quaternion" else sixd_from_rotation(rotation_from_vector(vectors))


def half_turns_and_others() -> Tensor:
    """Rotation vectors: none, tiny, half turns about every kind of axis and just beside them, and many others."""
    axes = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 1], [-0.3, 0.5, 0.8]], dtype=torch.float64)
    axes = axes / axes.norm(dim=-1, keepdim=True)
    angles = torch.tensor([0.0, 1e-9, 1e-3, 1.0, math.pi - 1e-7, math.pi, math.pi + 1e-7], dtype=torch.float64)
    others = torch.as_tensor(Rotation.random(50, random_state=1).as_rotvec())
    return torch.cat([(axes[:, None] * angles[:, None]).reshape(-1, 3), others])


def assert_rotations(rotations: Tensor, atol: float = 1e-12) -> None:
    unit = torch.eye(3, dtype=rotations.dtype).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, unit, atol=atol, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones_like(rotations[..., 0, 0]), atol=atol, rtol=0)


@pytest.mark.parametrize("name", DECODERS)
def test_every_rotation_can_be_written_and_read(name) -> None:
    vectors = half_turns_and_others()
    torch.testing.assert_close(
        DECODERS[name](encoded(name, vectors)), rotation_from_vector(vectors), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("name", DECODERS)
def test_any_numbers_make_a_rotation_and_their_length_means_nothing(name) -> None:
    numbers = torch.randn(200, ROTATION_NUMBERS[name], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotations = DECODERS[name](numbers)
    assert_rotations(rotations)
    torch.testing.assert_close(DECODERS[name](7.5 * numbers), rotations, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", DECODERS)
def test_gradient_is_the_finite_difference_at_half_turns_too(name) -> None:
    numbers = encoded(name, half_turns_and_others()).requires_grad_()
    # Columns of one norm make the reading of a quaternion change over; a thousandth tells them apart.
    numbers = numbers + 1e-3 * torch.randn(
        numbers.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    assert torch.autograd.gradcheck(DECODERS[name], numbers, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_near_a_half_turn_small_changes_of_the_numbers_are_small_turns(name) -> None:
    vectors = half_turns_and_others()
    generator = torch.Generator().manual_seed(2)
    numbers = encoded(name, vectors)
    change = 1e-4 * torch.randn(numbers.shape, dtype=torch.float64, generator=generator)
    moved = DECODERS[name](numbers + change) - DECODERS[name](numbers)
    # The gain is about 2 for unit columns and at most 8 where the quaternion's largest number is a half.
    assert float(moved.norm(dim=(-2, -1)).max()) < 20 * float(change.norm(dim=-1).max())


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-9])
def test_numbers_without_a_direction_make_a_rotation_with_a_finite_gradient(name, scale) -> None:
    numbers = (scale * torch.ones(3, ROTATION_NUMBERS[name])).requires_grad_()
    rotations = DECODERS[name](numbers)
    assert_rotations(rotations, atol=1e-6)
    rotations.square().sum().backward()
    assert bool(torch.isfinite(numbers.grad).all())


@pytest.mark.parametrize(
    "numbers", [[1, 2, 3, 2, 4, 6], [0, 0, 0, 1, 0, 0], [0, 2, 0, 0, 0, 0], [1, 1, 1, -1, -1, -1], [0, 0, 5, 0, 0, 3]]
)
def test_columns_along_one_line_still_make_a_rotation(numbers) -> None:
    given = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    rotation = rotation_from_sixd(given)
    assert_rotations(rotation)
    rotation[0].sum().backward()
    assert bool(torch.isfinite(given.grad).all())


def test_quaternion_and_its_opposite_write_the_same_numbers() -> None:
    vectors = half_turns_and_others()
    axes = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    full_turn_back = vectors - 2 * math.pi * axes
    turned = vectors.norm(dim=-1) > 1e-6
    torch.testing.assert_close(
        quaternion_adjugate(full_turn_back)[turned], quaternion_adjugate(vectors)[turned], atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("hypotheses", [1, 4, 9])
def test_untrained_head_says_the_nominal_view_and_little_else(name, hypotheses) -> None:
    head = PoseHead(5, NetworkSettings(rotation=name, hypotheses=hypotheses), CAMERA, FRAME)
    said = head(torch.randn(3, 5))
    assert said.poses.shape == (3, hypotheses, 4, 4)
    assert said.logits.shape == (3, hypotheses)
    twists = pose_difference(said.poses.double(), FRAME.nominal_pose, ORIGIN)
    twists = twists.detach()
    assert float(twists[:, 0].abs().max()) < 1e-3
    assert float(twists[..., 3:].abs().max()) < 1e-3
    assert float(twists[..., :3].norm(dim=-1).max()) < 0.11
    # Hypotheses that start alike would stay alike.
    apart = torch.cdist(twists[0, :, :3], twists[0, :, :3]) + torch.eye(hypotheses)
    assert float(apart.min()) > 0.03
    torch.testing.assert_close(said.beliefs, torch.full((3, hypotheses), 1 / hypotheses))


def head_of(numbers: list[float]) -> Hypotheses:
    """What the head says when its last layer gives these numbers of one hypothesis."""
    head = PoseHead(1, NetworkSettings(hypotheses=1), CAMERA, FRAME).double()
    with torch.no_grad():
        head.last.bias.copy_(torch.tensor(numbers, dtype=torch.float64))
    return head(torch.zeros(1, 1, dtype=torch.float64))


UPRIGHT = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_one_unit_of_shift_is_half_the_image_at_any_depth() -> None:
    for depth in (-2.0, 0.0, 3.0):
        at = head_of([*UPRIGHT, 1.0, -0.5, depth, 0.0]).poses[0, 0, :3, 3]
        # Half the field of 400 mm at 1000 mm.
        torch.testing.assert_close(at[:2] / at[2], torch.tensor([0.2, -0.1], dtype=torch.float64), rtol=1e-6, atol=0)


def test_depth_is_positive_and_bounded_for_any_number() -> None:
    depths = [head_of([*UPRIGHT, 0.0, 0.0, depth, 0.0]).poses[0, 0, 2, 3].item() for depth in (-1e6, -1, 0, 1, 1e6)]
    assert depths == sorted(depths)
    assert depths[0] == pytest.approx(700 / math.e)
    assert depths[2] == pytest.approx(700)
    assert depths[4] == pytest.approx(700 * math.e)


def test_rotation_is_in_camera_axes_and_a_shift_leaves_it_alone() -> None:
    turn = rotation_from_vector(torch.tensor([0.0, 0.0, 0.3], dtype=torch.float64))
    pose = head_of([*sixd_from_rotation(turn).tolist(), 0.8, 0.4, 1.0, 0.0]).poses[0, 0]
    # A turn about the central ray turns the picture and nothing else.
    torch.testing.assert_close(pose[:3, :3], turn @ FRAME.nominal_rotation, atol=1e-6, rtol=0)


def test_best_is_the_most_believed_and_ordered_begins_with_it() -> None:
    poses = torch.arange(2 * 3 * 16, dtype=torch.float32).reshape(2, 3, 4, 4)
    said = Hypotheses(poses, torch.tensor([[0.1, 2.0, 0.3], [5.0, 1.0, 6.0]]))
    torch.testing.assert_close(best(said), torch.stack([poses[0, 1], poses[1, 2]]))
    ordered = said.ordered()
    torch.testing.assert_close(ordered.logits, torch.tensor([[2.0, 0.3, 0.1], [6.0, 5.0, 1.0]]))
    torch.testing.assert_close(ordered.poses[1], poses[1, [2, 0, 1]])


def test_short_number_types_reach_the_poses_as_float32() -> None:
    head = PoseHead(5, NetworkSettings(), CAMERA, FRAME)
    with torch.autocast("cpu", torch.bfloat16):
        said = head(torch.randn(2, 5).bfloat16())
    assert said.poses.dtype == said.logits.dtype == torch.float32
    assert_rotations(said.poses[..., :3, :3], atol=1e-5)
