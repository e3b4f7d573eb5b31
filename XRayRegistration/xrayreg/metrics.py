"""Errors of an estimated pose (van de Kraats et al., IEEE TMI 24(9), 2005), all in the camera frame.

Poses are camera_from_volume: targets are transformed into the camera frame first and compared there. Comparing the
inverse poses would measure the apparent camera motion, which a small rotation far from the source magnifies and a
compensating translation hides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .checks import InputError, require_array, require_rigid
from .geometry import NOMINAL_SID_MM, Camera, vector_from_rotation


@dataclass(frozen=True)
class PoseError:
    """Errors of one pose in one view; lengths in millimetres, angles in degrees, averages over the targets.

    mtre_mm: mean target registration error, the mean distance between a target's positions under the two poses.
    mtre_in_plane_mm, mtre_depth_mm: the same of the components along the detector (x, y) and along depth (z).
    rotation_deg: angle of the rotation from reference to estimate.
    rotation_in_plane_deg, rotation_out_of_plane_deg: parts of that rotation's vector along and across the camera's z.
    translation_mm: displacement (x, y, z) of the targets' centroid in camera axes.
    mpd_px, mpd_mm: mean projection distance between projected targets, in pixels and on the detector [mm]; infinite
        when the estimate places a target level with the source or behind it.
    mrpd_mm: mean reprojection distance, from the estimated target to the ray on which the reference shows it.
    dgeo_mm: sqrt((SID / 2 angle)^2 + |translation|^2), for comparison with systems that report it.
    sid_is_nominal: whether mpd_mm and dgeo_mm assume NOMINAL_SID_MM because the camera's pixel pitch is unknown.
    """

    mtre_mm: float
    mtre_in_plane_mm: float
    mtre_depth_mm: float
    rotation_deg: float
    rotation_in_plane_deg: float
    rotation_out_of_plane_deg: float
    translation_mm: tuple[float, float, float]
    mpd_px: float
    mpd_mm: float
    mrpd_mm: float
    dgeo_mm: float
    sid_is_nominal: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields by name in plain Python values, for result files."""
        return {**asdict(self), "translation_mm": list(self.translation_mm)}


def pose_error(camera: Camera, estimated: ArrayLike, reference: ArrayLike, targets: ArrayLike) -> PoseError:
    """Errors of the pose `estimated` against `reference`, both camera_from_volume (4, 4) [mm] of the same view.

    camera: gives the projection; its own camera_from_world is not used.
    targets: points (N, 3) in the volume frame [mm], at least one.
    Raises InputError for poses that are not rigid, targets that are not points, and a reference that places a target
    level with the source or behind it.
    """
    moved, true = require_rigid(estimated, "estimated pose"), require_rigid(reference, "reference pose")
    points = require_points(targets)
    found, expected = _in_camera(moved, points), _in_camera(true, points)
    if (expected[:, 2] <= 0).any():
        raise InputError(
            "reference pose",
            expected="all targets in front of the X-ray source",
            found=f"a depth of {expected[:, 2].min():.4g} mm",
            remedy="check that it is camera_from_volume, not its inverse",
        )
    offset = found - expected
    turn = np.degrees(vector_from_rotation(torch.from_numpy(moved[:3, :3] @ true[:3, :3].T)).numpy())
    angle, shift = float(np.linalg.norm(turn)), offset.mean(axis=0)
    sid_mm = camera.sid_mm or NOMINAL_SID_MM
    detector_from_ray = np.diag([sid_mm, sid_mm, 1.0])
    return PoseError(
        mtre_mm=_mean_length(offset),
        mtre_in_plane_mm=_mean_length(offset[:, :2]),
        mtre_depth_mm=_mean_length(offset[:, 2:]),
        rotation_deg=angle,
        rotation_in_plane_deg=abs(float(turn[2])),
        rotation_out_of_plane_deg=float(np.hypot(turn[0], turn[1])),
        translation_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        mpd_px=_projection_distance(camera.matrix, found, expected),
        mpd_mm=_projection_distance(detector_from_ray, found, expected),
        mrpd_mm=_ray_distance(found, expected),
        dgeo_mm=float(np.hypot(sid_mm / 2 * np.radians(angle), np.linalg.norm(shift))),
        sid_is_nominal=camera.sid_mm is None,
    )


def require_points(targets: ArrayLike) -> NDArray[np.float64]:
    """Return `targets` as points (N, 3), at least one; raise InputError otherwise."""
    count = len(targets) if isinstance(targets, np.ndarray | list | tuple) else 0
    return require_array(targets, "targets", (max(count, 1), 3))


def _in_camera(camera_from_volume: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]


def _mean_length(vectors: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vectors, axis=1).mean())


def _projection_distance(
    projection: NDArray[np.float64], found: NDArray[np.float64], expected: NDArray[np.float64]
) -> float:
    """Mean distance between the images of points (N, 3) under `projection` (3, 3), in the units of its image."""
    if (found[:, 2] <= 0).any():
        return float("inf")
    images = [(points @ projection.T)[:, :2] / points[:, 2:] for points in (found, expected)]
    return _mean_length(images[0] - images[1])


def _ray_distance(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Mean distance [mm] of points (N, 3) from the rays that leave the source towards `expected` (N, 3)."""
    ray = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    along = np.maximum((found * ray).sum(axis=1, keepdims=True), 0)
    return _mean_length(found - along * ray)
