"""Where to start: nominal views, landmarks and global search."""

from .landmarks import LandmarkPose, pose_from_landmarks
from .nominal import NOMINAL_VIEWS, NominalView, nominal_placement, nominal_pose, nominal_sod_mm
from .search import Candidates, deviations, distinct, distinct_places, draw_poses, search

__all__ = [
    "NOMINAL_VIEWS",
    "Candidates",
    "LandmarkPose",
    "NominalView",
    "deviations",
    "distinct",
    "distinct_places",
    "draw_poses",
    "nominal_placement",
    "nominal_pose",
    "nominal_sod_mm",
    "pose_from_landmarks",
    "search",
]
