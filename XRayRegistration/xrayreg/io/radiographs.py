"""X-ray images from files: pictures, medical image formats and DICOM, each made a pinhole image at the door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError, require_file
from ..geometry import Camera
from ..pieces import Pieces, divisible
from ..scene import IntensityKind, Radiograph, intensity_named, radiograph_from_array
from .dicom import DicomGeometry, camera_of, geometry_of
from .dicom_pixels import dicom_image
from .dicom_tags import is_dicom, read_dataset
from .images import load, open_image, stem_of
from .nifti import is_nifti, read_nifti


@divisible
def read_radiograph(
    path: str | Path,
    *,
    camera: Camera | None,
    intensity: str = "auto",
    frame: int | None = None,
    name: str | None = None,
    mirrored: bool | None = None,
    camera_from_world: NDArray | None = None,
) -> Pieces[Radiograph]:
    """The X-ray at `path` (TIFF, PNG, NIfTI, NRRD, MetaImage or DICOM) with its camera.

    camera: the camera of the image as stored; None takes it from DICOM attributes, which also turn and mirror the
        image to what the pinhole camera sees.
    intensity: "transmission" (bright = unattenuated), "attenuation" (bright = dense) or "auto" (DICOM attributes,
        else the histogram).
    frame: which image of a run, counted from 0; needed when there are several.
    name: the view's name, the file's stem by default.
    mirrored: whether the stored image is mirrored with respect to the pinhole camera; by default not, or as DICOM
        tells when the camera comes from there. A mirrored image is reflected once, here.
    camera_from_world: pose of a camera that comes from DICOM, identity by default.

    Raises InputError for what is missing or unreadable, coloured, constant, saturated or not finite, for a run without
    a frame, a size other than the camera's, and an image without a camera.
    """
    path = Path(path)
    require_file(path, "X-ray")
    kind = intensity_named(intensity)
    name = name or stem_of(path)
    if is_dicom(path):
        dataset = read_dataset(path)
        chosen = _chosen_frame(path, int(dataset.get("NumberOfFrames") or 1), frame)
        return (yield from _from_dicom(path, dataset, chosen, camera, kind, name, mirrored, camera_from_world))
    if camera is None:
        raise InputError(
            f"camera of {name}",
            expected="a camera for an image that is not DICOM",
            found="none",
            remedy='add "camera" with matrix, size and camera_from_world to the view',
        )
    stored = _stored_frame(path, frame)
    yield
    making: Pieces[Radiograph] = radiograph_from_array.pieces(
        stored,
        camera.mirrored_columns() if mirrored else camera,
        intensity=intensity,
        mirrored=bool(mirrored),
        name=name,
        origins={"camera": "given with the view"},
    )
    return (yield from making)


def _from_dicom(
    path: Path,
    dataset: pydicom.Dataset,
    frame: int,
    camera: Camera | None,
    intensity: IntensityKind,
    name: str,
    mirrored: bool | None,
    camera_from_world: NDArray | None,
) -> Pieces[Radiograph]:
    image = dicom_image(path, dataset, frame)
    yield
    kind, negated = (image.kind, image.negated) if intensity == "auto" else (intensity, False)
    if camera is not None:
        geometry = None
        camera = camera.mirrored_columns() if mirrored else camera
        origins, notes = {"camera": "given with the view"}, image.notes
    else:
        geometry = geometry_of(dataset, frame)
        if mirrored is not None:
            geometry = replace(geometry, mirrored=mirrored, notes=_overridden(geometry, mirrored))
        camera, mirrored = camera_of(geometry, camera_from_world), geometry.mirrored
        origins, notes = dict(geometry.origins), (*geometry.notes, *geometry.warnings, *image.notes)
        if geometry.quarter_turns:
            notes = (*notes, f"The stored image was turned by {90 * geometry.quarter_turns} degrees counter-clockwise.")
    making: Pieces[Radiograph] = radiograph_from_array.pieces(
        image.pixels,
        camera,
        intensity=kind,
        quarter_turns=0 if geometry is None else geometry.quarter_turns,
        mirrored=bool(mirrored),
        negated=negated,
        open_area=image.open_area,
        name=name,
        origins=origins,
        notes=notes,
    )
    return (yield from making)


def _overridden(geometry: DicomGeometry, mirrored: bool) -> tuple[str, ...]:
    if mirrored == geometry.mirrored:
        return geometry.notes
    return (*geometry.notes, f'The case says "mirrored": {str(mirrored).lower()}, which was followed.')


def _stored_frame(path: Path, frame: int | None) -> NDArray[np.float32]:
    """One image [row, column] or [row, column, channel] of a file, as stored."""
    if is_nifti(path):
        values = read_nifti(path, "X-ray").values
        _require_run(values.shape[::-1])
        run = values if values.ndim == 3 else values[None]
        return run[_chosen_frame(path, len(run), frame)].astype(np.float32)
    reader = open_image(path, "X-ray")
    size = reader.GetSize()
    _require_run(size)
    chosen = _chosen_frame(path, size[2] if len(size) == 3 else 1, frame)
    if len(size) == 3:
        reader.SetExtractSize([size[0], size[1], 0])
        reader.SetExtractIndex([0, 0, chosen])
    return sitk.GetArrayFromImage(load(reader, "X-ray")).astype(np.float32)


def _require_run(size: tuple[int, ...]) -> None:
    if len(size) not in (2, 3):
        raise InputError(
            "X-ray", expected="an image or a run of images", found=" x ".join(map(str, size)), remedy="export one image"
        )


def _chosen_frame(path: Path, frames: int, frame: int | None) -> int:
    if frame is None and frames == 1:
        return 0
    if frame is None:
        raise InputError(
            f"X-ray {path.name}",
            expected='a "frame" for a run of images',
            found=f"{frames} frames and none chosen",
            remedy=f"choose one from 0 to {frames - 1}",
        )
    if not 0 <= frame < frames:
        raise InputError(
            f"frame of {path.name}",
            expected=f"a number from 0 to {frames - 1}",
            found=str(frame),
            remedy="frames are counted from 0",
        )
    return frame
