"""Prior knowledge of the pose as penalties: agreements that are zero at the expected pose.

`problem.Prior` is another one, quadratic in the twist. Like it, each is a weighted cost with its exact gradient and
Gauss-Newton normal matrix by twists about a pivot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..geometry import Camera, euler_axes, eulers_from_rotation, pose_difference, transform_points, twist_tangents
from ..similarity import Agreement


class Penalty(Protocol):
    """Minus a cost of poses, with derivatives by twists."""

    def agreement(self, poses: Tensor) -> Agreement:
        """Minus the costs (N,) of poses (N, 4, 4), the cost's gradient (N, 6) and normal matrix (N, 6, 6)."""


@dataclass(frozen=True, eq=False)
class EulerPenalty:
    """xReg's regulariser: the motion from the start as three angles and a translation, normally distributed about zero.

    The cost is the negative logarithm of their joint density relative to its peak. Angles are those of Rx Ry Rz in the
    camera's axes about the pivot. xReg uses the inverse motion, which has the same cost for small motions.
    Source: Grupp et al. 2020, released library xReg, penalty "SE3EulerDecomp".

    expected: (4, 4) pose. pivot: (3,) [mm]. deviation: (6,) standard deviations [rad, mm].
    weight: the share of the penalty in the score.
    """

    expected: Tensor
    pivot: Tensor
    deviation: Tensor
    weight: float

    def agreement(self, poses: Tensor) -> Agreement:
        moved = pose_difference(poses, self.expected, self.pivot)
        angles = eulers_from_rotation(poses[:, :3, :3] @ self.expected[:3, :3].mT, "xyz")
        residual = torch.cat([angles, moved[:, 3:]], dim=-1) / self.deviation
        jacobian = torch.eye(6, dtype=poses.dtype).repeat(len(poses), 1, 1)
        # The pseudo-inverse stays finite at gimbal lock, 90 degrees from the expected pose.
        jacobian[:, :3, :3] = torch.linalg.pinv(euler_axes(angles, "xyz"))
        return _squares(residual, jacobian / self.deviation[:, None], self.weight)


@dataclass(frozen=True, eq=False)
class LandmarkPenalty:
    """Squared reprojection errors of landmarks on the detector, taken as normally distributed.

    For a pose that puts a landmark behind the source the penalty is infinite and its gradient zero.
    Source: Grupp et al. 2020, released library xReg, penalty "LandReproj".

    points: (M, 3) [mm] in the volume frame. pixels: (M, 2) as (column, row). camera: of that view.
    view_from_first: (4, 4) from the first view's camera frame to that view's. pivot: (3,) [mm].
    deviation_px: standard deviation of a landmark's column and row. weight: the share of the penalty in the score.
    """

    points: Tensor
    pixels: Tensor
    camera: Camera
    view_from_first: Tensor
    pivot: Tensor
    deviation_px: float
    weight: float

    def agreement(self, poses: Tensor) -> Agreement:
        matrix = torch.as_tensor(self.camera.matrix, dtype=poses.dtype)
        projected = transform_points(self.view_from_first @ poses, self.points) @ matrix.mT
        depth = projected[..., 2:]
        seen = (depth[..., 0] > 0).all(-1)
        depth = torch.where(depth > 0, depth, torch.ones_like(depth))
        pixels = projected[..., :2] / depth
        tangents = self.view_from_first @ twist_tangents(poses, self.pivot)
        moved = (tangents[..., :3, :3] @ self.points.mT + tangents[..., :3, 3:]).mT @ matrix.mT
        by_twist = (moved[..., :2] - pixels[:, None] * moved[..., 2:]) / depth[:, None]
        count = len(poses)
        residual = ((pixels - self.pixels) / self.deviation_px).reshape(count, -1)
        jacobian = (by_twist / self.deviation_px).movedim(1, -1).reshape(count, -1, 6)
        found = _squares(residual, jacobian, self.weight)
        return Agreement(
            torch.where(seen, found.score, torch.full_like(found.score, -torch.inf)),
            torch.where(seen[:, None], found.gradient, torch.zeros_like(found.gradient)),
            torch.where(seen[:, None, None], found.normal, torch.zeros_like(found.normal)),
        )


@dataclass(frozen=True, eq=False)
class ObjectPenalty:
    """A penalty of one of several objects, for poses (N, K, 4, 4)."""

    penalty: Penalty
    number: int

    def agreement(self, poses: Tensor) -> Agreement:
        own = self.penalty.agreement(poses[:, self.number])
        place = slice(6 * self.number, 6 * self.number + 6)
        gradient = poses.new_zeros(len(poses), 6 * poses.shape[1])
        normal = poses.new_zeros(len(poses), 6 * poses.shape[1], 6 * poses.shape[1])
        gradient[:, place] = own.gradient
        normal[:, place, place] = own.normal
        return Agreement(own.score, gradient, normal)


def _squares(residual: Tensor, jacobian: Tensor, weight: float) -> Agreement:
    """Minus half the sum of squared residuals (N, M) of Jacobians (N, M, 6), weighted."""
    return Agreement(
        score=-0.5 * weight * (residual**2).sum(-1),
        gradient=weight * (residual[:, None] @ jacobian)[:, 0],
        normal=weight * (jacobian.mT @ jacobian),
    )
