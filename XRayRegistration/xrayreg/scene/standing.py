"""Plausibility of a pose's arrangement of source, patient and detector; physical limits, valid for rough poses too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .radiograph import Radiograph
from .volume import Volume

# Largest distance of a patient from the source [mm]; renders of farther ones would be coarsened without limit.
MOST_DISTANCE_MM = 10_000.0
# Between air and fat: HU above which a voxel belongs to the patient.
_BODY_HU = -300.0
# Sources closer together than this [mm] with axes farther apart than this [degrees] are not views of one patient:
# at 200 mm such a rotation moves a source by 35 mm.
_LEAST_APART_MM, _TURN_DEG = 10.0, 10.0


def require_standing(
    views: Sequence[Radiograph], volume: Volume, world_from_volume: NDArray[np.float64], what: str
) -> None:
    """Raise InputError, named by `what`, for a pose (4, 4) [mm] that places the patient impossibly.

    In any view, that is: farther than 10 m from the source, wholly beyond the detector (unless its distance was
    assumed), around the source, or behind it while other views see the patient. A volume that no view sees is refused
    at registration.
    """
    hint = f'check "{what}" (world_from_volume, RAS mm), or leave it out'
    for view in views:
        camera_from_volume = view.camera.camera_from_world @ world_from_volume
        centre = camera_from_volume[:3, :3] @ volume.grid.centre + camera_from_volume[:3, 3]
        depths = volume.grid.corners() @ camera_from_volume[2, :3] + camera_from_volume[2, 3]
        found = _impossible(view.stated_sid_mm, float(np.linalg.norm(centre)), depths)
        if not found and len(views) > 1 and depths.max() <= 0:
            found = "a volume outside the view, behind the source,"
        if not found and _is_in_body(volume, np.linalg.inv(camera_from_volume)[:3, 3]):
            found = "the X-ray source inside the patient (distances in metres?)"
        if found:
            raise InputError(
                f"{what} pose",
                expected="a pose that puts the volume between source and detector",
                found=f"{found} in {view.name}",
                remedy=hint,
            )


def require_rig(views: Sequence[Radiograph]) -> None:
    """Raise InputError for views from different directions with coinciding sources, as with metres for mm."""
    sources = [np.linalg.inv(view.camera.camera_from_world) for view in views]
    for number, (view, one) in enumerate(zip(views, sources, strict=True)):
        for other, another in zip(views[:number], sources[:number], strict=True):
            turn = float(np.degrees(np.arccos(np.clip(one[:3, 2] @ another[:3, 2], -1.0, 1.0))))
            apart = float(np.linalg.norm(one[:3, 3] - another[:3, 3]))
            if turn > _TURN_DEG and apart < _LEAST_APART_MM:
                raise InputError(
                    f"cameras of {other.name} and {view.name}",
                    expected="sources apart, since the views look from different sides",
                    found=f"{apart:.3g} mm between sources whose axes are {turn:.0f} degrees apart",
                    remedy='give the translations of "camera_from_world" in millimetres',
                )


def _impossible(sid_mm: float | None, distance_mm: float, depths: NDArray[np.float64]) -> str:
    """The error of a volume at this distance whose corners have these depths [mm]; empty if there is none."""
    # Negated so that NaN is refused.
    if not distance_mm <= MOST_DISTANCE_MM:
        return f"a volume {distance_mm:.4g} mm from the source, more than {MOST_DISTANCE_MM:g} mm,"
    if sid_mm is not None and depths.min() >= sid_mm:
        return f"a volume beyond the detector, which is {sid_mm:.4g} mm from the source,"
    return ""


def _is_in_body(volume: Volume, point: NDArray[np.floating]) -> bool:
    """Whether a point (3,) [RAS mm] lies in a voxel of tissue."""
    index = np.rint(volume.grid.index_from_volume @ [*point, 1.0])[:3]
    if not ((index >= 0) & (index < volume.grid.shape)).all():
        return False
    i, j, k = index.astype(int)
    return bool(volume.values[k, j, i] > (_BODY_HU if volume.is_hounsfield else 0))
