"""A CT as scanners write it: a folder with one DICOM file per slice."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from ..checks import InputError
from .images import load, open_image, quiet_itk, unreadable

_LOG = logging.getLogger(__name__)
_TAGS = [
    "SeriesDescription",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
]
# Slice positions may be rounded to a tenth of a millimetre; a tenth of the slice distance is no missing slice.
_UNEVEN = 0.1


@dataclass(frozen=True)
class Series:
    """One DICOM series of a folder: its identifier, its description and its files."""

    uid: str
    description: str
    files: tuple[Path, ...]
    slices: int


def list_series(folder: Path) -> tuple[Series, ...]:
    """The DICOM series that lie directly in `folder`, the one with most slices first.

    Raises InputError when there is none.
    """
    with quiet_itk():
        uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        found = [
            _series(uid, [Path(name) for name in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)])
            for uid in uids
        ]
    if not found:
        raise InputError(
            "volume",
            expected="a folder with a DICOM series",
            found=f"no DICOM file in {folder}",
            remedy="name the folder that holds the slices themselves, or a NIfTI, NRRD or MHA file",
        )
    return tuple(sorted(found, key=lambda series: (-series.slices, series.uid)))


def read_series(folder: Path) -> tuple[sitk.Image, NDArray[np.float64]]:
    """The largest series of `folder` and its lps_from_index (4, 4) [mm]; the choice is logged where there was one.

    Slices are ordered along their normal. A tilted gantry gives a sheared grid: the third column is the step from
    slice to slice as recorded, which no image format keeps and which is exact. Raises InputError for missing,
    doubled or unevenly spaced slices.
    """
    series, *others = list_series(folder)
    if others:
        _LOG.info(
            "%s holds %d series; reading %s (%d slices)",
            folder,
            len(others) + 1,
            series.description or series.uid,
            series.slices,
        )
    if len(series.files) == 1:
        image = load(open_image(series.files[0], "volume"), "volume")
        return image, affine_of(image)
    heads = [_head(path) for path in series.files]
    order, affine = _stacked(series, heads)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(series.files[n]) for n in order])
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(folder, "volume", error) from error
    return image, affine


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """lps_from_index (4, 4) [mm] of a 3D image."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def _series(uid: str, files: list[Path]) -> Series:
    first = _head(files[0])
    slices = len(files) if len(files) > 1 else int(first.get("NumberOfFrames") or 1)
    return Series(uid, str(first.get("SeriesDescription", "")), tuple(files), slices)


def _head(path: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
    except (OSError, InvalidDicomError) as error:
        raise unreadable(path, "volume", error) from error


def _stacked(series: Series, heads: list[pydicom.Dataset]) -> tuple[list[int], NDArray[np.float64]]:
    """The order of the slices along their normal and their common lps_from_index."""
    for path, head in zip(series.files, heads, strict=True):
        for tag in _TAGS[2:]:
            if not head.get(tag):
                raise InputError(
                    "CT series",
                    expected=f"{tag} in every slice",
                    found=f"none in {path.name}",
                    remedy="remove files that are not slices of the CT",
                )
    orientation = np.array([head.ImageOrientationPatient for head in heads], dtype=float)
    spacing = np.array([head.PixelSpacing for head in heads], dtype=float)
    if np.ptp(orientation, axis=0).max() > 1e-3 or np.ptp(spacing, axis=0).max() > 1e-3:
        raise InputError(
            "CT series",
            expected="slices of one orientation and pixel spacing",
            found="several (a localiser among them?)",
            remedy="keep only the slices of one reconstruction in the folder",
        )
    row, column = orientation[0].reshape(2, 3)
    positions = np.array([head.ImagePositionPatient for head in heads], dtype=float)
    along = positions @ np.cross(row, column)
    order = np.argsort(along, kind="stable").tolist()
    _require_even(series, order, positions[order], along[order])
    affine = np.eye(4)
    affine[:3, 0] = row * spacing[0, 1]
    affine[:3, 1] = column * spacing[0, 0]
    affine[:3, 2] = (positions[order[-1]] - positions[order[0]]) / (len(order) - 1)
    affine[:3, 3] = positions[order[0]]
    return order, affine


def _require_even(series: Series, order: list[int], positions: NDArray, along: NDArray) -> None:
    """Raise InputError unless the sorted slice positions (N, 3) [mm] form one even row."""
    gaps = np.diff(along)
    step = float(np.median(gaps))
    widest, narrowest = int(gaps.argmax()), int(gaps.argmin())
    if gaps[narrowest] < 1e-3:
        raise InputError(
            "CT series",
            expected="one slice at each place",
            found=f"{series.files[order[narrowest]].name} and {series.files[order[narrowest + 1]].name} at the same",
            remedy="keep one phase or reconstruction in the folder",
        )
    if gaps[widest] > 1.5 * step:
        before, after = (series.files[order[widest + n]].name for n in (0, 1))
        raise InputError(
            "CT series",
            expected=f"slices {step:g} mm apart",
            found=f"a gap of {gaps[widest]:g} mm between {before} and {after} (slices missing)",
            remedy="add the missing slices or export the series again",
        )
    even = positions[0] + np.linspace(0, 1, len(along))[:, None] * (positions[-1] - positions[0])
    if np.abs(positions - even).max() > _UNEVEN * step:
        raise InputError(
            "CT series",
            expected="evenly spaced slices",
            found=f"distances from {gaps.min():g} to {gaps.max():g} mm",
            remedy="resample the CT to even slices",
        )
