"""Camera poses from C-arm settings: angulation and distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError, require_array
from .cameras import NOMINAL_SID_MM, Camera

# A C-arm's isocentre lies at about this fraction of the distance from source to detector.
SOD_SHARE = 0.7


def beam_axes(primary_deg: float, secondary_deg: float) -> NDArray[np.float64]:
    """Rows x, y, z (3, 3) of the camera frame in RAS for a patient lying head first supine.

    primary_deg: positioner primary angle, positive towards LAO (the detector moves to the patient's left).
    secondary_deg: positioner secondary angle, positive towards CRAN (the detector moves to the patient's head).
    z is the central ray from source to detector, y points down the image (towards the feet), x completes a
    right-handed frame: the view from the source, never mirrored. At 0, 0 the detector is in front of the patient
    (a PA projection) and x points to the patient's right.
    Source: DICOM PS3.3 C.8.7.5.1.2; n = (sin a cos b, -cos a cos b, sin b) in LPS, image-up = dn/db.
    """
    a, b = np.deg2rad(primary_deg), np.deg2rad(secondary_deg)
    ray = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    up = np.array([np.sin(a) * np.sin(b), -np.cos(a) * np.sin(b), np.cos(b)])
    return np.stack([np.cross(ray, up), -up, ray])


def camera_from_carm(
    primary_deg: float, secondary_deg: float, sod_mm: float, isocentre_ras: ArrayLike
) -> NDArray[np.float64]:
    """The pose camera_from_volume (4, 4) [mm] of a C-arm that rotates about `isocentre_ras` (3,) [mm, RAS].

    sod_mm: distance from the source to the isocentre; the isocentre lies on the central ray.
    For the angles and the patient's position see `beam_axes`.
    Raises InputError for a distance that is not positive or an isocentre that is not three numbers.
    """
    require_angulation(primary_deg, secondary_deg, sod_mm)
    pose = np.eye(4)
    pose[:3, :3] = beam_axes(primary_deg, secondary_deg)
    pose[:3, 3] = [0.0, 0.0, sod_mm] - pose[:3, :3] @ require_array(isocentre_ras, "isocentre", (3,))
    return pose


def require_angulation(primary_deg: float, secondary_deg: float, sod_mm: float) -> None:
    """Raise InputError for a source-to-isocentre distance that is not positive or angles that are not finite."""
    if not (np.isfinite(sod_mm) and sod_mm > 0):
        raise InputError(
            "source-to-isocentre distance",
            expected="millimetres above 0",
            found=f"{sod_mm:g}",
            remedy="check the geometry",
        )
    if not np.isfinite([primary_deg, secondary_deg]).all():
        raise InputError(
            "C-arm angles", expected="degrees", found=f"{primary_deg}, {secondary_deg}", remedy="check the geometry"
        )


def nominal_sod_mm(camera: Camera) -> float:
    """Source-to-isocentre distance [mm] to assume for a camera: a fixed fraction of its SID, where that is known."""
    return SOD_SHARE * (camera.sid_mm or NOMINAL_SID_MM)
