"""Statistics over many cases: rows, success rates with intervals, comparisons, verdict reliability, published metrics.

Imported by the other rooms of `benchmark`; the errors of a single pose are in `xrayreg.metrics`.
"""

from .comparison import MethodComparison, Summary, compare, summary
from .published import FAR_LEVER, LEGACY, diffpose_mtre, far_lever_mtre, xvr_mtre
from .rates import GROSS_MM, Rate, success_rate, wilson
from .rows import StudyRow, errors_of
from .targets import cube_corners, surface_points
from .trust import Trust

__all__ = [
    "FAR_LEVER",
    "GROSS_MM",
    "LEGACY",
    "MethodComparison",
    "Rate",
    "StudyRow",
    "Summary",
    "Trust",
    "compare",
    "cube_corners",
    "diffpose_mtre",
    "errors_of",
    "far_lever_mtre",
    "success_rate",
    "summary",
    "surface_points",
    "wilson",
    "xvr_mtre",
]
