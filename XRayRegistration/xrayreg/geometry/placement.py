"""C-arm placements, in six numbers that a clinician sets, and their conversion to and from poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError, require_array, require_rigid
from .carm import beam_axes, camera_from_carm, require_angulation

# Below this cosine of the secondary angle the beam counts as along the patient: a degree of primary angle then moves
# it by less than the rounding error.
_ALONG_THE_PATIENT = 1e-12


@dataclass(frozen=True)
class Placement:
    """A C-arm about an isocentre, for a patient lying head first supine.

    primary_deg, secondary_deg: angulation, positive towards LAO and CRAN (see `beam_axes`).
    roll_deg: rotation of the anatomy in the image about the isocentre, positive clockwise as seen by a viewer.
    right_mm, up_mm: offset of the isocentre from the central ray; positive moves the anatomy right and up in the image.
    sod_mm: distance from source to isocentre along the central ray.

    The isocentre lies at (right_mm, -up_mm, sod_mm) in the camera frame. Right, up and clockwise are those of the
    pinhole image, which is not mirrored. Every rotation can be expressed this way, also for other patient positions:
    prone adds 180 degrees to the primary angle; feet first reverses both angles and adds 180 degrees to the roll.
    Raises InputError for numbers that are not finite or a distance that is not positive.
    """

    primary_deg: float
    secondary_deg: float
    roll_deg: float
    right_mm: float
    up_mm: float
    sod_mm: float

    def __post_init__(self) -> None:
        require_angulation(self.primary_deg, self.secondary_deg, self.sod_mm)
        for name, value in (("roll", self.roll_deg), ("shift right", self.right_mm), ("shift up", self.up_mm)):
            if not np.isfinite(value):
                raise InputError(name, expected="a finite number", found=f"{value}", remedy="check the geometry")


def camera_from_placement(placement: Placement, isocentre_ras: ArrayLike) -> NDArray[np.float64]:
    """The pose camera_from_volume (4, 4) [mm] of a C-arm about `isocentre_ras` (3,) [mm, RAS].

    Raises InputError for an isocentre that is not three numbers.
    """
    roll = np.deg2rad(placement.roll_deg)
    moved_from_centred = np.eye(4)
    moved_from_centred[:2, :2] = [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    moved_from_centred[:2, 3] = placement.right_mm, -placement.up_mm
    return moved_from_centred @ camera_from_carm(
        placement.primary_deg, placement.secondary_deg, placement.sod_mm, isocentre_ras
    )


def placement_of(camera_from_volume: ArrayLike, isocentre_ras: ArrayLike) -> Placement:
    """The C-arm placement of the pose `camera_from_volume` (4, 4) [mm]: the inverse of `camera_from_placement`.

    Primary angle and roll lie in (-180, 180], the secondary angle in [-90, 90]. With the beam along the patient
    (secondary angle +-90) primary angle and roll are equivalent: the primary angle is then 0, the roll their total.
    Raises InputError for a pose that is not rigid and for an isocentre that is not in front of the source.
    """
    pose = require_rigid(camera_from_volume, "camera_from_volume")
    right, down, depth = pose[:3, :3] @ require_array(isocentre_ras, "isocentre", (3,)) + pose[:3, 3]
    if depth <= 0:
        raise InputError(
            "isocentre",
            expected="a point in front of the X-ray source",
            found=f"a depth of {depth:.4g} mm",
            remedy="check that the pose is camera_from_volume, not its inverse",
        )
    x, y, z = pose[2, :3]
    across = np.hypot(x, y)
    primary = _degrees(-x, y) if across > _ALONG_THE_PATIENT else 0.0
    secondary = _degrees(z, across)
    # The remaining rotation is about the central ray; it is measured from the rounded angles, so nothing is lost.
    rolled_from_upright = pose[:3, :3] @ beam_axes(primary, secondary).T
    sine = rolled_from_upright[1, 0] - rolled_from_upright[0, 1]
    cosine = rolled_from_upright[0, 0] + rolled_from_upright[1, 1]
    return Placement(primary, secondary, _degrees(sine, cosine), float(right), float(-down), float(depth))


def _degrees(sine: float, cosine: float) -> float:
    """The angle in (-180, 180] with the direction (cosine, sine)."""
    angle = float(np.rad2deg(np.arctan2(sine, cosine)))
    return 180.0 if angle == -180.0 else angle
