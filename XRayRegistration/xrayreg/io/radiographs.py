"""X-ray images from files: pictures, medical image formats and DICOM, each converted to a pinhole image on reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
from numpy.typing import NDArray

from ..checks import InputError, require_file
from ..geometry import Camera
from ..scene import IntensityKind, Radiograph, intensity_named, radiograph_from_array
from .dicom import DicomGeometry, camera_of, geometry_of
from .dicom_layout import frame_count
from .dicom_pixels import dicom_image
from .dicom_tags import TagReader, is_dicom, read_dataset
from .images import stem_of
from .pictures import chosen_frame, stored_picture

# Relative rounding allowed in a given camera; larger differences contradict the file's.
_ROUNDED = 0.01


def read_radiograph(
    path: str | Path,
    *,
    camera: Camera | None,
    intensity: str = "auto",
    frame: int | None = None,
    name: str | None = None,
    mirrored: bool | None = None,
    camera_from_world: NDArray | None = None,
) -> Radiograph:
    """The X-ray at `path` (TIFF, PNG, NIfTI, NRRD, MetaImage or DICOM) with its camera.

    camera: the camera of the image as stored; None takes it from DICOM attributes, by which the image is then also
        rotated and mirrored into the pinhole image.
    intensity: "transmission" (bright = unattenuated), "attenuation" (bright = dense) or "auto" (DICOM attributes,
        else the histogram).
    frame: which image of a run, counted from 0; needed when there are several.
    name: the view's name, the file's stem by default.
    mirrored: whether the stored image is mirrored with respect to the pinhole camera; by default not, or as DICOM
        states when the camera comes from there. A mirrored image is reflected once, here.
    camera_from_world: pose of a camera that comes from DICOM, identity by default.

    Raises InputError for what is missing or unreadable, coloured, constant, saturated or not finite, for a run without
    a frame, a size other than the camera's, and an image without a camera.
    """
    path = Path(path)
    require_file(path, "X-ray")
    if not path.is_file():
        found = f"the folder {path}" if path.is_dir() else f"{path}, which is none"
        raise InputError("X-ray", expected="a file", found=found, remedy="name the image file")
    kind = intensity_named(intensity)
    name = name or stem_of(path)
    if is_dicom(path):
        dataset = read_dataset(path)
        chosen = chosen_frame(path, frame_count(TagReader(dataset)), frame)
        return _from_dicom(path, dataset, chosen, camera, kind, name, mirrored, camera_from_world)
    if camera is None:
        raise InputError(
            f"camera of {name}",
            expected="a camera for an image that is not DICOM",
            found="none",
            remedy='add "camera" with matrix, size and camera_from_world to the view',
        )
    stored, notes = stored_picture(path, frame)
    return radiograph_from_array(
        stored,
        camera.mirrored_columns() if mirrored else camera,
        intensity=intensity,
        mirrored=bool(mirrored),
        name=name,
        origins={"camera": "given with the view"},
        notes=notes,
    )


def _from_dicom(
    path: Path,
    dataset: pydicom.Dataset,
    frame: int,
    camera: Camera | None,
    intensity: IntensityKind,
    name: str,
    mirrored: bool | None,
    camera_from_world: NDArray | None,
) -> Radiograph:
    image = dicom_image(path, dataset, frame)
    assumed: tuple[str, ...] = ()
    if camera is not None:
        geometry = None
        camera = camera.mirrored_columns() if mirrored else camera
        origins = {"camera": "given with the view"}
        notes = (*_contradictions(camera, dataset, frame), *image.notes)
    else:
        geometry = geometry_of(dataset, frame)
        if mirrored is not None:
            geometry = replace(geometry, mirrored=mirrored, notes=_overridden(geometry, mirrored))
        camera, mirrored = camera_of(geometry, camera_from_world), geometry.mirrored
        assumed = geometry.assumed
        doubts = tuple(warning for warning in geometry.warnings if warning not in assumed)
        origins, notes = dict(geometry.origins), (*geometry.notes, *doubts, *image.notes)
        if geometry.quarter_turns:
            notes = (*notes, f"The stored image was turned by {90 * geometry.quarter_turns} degrees counter-clockwise.")
    view = radiograph_from_array(
        image.pixels,
        camera,
        quarter_turns=0 if geometry is None else geometry.quarter_turns,
        mirrored=bool(mirrored),
        name=name,
        origins=origins,
        notes=notes,
        **image.reading(intensity),
    )
    return replace(view, assumed=assumed)


def _contradictions(given: Camera, dataset: pydicom.Dataset, frame: int) -> tuple[str, ...]:
    """A sentence on each contradiction between a given camera and the one stated by the DICOM file."""
    try:
        geometry = geometry_of(dataset, frame)
    except InputError:
        return ()
    if geometry.assumed:
        return ()
    own = camera_of(geometry)
    pairs = [("focal length", "pixels", given.focal_px, own.focal_px)]
    if given.pixel_mm is not None and given.sid_mm is not None and own.pixel_mm is not None and own.sid_mm is not None:
        pairs = [("SID", "mm", given.sid_mm, own.sid_mm), ("pixel pitch", "mm", given.pixel_mm, own.pixel_mm)]
    different = [
        f"{name} {used:.4g} {unit} (the file: {said:.4g})"
        for name, unit, used, said in pairs
        if abs(used / said - 1) > _ROUNDED
    ]
    if not different:
        return ()
    return (f"The camera given with the view is used, which the DICOM file contradicts: {', '.join(different)}.",)


def _overridden(geometry: DicomGeometry, mirrored: bool) -> tuple[str, ...]:
    if mirrored == geometry.mirrored:
        return geometry.notes
    return (*geometry.notes, f'The case says "mirrored": {str(mirrored).lower()}, which was followed.')
