"""Starts for learned similarities: poses at random distances from the truth, from near to far.

A similarity trained only on poses near the truth has no capture range, one trained only on far ones no accuracy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...geometry import retract, transform_points
from ...settings import PoseDistribution, SimilaritySettings
from .pose_sampling import sample_poses

# Iterations towards the drawn distance, to within a thousandth; each reduces the error some tenfold.
_TURNS = 6
# Largest rotation of a start: beyond it, distances decrease again.
_MOST_ANGLE = math.radians(150.0)
# The pivot is never nearer to the source than this share of its true depth.
_LEAST_DEPTH = 0.3
# Ratio of errors along the beam to those across it, as in the distributions of the papers.
_DEPTH_FACTOR = 2.0


def sample_starts(
    true_camera_from_volume: Tensor,
    points: Tensor,
    pivot: Tensor,
    settings: SimilaritySettings,
    poses: PoseDistribution,
    generator: torch.Generator,
) -> Tensor:
    """Starts (B starts, 4, 4) for true poses (B, 4, 4), those of each pose together; float64 on the CPU.

    points: (P, 3) whose mean distance in the camera frame is the start's error; pivot: (3,) both [volume frame, mm].
    """
    truth = true_camera_from_volume.to("cpu", torch.float64).repeat_interleave(settings.starts, 0)
    count = len(truth)
    low, high = (math.log(error) for error in settings.start_error_mm)
    errors = (low + (high - low) * torch.rand(count, dtype=torch.float64, generator=generator)).exp()
    starts = displaced(truth, points, pivot, errors, generator)
    others = sample_poses(poses, pivot, count, generator)
    independent = torch.rand(count, generator=generator) < settings.independent
    return torch.where(independent[:, None, None], others, starts)


def displaced(
    camera_from_volume: Tensor, points: Tensor, pivot: Tensor, errors_mm: Tensor, generator: torch.Generator
) -> Tensor:
    """Poses (N, 4, 4) at distances (N,) [mm] from poses (N, 4, 4), in random directions of rotation and translation.

    Where a rotation of 150 degrees with the drawn direction does not reach a distance, the pose is nearer.
    """
    count, centre = len(camera_from_volume), pivot.to("cpu", torch.float64)
    corners = points.to("cpu", torch.float64)
    lever_mm = (corners - centre).square().sum(-1).mean().sqrt()
    direction = torch.randn(count, 6, dtype=torch.float64, generator=generator)
    share = torch.rand(count, 1, dtype=torch.float64, generator=generator)
    turn = share * direction[:, :3] / lever_mm
    shift = (1 - share) * direction[:, 3:] * torch.tensor([1.0, 1.0, _DEPTH_FACTOR], dtype=torch.float64)
    twists = torch.cat([turn, shift], -1)
    most = _MOST_ANGLE / turn.norm(dim=-1).clamp_min(1e-12)
    scale = torch.ones(count, dtype=torch.float64)
    places = transform_points(camera_from_volume, corners)
    for _ in range(_TURNS):
        moved = retract(camera_from_volume, scale[:, None] * twists, centre)
        reached = (transform_points(moved, corners) - places).norm(dim=-1).mean(-1)
        scale = torch.minimum(scale * errors_mm / reached.clamp_min(1e-9), most)
    moved = retract(camera_from_volume, scale[:, None] * twists, centre)
    return _kept_in_front(moved, camera_from_volume, centre)


def _kept_in_front(moved: Tensor, before: Tensor, pivot: Tensor) -> Tensor:
    depth, least = (transform_points(pose, pivot[None])[:, 0, 2] for pose in (moved, before))
    kept = moved.clone()
    kept[:, 2, 3] += (_LEAST_DEPTH * least - depth).clamp_min(0)
    return kept
