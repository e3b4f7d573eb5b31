"""Rigid poses as 4x4 matrices named by both frames, and their updates by twists.

A matrix `a_from_b` maps points of frame b to frame a, so adjacent frame names match in products:
`camera_from_volume = camera_from_world @ world_from_volume`. All lengths are millimetres, all angles radians.

A twist is six numbers (rotation vector [rad], translation [mm]) in camera axes about a pivot, usually the isocentre:
the patient is rotated about the pivot, then the pivot is translated. Rotation and translation are deliberately
decoupled, so that a rotation never moves the pivot and a rotation about the isocentre is one half of the twist.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .rotations import rotation_from_vector, skew, vector_from_rotation


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """Poses (..., 4, 4) from rotations (..., 3, 3) and translations (..., 3) [mm]."""
    # torch's own function imports sympy on its first call, which takes a third of a second.
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    top = torch.cat([rotation.expand(*shape, 3, 3), translation.expand(*shape, 3)[..., None]], dim=-1)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype, device=top.device).expand(*shape, 1, 4)
    return torch.cat([top, bottom], dim=-2)


def inverse(pose: Tensor) -> Tensor:
    """Inverse of rigid poses (..., 4, 4): `inverse(a_from_b)` is `b_from_a`."""
    transposed = pose[..., :3, :3].mT
    return rigid(transposed, -(transposed @ pose[..., :3, 3:]).squeeze(-1))


def transform_points(pose: Tensor, points: Tensor) -> Tensor:
    """Points (..., N, 3) of frame b mapped by `a_from_b` (..., 4, 4) to frame a [mm]."""
    return points @ pose[..., :3, :3].mT + pose[..., None, :3, 3]


def retract(camera_from_volume: Tensor, twist: Tensor, pivot: Tensor) -> Tensor:
    """Update poses (..., 4, 4) by twists (..., 6) in camera axes about `pivot` (3,), given in the volume frame [mm]."""
    rotation = rotation_from_vector(twist[..., :3])
    pivot_in_camera = transform_points(camera_from_volume, pivot[None]).squeeze(-2)
    new_rotation = rotation @ camera_from_volume[..., :3, :3]
    translation = pivot_in_camera + twist[..., 3:] - (new_rotation @ pivot[..., None]).squeeze(-1)
    return rigid(new_rotation, translation)


def pose_difference(to_pose: Tensor, from_pose: Tensor, pivot: Tensor) -> Tensor:
    """The twist (..., 6) with `retract(from_pose, twist, pivot) == to_pose`."""
    rotation = vector_from_rotation(to_pose[..., :3, :3] @ from_pose[..., :3, :3].mT)
    shift = transform_points(to_pose, pivot[None]) - transform_points(from_pose, pivot[None])
    return torch.cat([rotation, shift.squeeze(-2)], dim=-1)


def twist_tangents(camera_from_volume: Tensor, pivot: Tensor) -> Tensor:
    """Derivatives (..., 6, 4, 4) of `retract(pose, twist, pivot)` with respect to the six twist numbers at zero."""
    shape = camera_from_volume.shape[:-2]
    dtype, device = camera_from_volume.dtype, camera_from_volume.device
    generators = skew(torch.eye(3, dtype=dtype, device=device))
    tangents = torch.zeros(*shape, 6, 4, 4, dtype=dtype, device=device)
    turned = generators @ camera_from_volume[..., None, :3, :3]
    tangents[..., :3, :3, :3] = turned
    tangents[..., :3, :3, 3] = -(turned @ pivot[:, None]).squeeze(-1)
    tangents[..., 3:, :3, 3] = torch.eye(3, dtype=dtype, device=device)
    return tangents


def rotation_angle(pose: Tensor, other: Tensor) -> Tensor:
    """Angle [rad] between the rotations of two poses (..., 4, 4)."""
    return vector_from_rotation(pose[..., :3, :3] @ other[..., :3, :3].mT).norm(dim=-1)
