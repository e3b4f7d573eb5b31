"""Error metrics as defined by other publications; only for comparison with their tables.

The first is measured in the camera frame but at points far from the anatomy; the other two are not distances in the
patient at all. The clinically relevant error is `PoseError.mtre_mm`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...checks import require_array, require_rigid
from ...metrics import require_points

FAR_LEVER = "far-lever, for comparison with ISBI 2024 Table 1 only"
LEGACY = "legacy, do not interpret"

# Distance [mm] of the points from the anatomy that explains the initial errors of Chen et al. (ISBI 2024) with a fixed
# start and a random target.
FAR_LEVER_MM = 520.0
# DiffPose multiplies millimetres by the pixel pitch [mm] of its data set a second time.
_DIFFPOSE_FACTOR = 0.194


def far_lever_mtre(
    estimated: ArrayLike, reference: ArrayLike, targets: ArrayLike, axis: ArrayLike, lever_mm: float
) -> float:
    """Mean distance [mm] between the positions that two poses give to points `lever_mm` beyond the targets.

    estimated, reference: camera_from_volume (4, 4) [mm]. targets: (N, 3) in the volume frame [mm].
    axis: (3,) direction of the nominal view's central ray in the volume frame.
    With poses (R, t) written about the volume's centre in the nominal view's axes this is the mean of
    |R q + t - R' q - t'| with q = p + (0, 0, lever), the frame in which that paper's numbers match its distribution.
    """
    ray = require_array(axis, "viewing axis", (3,))
    return _mean_distance(estimated, reference, require_points(targets) + lever_mm * ray / np.linalg.norm(ray))


def xvr_mtre(estimated: ArrayLike, reference: ArrayLike, targets: ArrayLike, pivot: ArrayLike) -> float:
    """mTRE by xvr's formula: camera-to-world poses applied to world points; the world's origin is `pivot` (3,).

    A rotation that hardly moves the patient is measured by the camera's displacement, about ten times as large.
    """
    points = require_points(targets) - require_array(pivot, "isocentre", (3,))
    centred = np.eye(4)
    centred[:3, 3] = pivot
    found, true = (np.linalg.inv(require_rigid(pose, "pose") @ centred) for pose in (estimated, reference))
    return _mean_distance(found, true, points)


def diffpose_mtre(mtre_mm: float) -> float:
    """mTRE by DiffPose's formula: millimetres times the pixel pitch of its detector, a fifth of the true distance."""
    return _DIFFPOSE_FACTOR * mtre_mm


def _mean_distance(estimated: ArrayLike, reference: ArrayLike, points: NDArray[np.float64]) -> float:
    change = require_rigid(estimated, "estimated pose") - require_rigid(reference, "reference pose")
    return float(np.linalg.norm(points @ change[:3, :3].T + change[:3, 3], axis=1).mean())
