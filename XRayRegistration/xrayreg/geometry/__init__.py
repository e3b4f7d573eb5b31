"""Rotations, poses, cameras and voxel grids: the frames of the house and the arithmetic on them."""

from .cameras import NOMINAL_SID_MM, Camera
from .carm import beam_axes, camera_from_carm
from .grids import VoxelGrid
from .poses import (
    inverse,
    pose_difference,
    retract,
    rigid,
    rotation_angle,
    transform_points,
    twist_tangents,
)
from .rotations import left_jacobian_inverse, rotation_from_vector, skew, vector_from_rotation

__all__ = [
    "NOMINAL_SID_MM",
    "Camera",
    "VoxelGrid",
    "beam_axes",
    "camera_from_carm",
    "inverse",
    "left_jacobian_inverse",
    "pose_difference",
    "retract",
    "rigid",
    "rotation_angle",
    "rotation_from_vector",
    "skew",
    "transform_points",
    "twist_tangents",
    "vector_from_rotation",
]
