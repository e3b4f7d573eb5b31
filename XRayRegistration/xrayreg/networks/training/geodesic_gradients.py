"""The geodesic distance between poses, its gradient, and losses that fit a network's gradient to it.

ProST trains a similarity to be convex: its gradient with respect to the pose should be that of the squared geodesic
distance to the true pose (Gao et al., MICCAI 2020 and TMI 43(1), 2024; methods.md A1). The distance is that of the
left-canonical metric of SE(3), in closed form (methods.md A0b): angle^2 + |shift / scale|^2, the shift being that of a
pivot, usually the isocentre, and `scale_mm` the millimetres equivalent to a radian.

Six parameters describe a pose: a rotation vector [rad] and a translation [units of scale_mm] in camera axes,
relative to a base pose about the pivot (`geometry.retract`). ProST's base is the nominal view. Where no base is given,
every pose is its own base: the parameters are then those of a twist, at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...geometry import pose_difference, transform_points, twist_tangents
from ...geometry.rotations import left_jacobian, rotation_from_vector, vector_from_rotation
from ...settings import GradientLossName

# A part of a gradient shorter than this has no direction.
_SHORTEST = 1e-9


def squared_geodesic(
    camera_from_volume: Tensor, true_camera_from_volume: Tensor, pivot: Tensor, scale_mm: float
) -> Tensor:
    """Squared distance (B,) between poses (B, 4, 4): rad^2, with `scale_mm` equivalent to a radian."""
    turn, shift = _turn_and_shift(camera_from_volume, true_camera_from_volume, pivot)
    return turn.square().sum(-1) + (shift / scale_mm).square().sum(-1)


def geodesic_gradient(
    camera_from_volume: Tensor,
    true_camera_from_volume: Tensor,
    pivot: Tensor,
    scale_mm: float,
    base_camera_from_volume: Tensor | None = None,
) -> Tensor:
    """Gradient (B, 6) of `squared_geodesic` with respect to the parameters of the first poses (B, 4, 4).

    At the truth it is 0. At half a turn, where two rotations are equally short, it is that of one of them, and finite.
    """
    turn, shift = _turn_and_shift(camera_from_volume, true_camera_from_volume, pivot)
    # The logarithm's derivative keeps the rotation vector itself: J_l^-T r = r.
    by_twist = torch.cat([2 * turn, 2 * shift / scale_mm**2], dim=-1)
    twists = parameter_twists(camera_from_volume, pivot, scale_mm, base_camera_from_volume)
    return torch.einsum("bq,bqp->bp", by_twist, twists)


def parameter_twists(
    camera_from_volume: Tensor, pivot: Tensor, scale_mm: float, base_camera_from_volume: Tensor | None = None
) -> Tensor:
    """Derivatives (B, 6, 6) of the pose's twist [rad, mm], in rows, by its six parameters, in columns."""
    poses = camera_from_volume.shape[0]
    base = camera_from_volume if base_camera_from_volume is None else base_camera_from_volume
    turn = pose_difference(camera_from_volume, base, pivot)[..., :3]
    twists = camera_from_volume.new_zeros(poses, 6, 6)
    # exp(r + d) = exp(J_l(r) d) exp(r) to first order.
    twists[:, :3, :3] = left_jacobian(turn)
    twists[:, 3:, 3:] = scale_mm * torch.eye(3, dtype=twists.dtype, device=twists.device)
    return twists


def parameter_tangents(
    camera_from_volume: Tensor, pivot: Tensor, scale_mm: float, base_camera_from_volume: Tensor | None = None
) -> Tensor:
    """Derivatives (B, 6, 4, 4) of poses (B, 4, 4) by their six parameters."""
    twists = parameter_twists(camera_from_volume, pivot, scale_mm, base_camera_from_volume)
    return torch.einsum("bqij,bqp->bpij", twist_tangents(camera_from_volume, pivot), twists)


