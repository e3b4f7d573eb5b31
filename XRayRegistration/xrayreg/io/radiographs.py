"""X-ray images from files: pictures, medical image formats and DICOM, each made a pinhole image at the door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError, require_file
from ..geometry import Camera
from ..scene import IntensityKind, Radiograph, find_field, line_integrals
from .dicom import DicomGeometry, camera_of, geometry_of
from .dicom_pixels import intensity_of, recorded_frame, unshuttered
from .dicom_tags import TagReader, is_dicom, read_dataset
from .images import load, open_image, stem_of
from .nifti import is_nifti, read_nifti

_INTENSITIES: tuple[IntensityKind, ...] = get_args(IntensityKind)
# An X-ray with less than this share of its pixels between the darkest and the brightest tone shows nothing.
_LEAST_SHOWN = 0.01


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
    kind = _kind(intensity)
    name = name or stem_of(path)
    if is_dicom(path):
        dataset = read_dataset(path)
        chosen = _chosen_frame(path, int(dataset.get("NumberOfFrames") or 1), frame)
        return _from_dicom(path, dataset, chosen, camera, kind, name, mirrored, camera_from_world)
    if camera is None:
        raise InputError(
            f"camera of {name}",
            expected="a camera for an image that is not DICOM",
            found="none",
            remedy='add "camera" with matrix, size and camera_from_world to the view',
        )
    recorded, notes = _grey(_stored_frame(path, frame), path)
    valid, found = find_field(recorded)
    integrals, told = line_integrals(recorded, valid, kind)
    view = Radiograph(
        recorded, integrals, valid, camera, name, {"camera": "given with the view"}, (*notes, *found, *told)
    )
    return view.mirrored() if mirrored else view


def _from_dicom(
    path: Path,
    dataset: pydicom.Dataset,
    frame: int,
    camera: Camera | None,
    kind: IntensityKind,
    name: str,
    mirrored: bool | None,
    camera_from_world: NDArray | None,
) -> Radiograph:
    tags = TagReader(dataset, frame)
    recorded, notes = _grey(recorded_frame(path, dataset, frame), path)
    open_area, hidden = unshuttered(tags)
    origins, turns, reflect = {"camera": "given with the view"}, 0, bool(mirrored)
    if camera is None:
        geometry = geometry_of(dataset, frame)
        if mirrored is not None:
            geometry = replace(geometry, mirrored=mirrored, notes=_overridden(geometry, mirrored))
        camera, turns, reflect = camera_of(geometry, camera_from_world), geometry.quarter_turns, geometry.mirrored
        origins, notes = dict(geometry.origins), (*notes, *geometry.notes, *geometry.warnings)
        if turns:
            notes = (*notes, f"The stored image was turned by {90 * turns} degrees counter-clockwise.")
        # The stored image's camera; the reflection below makes it the pinhole image's again.
        camera = camera.mirrored_columns() if reflect else camera
    recorded, open_area = np.rot90(recorded, turns), np.rot90(open_area, turns)
    meaning: tuple[str, ...] = ()
    negated = False
    if kind == "auto":
        kind, negated, meaning = intensity_of(tags)
    readable = recorded.max() + recorded.min() - recorded if negated else recorded
    valid, found = find_field(readable)
    valid = valid & open_area
    integrals, told = line_integrals(readable, valid, kind)
    view = Radiograph(recorded, integrals, valid, camera, name, origins, (*notes, *hidden, *meaning, *found, *told))
    return view.mirrored() if reflect else view


def _overridden(geometry: DicomGeometry, mirrored: bool) -> tuple[str, ...]:
    if mirrored == geometry.mirrored:
        return geometry.notes
    return (*geometry.notes, f'The case says "mirrored": {str(mirrored).lower()}, which was followed.')


def _kind(intensity: str) -> IntensityKind:
    for kind in _INTENSITIES:
        if kind == intensity:
            return kind
    raise InputError("intensity", expected=", ".join(_INTENSITIES), found=repr(intensity), remedy="choose one of them")


def _stored_frame(path: Path, frame: int | None) -> NDArray[np.float32]:
    """One image [row, column] or [row, column, channel] of a file, as stored."""
    if is_nifti(path):
        values, _ = read_nifti(path, "X-ray")
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


def _grey(pixels: NDArray[np.float32], path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """A grey image (height, width) that shows something; raises InputError otherwise."""
    notes: tuple[str, ...] = ()
    if pixels.ndim == 3:
        channels = pixels[..., :3]
        if channels.shape[-1] < 3 or (channels != channels[..., :1]).any():
            raise InputError(
                f"X-ray {path.name}",
                expected="a grey image",
                found=f"{pixels.shape[-1]} channels of different content",
                remedy="export the original grey values, not a coloured screenshot",
            )
        pixels, notes = (
            np.ascontiguousarray(channels[..., 0]),
            ("A colour image with equal channels was read as grey.",),
        )
    if not np.isfinite(pixels).all():
        raise InputError(
            f"X-ray {path.name}", expected="finite values", found="NaN or infinity", remedy="replace them in the file"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        raise InputError(
            f"X-ray {path.name}",
            expected="an image",
            found=f"the constant value {low:g} (empty or saturated)",
            remedy="check the export",
        )
    shown = float(np.mean((pixels > low) & (pixels < high)))
    if shown < _LEAST_SHOWN:
        raise InputError(
            f"X-ray {path.name}",
            expected="grey tones",
            found=f"{1 - shown:.1%} of the pixels black or white (a mask, or saturated)",
            remedy="use the recorded image before windowing",
        )
    return pixels, notes
