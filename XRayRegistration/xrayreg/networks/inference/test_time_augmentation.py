"""Test-time augmentation: predictions from an X-ray under small rotations of its camera, clustered.

A camera rotated about its source sees the same rays, so its X-ray is a homography of the original one, and a pose
predicted from it is rotated back exactly. Errors that depend on how edges align with pixels differ between the
rotations and average out.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...geometry import rigid, rotation_from_vector
from ...scene import Radiograph
from ...settings import NetworkCamera
from ..model.heads import Hypotheses
from ..model.input_image import network_input, to_network_camera
from ..model.network_camera import pinhole

# Largest rotations of the camera: the image moves sideways by up to this share of its edge and rolls up to this angle.
_MOST_SHIFT_SHARE, _MOST_ROLL_DEG = 0.1, 12.0
# Oversampling along each edge of the X-ray's image from which rotated inputs are resampled.
_FINER = 2
# Scales of the distance between poses in clustering: an angle, a distance sideways and along the beam.
_APART_DEG, _APART_MM, _APART_DEPTH_MM = 8.0, 15.0, 50.0
# Poses beyond this multiple of these distances belong to another cluster.
_CLUSTER_RADIUS = 2.5


@lru_cache(maxsize=8)
def augmentation_rotations(count: int, camera: NetworkCamera) -> Tensor:
    """Rotations turned_from_camera (count, 3, 3) of the augmentations, float64: the identity, then others around it."""
    # Takes half a second to import, so only where it is used.
    from scipy.stats import qmc

    spread = torch.as_tensor(qmc.Halton(3, scramble=False).random(count), dtype=torch.float64)
    # The sequence begins in a corner of the cube, which its centre replaces.
    spread[0] = 0.5
    aside = math.atan(_MOST_SHIFT_SHARE * camera.field_mm / camera.sid_mm)
    most = torch.tensor([aside, aside, math.radians(_MOST_ROLL_DEG)], dtype=torch.float64)
    return rotation_from_vector((2 * spread - 1) * most)


def augmented_inputs(radiograph: Radiograph, camera: NetworkCamera, count: int) -> tuple[Tensor, Tensor]:
    """Inputs (count, 3, H, W) of a network for an X-ray, and valid (1, H, W); see `augmentation_rotations`.

    valid: pixels of the first input, with the camera not rotated, that the X-ray covers.
    """
    attenuation, valid = to_network_camera(radiograph, camera)
    first = network_input(attenuation, valid)
    if count < 2:
        return first, valid
    fine = NetworkCamera(camera.image_px * _FINER, camera.field_mm, camera.sid_mm)
    dense, covered = to_network_camera(radiograph, fine)
    seen = [_rotated(dense, covered, fine, turn) for turn in augmentation_rotations(count, camera)[1:]]
    others = network_input(torch.cat([image for image, _ in seen]), torch.cat([mask for _, mask in seen]))
    return torch.cat([first, others]), valid


def _rotated(attenuation: Tensor, valid: Tensor, fine: NetworkCamera, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Attenuation and valid (1, H, W) of a camera rotated by `turn` (3, 3), from images (1, rH, rW) of a finer one."""
    matrix = pinhole(fine).matrix
    old_from_new = torch.as_tensor(matrix) @ turn.mT @ torch.as_tensor(np.linalg.inv(matrix))
    rows, columns = torch.meshgrid(
        *(torch.arange(size, dtype=torch.float64) for size in valid.shape[1:]), indexing="ij"
    )
    places = torch.stack([columns, rows, torch.ones_like(rows)], -1) @ old_from_new.mT
    pixels = places[..., :2] / places[..., 2:]
    sampling = ((2 * pixels + 1) / fine.image_px - 1).float()[None]
    both = torch.stack([attenuation * valid, valid], 1)
    sampled = torch.nn.functional.grid_sample(both, sampling, align_corners=False)
    total, share = torch.nn.functional.avg_pool2d(sampled, _FINER).unbind(1)
    enough = share >= 0.5
    return torch.where(enough, total / share.clamp(min=0.5), 0), enough.to(share)


def undo_rotation(hypotheses: Hypotheses, turn: Tensor) -> Hypotheses:
    """Hypotheses for rotated inputs (B), as poses of the camera itself; turn: turned_from_camera (B, 3, 3)."""
    back = rigid(turn.mT, torch.zeros(3, dtype=turn.dtype)).to(hypotheses.poses)
    return Hypotheses(back[:, None] @ hypotheses.poses, hypotheses.logits)


def consensus(hypotheses: Hypotheses) -> Hypotheses:
    """Clusters (1, K) of the hypotheses (B, K) for B rotated inputs of one X-ray, the most probable first.

    A cluster is a mean of neighbouring poses, weighted by probability and proximity to their densest point; its
    probability is that of all its poses. Non-finite poses belong to none.
    """
    count = hypotheses.logits.shape[1]
    poses, beliefs = hypotheses.poses.flatten(0, 1).double(), hypotheses.beliefs.flatten().double()
    usable = poses.isfinite().all(-1).all(-1) & beliefs.isfinite()
    left = torch.where(usable, beliefs, 0) / len(hypotheses.logits)
    poses = torch.where(usable[:, None, None], poses, torch.eye(4, dtype=poses.dtype))
    near = torch.exp(-0.5 * _apart(poses[:, None], poses[None]).square())
    found, shares = [], []
    for _ in range(count):
        middle = poses[(near * left).sum(-1).argmax()]
        for _ in range(3):
            apart = _apart(poses, middle)
            middle = _mean(poses, left * torch.exp(-0.5 * apart.square()))
        members = _apart(poses, middle) < _CLUSTER_RADIUS
        found.append(middle)
        shares.append(torch.where(members, left, 0).sum())
        left = torch.where(members, 0, left)
    return Hypotheses(torch.stack(found)[None], torch.stack(shares).log()[None]).ordered()


def _apart(poses: Tensor, others: Tensor) -> Tensor:
    """Normalised distances (...) of poses camera_from_canonical (..., 4, 4): 1 at the clustering scales."""
    half_chord = (poses - others)[..., :3, :3].square().sum((-2, -1)).div(8).clamp(max=1).sqrt()
    angle = torch.rad2deg(2 * torch.asin(half_chord)) / _APART_DEG
    scale = poses.new_tensor([_APART_MM, _APART_MM, _APART_DEPTH_MM])
    shift = (poses - others)[..., :3, 3] / scale
    return (angle.square() + shift.square().sum(-1)).sqrt()


def _mean(poses: Tensor, weights: Tensor) -> Tensor:
    """The weighted rigid mean (4, 4) of poses (N, 4, 4); NaN where all weights are zero."""
    mean = (weights[:, None, None] * poses).sum(0) / weights.sum()
    if not bool(mean.isfinite().all()):
        return torch.full_like(mean, torch.nan)
    left, _, right = torch.linalg.svd(mean[:3, :3])
    return rigid(left @ right, mean[:3, 3])
