"""Calibration: the pose of a patient in a network's frame, from its predictions for DRRs at known poses.

The network's prediction for a DRR whose pose camera_from_patient is known is camera_from_canonical, so each DRR gives

    canonical_from_patient = inverse(camera_from_canonical) @ camera_from_patient

and the robust mean over many is less wrong than any single prediction (GeoPose, 2026; methods.md A8). It replaces the
alignment of two CTs where that fails, or where a network has no template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import inverse, pose_difference, retract, rigid
from ...settings import NetworkCamera, PoseDistribution
from ..data.appearance import apply_appearance, no_appearance
from ..data.batches import seeded_generator
from ..data.pose_sampling import sample_poses
from ..data.subjects import DrrSubject, render_soft_and_bone
from ..model.heads import Hypotheses, best
from ..model.input_image import network_input
from ..model.network_camera import pinhole

# DRRs per round, and rounds. Later rounds draw poses about the estimate of the previous one.
_DRRS, _ROUNDS = 48, 3
_STEPS = 50
# Distance [mm] equivalent to one radian when poses are averaged: the radius of a body part.
_RADIUS_MM = 100.0
# Above these spreads of single predictions the network does not know this anatomy, and their mean is meaningless.
MOST_DEG, MOST_MM = 25.0, 80.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Estimated pose of a patient in the network's frame.

    canonical_from_patient: rigid (4, 4) [RAS mm], float64. rotation_deg, distance_mm: medians over the DRRs of the
    deviation of a single prediction from the mean; the error of the mean is smaller by about the root of their number,
    except for systematic errors of the network.
    """

    canonical_from_patient: Tensor
    rotation_deg: float
    distance_mm: float
    images: int


def calibrate(
    predict: Callable[[Tensor], Hypotheses], subject: DrrSubject, camera: NetworkCamera, poses: PoseDistribution
) -> Calibration:
    """Estimate the patient's pose in the network's frame from the network's predictions.

    predict: the network, from inputs (B, 2, H, W) to hypotheses camera_from_canonical. subject: the patient in its own
    frame. camera, poses: the network's camera and the poses it was trained on.
    Raises InputError where its predictions scatter too widely to be of use.
    """
    pivot = subject.isocentre.double().cpu()
    eye = torch.eye(3, dtype=torch.float64)
    # Initially the patient is assumed to lie as the training patients do, with the body's centre as isocentre.
    found = rigid(eye, -pivot)
    for turn in range(_ROUNDS):
        drawn = sample_poses(poses, torch.zeros(3, dtype=torch.float64), _DRRS, seeded_generator(0, 3, turn))
        camera_from_patient = drawn @ found
        with torch.no_grad():
            integrals = render_soft_and_bone(subject, pinhole(camera), camera_from_patient)
            inputs = network_input(*apply_appearance(no_appearance(_DRRS), integrals))
            answers = best(predict(inputs)).double().cpu()
        found, rotation_deg, distance_mm = geodesic_median(inverse(answers) @ camera_from_patient, pivot)
    if rotation_deg > MOST_DEG or distance_mm > MOST_MM:
        raise InputError(
            "network",
            expected="answers that agree on where the patient lies",
            found=f"answers {rotation_deg:.0f} degrees and {distance_mm:.0f} mm apart",
            remedy="use a network made for this anatomy, or train one on this CT",
        )
    return Calibration(found, rotation_deg, distance_mm, _DRRS)


def geodesic_median(poses: Tensor, pivot: Tensor) -> tuple[Tensor, float, float]:
    """The rigid pose nearest to poses (N, 4, 4) in the sum of distances, and the medians of those [degrees, mm].

    The distance of two poses is sqrt((100 mm angle)^2 + |shift of the pivot|^2). Up to half of the poses may be
    outliers (Weiszfeld's algorithm on rotation vectors and shifts about the pivot (3,); Hartley et al., CVPR 2011).
    """
    # Start with the pose of least median distance to the others, as a mean is sensitive to outliers.
    apart = torch.stack([_distances(poses, pose, pivot) for pose in poses])
    median = poses[apart.median(dim=1).values.argmin()]
    for _ in range(_STEPS):
        twists = pose_difference(poses, median.expand_as(poses), pivot)
        weights = 1 / _lengths(twists).clamp(min=1e-6)
        step = (weights[:, None] * twists).sum(0) / weights.sum()
        median = retract(median, step, pivot)
        if float(_lengths(step[None])) < 1e-6:
            break
    twists = pose_difference(poses, median.expand_as(poses), pivot)
    angle, distance = twists[:, :3].norm(dim=1).median(), twists[:, 3:].norm(dim=1).median()
    return median, float(torch.rad2deg(angle)), float(distance)


def _distances(poses: Tensor, pose: Tensor, pivot: Tensor) -> Tensor:
    return _lengths(pose_difference(poses, pose.expand_as(poses), pivot))


def _lengths(twists: Tensor) -> Tensor:
    return ((_RADIUS_MM * twists[:, :3]).square().sum(1) + twists[:, 3:].square().sum(1)).sqrt()
