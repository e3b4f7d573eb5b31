"""Rotations, poses, cameras and voxel grids: this project's coordinate frames and the arithmetic on them.

Tensor functions load torch on first use, since Slicer's GUI needs the rest immediately.
"""

from typing import TYPE_CHECKING, Any

from .cameras import NOMINAL_SID_MM, Camera
from .carm import beam_axes, camera_from_carm, nominal_sod_mm
from .epipolar import epipolar_segment, triangulate, world_rays
from .grids import VoxelGrid
from .nominal import NOMINAL_VIEWS, NominalView, nominal_placement, nominal_pose
from .placement import Placement, camera_from_placement, placement_of
from .projection import Projection
from .xray_cameras import camera_doubts, require_xray_camera

if TYPE_CHECKING:
    from .eulers import euler_axes, eulers_from_rotation, rotation_from_eulers
    from .poses import inverse, pose_difference, retract, rigid, rotation_angle, transform_points, twist_tangents
    from .rotations import left_jacobian, left_jacobian_inverse, rotation_from_vector, skew, vector_from_rotation

__all__ = [
    "NOMINAL_SID_MM",
    "NOMINAL_VIEWS",
    "Camera",
    "NominalView",
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
    "nominal_placement",
    "nominal_pose",
    "nominal_sod_mm",
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


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import eulers, poses, rotations

        for module in (poses, rotations, eulers):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
