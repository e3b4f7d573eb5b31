"""How far an estimated pose is from a reference, in the measures of the field, and many errors in a few numbers."""

from .metrics import PoseError, pose_error
from .published import FAR_LEVER, LEGACY, diffpose_mtre, far_lever_mtre, xvr_mtre
from .rates import GROSS_MM, Rate, success_rate, wilson
from .rows import StudyRow, errors_of
from .statistics import Comparison, Summary, compare, summary
from .targets import cube_corners, surface_points
from .trust import Trust

__all__ = [
    "FAR_LEVER",
    "GROSS_MM",
    "LEGACY",
    "Comparison",
    "PoseError",
    "Rate",
    "StudyRow",
    "Summary",
    "Trust",
    "compare",
    "cube_corners",
    "diffpose_mtre",
    "errors_of",
    "far_lever_mtre",
    "pose_error",
    "success_rate",
    "summary",
    "surface_points",
    "wilson",
    "xvr_mtre",
]