def direction_loss(network_gradient: Tensor, true_gradient: Tensor) -> Tensor:
    """Squared differences (B,) of the directions of rotation and of translation, from 0 to 8 (MICCAI 2020).

    For gradients (B, 6). A part of the true one of zero length contributes nothing. A part of the network's of zero
    length costs 1, half as much as a right angle, and its derivative is finite.
    """
    parts = [
        _squared_difference_of_directions(network_gradient[:, part], true_gradient[:, part])
        for part in (slice(0, 3), slice(3, 6))
    ]
    return parts[0] + parts[1]


def angle_loss(network_gradient: Tensor, true_gradient: Tensor) -> Tensor:
    """Squared differences (B,) of the directions of whole gradients (B, 6), from 0 to 4: 2 - 2 cos(angle). Ours.

    It fits the direction that a descent follows. For starts that are hardly rotated `direction_loss` weights the
    direction of the rotation, which no image shows, as much as that of a long shift. Zero-length gradients: see there.
    """
    return _squared_difference_of_directions(network_gradient, true_gradient)


def geodesic_loss(network_gradient: Tensor, true_gradient: Tensor) -> Tensor:
    """Squared geodesic distance (B,) between gradients (B, 6) taken as poses: rotation vector, translation (TMI 2024).

    Its gradient by the network's is analytic and finite everywhere, half turns and whole turns included.
    """
    true = true_gradient.detach().to(network_gradient)
    turned: Tensor = _SquaredAngle.apply(network_gradient[:, :3], true[:, :3])
    return turned + (network_gradient[:, 3:] - true[:, 3:]).square().sum(-1)


GRADIENT_LOSSES: Mapping[GradientLossName, Callable[[Tensor, Tensor], Tensor]] = {
    "angle": angle_loss,
    "direction": direction_loss,
    "geodesic": geodesic_loss,
}


def angle_between_deg(gradient: Tensor, other: Tensor) -> Tensor:
    """Angles [deg] (...,) between gradients (..., N); 90 where one has no length."""
    # This form stays accurate for small angles, where the cosine loses its digits.
    one, two = _direction(gradient), _direction(other)
    return torch.rad2deg(2 * torch.atan2((one - two).norm(dim=-1), (one + two).norm(dim=-1)))


def _squared_difference_of_directions(found: Tensor, true: Tensor) -> Tensor:
    """(B,) of vectors (B, N); 0 where the true one has no length."""
    true = true.detach()
    length = true.norm(dim=-1, keepdim=True)
    has_direction = length > _SHORTEST
    aim = true / torch.where(has_direction, length, torch.ones_like(length))
    squares = (_direction(found) - aim.to(found)).square().sum(-1)
    return torch.where(has_direction[:, 0], squares, torch.zeros_like(squares))


def _direction(vector: Tensor) -> Tensor:
    length = (vector.square().sum(-1, keepdim=True) + torch.finfo(vector.dtype).tiny).sqrt()
    return vector / length.clamp(min=_SHORTEST)


def _turn_and_shift(
    camera_from_volume: Tensor, true_camera_from_volume: Tensor, pivot: Tensor
) -> tuple[Tensor, Tensor]:
    """Rotation vector [rad] and shift of the pivot [mm] in camera axes, (B, 3) each, relative to the true pose."""
    turn = vector_from_rotation(camera_from_volume[:, :3, :3] @ true_camera_from_volume[:, :3, :3].mT)
    places = [transform_points(pose, pivot[None])[:, 0] for pose in (camera_from_volume, true_camera_from_volume)]
    return turn, places[0] - places[1]


class _SquaredAngle(torch.autograd.Function):
    """Squared angles (B,) between the rotations of vectors (B, 3), differentiable once by the first of them."""

    @staticmethod
    def forward(ctx: Any, vector: Tensor, other: Tensor) -> Tensor:
        exact, exact_other = vector.double(), other.double()
        turn = vector_from_rotation(rotation_from_vector(exact) @ rotation_from_vector(exact_other).mT)
        # d |r|^2 = 2 r . J_l(vector) d vector.
        gradient = 2 * torch.einsum("bi,bij->bj", turn, left_jacobian(exact))
        ctx.save_for_backward(gradient.to(vector))
        return turn.square().sum(-1).to(vector)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[:, None] * gradient, None
