"""How far an estimated pose is from a reference, in the measures of the field, and many errors in a few numbers."""

from .metrics import PoseError, pose_error
from .published import FAR_LEVER, LEGACY, diffpose_mtre, far_lever_mtre, xvr_mtre
from .rows import StudyRow
from .statistics import Comparison, Summary, compare, summary
from .targets import cube_corners, surface_points

__all__ = [
    "FAR_LEVER",
    "LEGACY",
    "Comparison",
    "PoseError",
    "StudyRow",
    "Summary",
    "compare",
    "cube_corners",
    "diffpose_mtre",
    "far_lever_mtre",
    "pose_error",
    "summary",
    "surface_points",
    "xvr_mtre",
]
