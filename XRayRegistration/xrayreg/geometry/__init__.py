"""Rotations, poses, cameras and voxel grids: the frames of the house and the arithmetic on them."""

from .cameras import Camera
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
from .rotations import rotation_from_vector, skew, vector_from_rotation

__all__ = [
    "Camera",
    "VoxelGrid",
    "inverse",
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
