"""Rotations, poses, cameras and voxel grids: the frames of the house and the arithmetic on them."""

from .cameras import NOMINAL_SID_MM, Camera
from .carm import beam_axes, camera_from_carm
from .epipolar import epipolar_segment, triangulate, world_rays
from .eulers import euler_axes, eulers_from_rotation, rotation_from_eulers
from .grids import VoxelGrid
from .placement import Placement, camera_from_placement, placement_of
from .poses import (
    inverse,
    pose_difference,
    retract,
    rigid,
    rotation_angle,
    transform_points,
    twist_tangents,
)
from .projection import Projection
from .rotations import left_jacobian, left_jacobian_inverse, rotation_from_vector, skew, vector_from_rotation
from .xray_cameras import camera_doubts, require_xray_camera

__all__ = [
    "NOMINAL_SID_MM",
    "Camera",
    "Placement",
    "Projection",
    "VoxelGrid",
    "beam_axes",
    "camera_doubts",
    "camera_from_carm",
    "camera_from_placement",
    "epipolar_segment",
    "euler_axes",
    "eulers_from_rotation",
    "inverse",
    "left_jacobian",
    "left_jacobian_inverse",
    "placement_of",
    "pose_difference",
    "require_xray_camera",
    "retract",
    "rigid",
    "rotation_angle",
    "rotation_from_eulers",
    "rotation_from_vector",
    "skew",
    "transform_points",
    "triangulate",
    "twist_tangents",
    "vector_from_rotation",
    "world_rays",
]
