"""Where to start: nominal views and global search."""

from .nominal import NOMINAL_VIEWS, NominalView, nominal_pose, nominal_sod_mm
from .search import Candidates, deviations, distinct, draw_poses, search

__all__ = [
    "NOMINAL_VIEWS",
    "Candidates",
    "NominalView",
    "deviations",
    "distinct",
    "draw_poses",
    "nominal_pose",
    "nominal_sod_mm",
    "search",
]
