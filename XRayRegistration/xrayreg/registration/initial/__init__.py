"""Initialisation: landmarks and global search."""

from .landmarks import LandmarkPose, pose_from_landmarks
from .search import Candidates, deviations, distinct, distinct_places, draw_poses, search

__all__ = [
    "Candidates",
    "LandmarkPose",
    "deviations",
    "distinct",
    "distinct_places",
    "draw_poses",
    "pose_from_landmarks",
    "search",
]
