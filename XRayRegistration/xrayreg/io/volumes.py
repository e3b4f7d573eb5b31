"""CT volumes from files: NIfTI, NRRD, MetaImage, or a folder with a DICOM series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_file, require_regular
from ..geometry import VoxelGrid
from ..scene import Volume
from ..scene.ct_values import in_hounsfield
from .dicom_tags import is_dicom
from .headers import data_file_of, has_text_header, read_text_header
from .images import array_of, load, open_image
from .nifti import is_nifti, read_nifti
from .series import affine_of, read_series
from .series_headers import shortened
from .stored_data import require_stored

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Types that hold Hounsfield units in at most four bytes stay as they are; the others become float32.
_KEPT = (np.int8, np.uint8, np.int16, np.uint16, np.float32)
# From micro-CT of a bone to a whole body with its table; a CT's origin is the scanner's, at most a few metres away.
_LEAST_VOXEL_MM, _LARGEST_VOXEL_MM = 1e-3, 50.0
_LEAST_EXTENT_MM, _LARGEST_EXTENT_MM = 1.0, 5000.0
_FARTHEST_MM = 1e5
# Tolerance for directions rounded to six digits.
_RIGHT_ANGLE_DEG = 0.05


@dataclass(frozen=True, eq=False)
class StoredImage:
    """A scalar 3D image as stored: values [k, j, i], their grid in RAS, and notes and assumptions made on reading."""

    values: NDArray
    grid: VoxelGrid
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def read_volume(path: str | Path, series: str | None = None) -> Volume:
    """The CT at `path`: a NIfTI, NRRD or MetaImage file, or DICOM, a folder with a series or one multi-frame file.

    Values [k, j, i] keep integer types of up to 16 bits, all others become float32; they are converted to Hounsfield
    units where necessary (`scene.ct_values`). LPS of ITK and DICOM is converted to RAS here. Peak memory: twice the
    volume as stored, at most three times the volume in float32.
    series: which DICOM series of a folder, by description, number or SeriesInstanceUID (default: the longest CT).
    Raises InputError for a file that is missing, not an image, not 3D, not scalar, has one slice, a spacing that is not
    positive, an impossible geometry, missing slices, NaN, only air, or values that no CT has.
    """
    path = Path(path)
    require_file(path, "volume")
    if path.is_dir() or is_dicom(path):
        return volume_of(_stored_series(path, series))
    if series is not None:
        raise InputError(
            f'series "{shortened(series)}"',
            expected="a folder with DICOM series to choose from",
            found=f"the file {path}",
            remedy='leave out "series"',
        )
    return volume_of(open_grid(path, "volume"))


def _stored_series(path: Path, series: str | None) -> StoredImage:
    """A DICOM series of slices or frames; raises InputError also for an implausible grid."""
    read = read_series(path, series)
    nk, nj, ni = read.values.shape
    grid = VoxelGrid((ni, nj, nk), RAS_FROM_LPS @ read.lps_from_index)
    require_possible_size(grid, "volume")
    return StoredImage(read.values, grid, read.notes, read.assumed)


def volume_of(stored: StoredImage) -> Volume:
    """The CT of an image as stored, in Hounsfield units where possible; raises InputError as `Volume` does."""
    read = in_hounsfield(compact(stored.values))
    return Volume(read.values, stored.grid, notes=(*stored.notes, *read.notes), assumed=stored.assumed)


def open_grid(path: Path, what: str) -> StoredImage:
    """The scalar 3D image file at `path`, as stored.

    Raises InputError naming `what`, also for a format that does not hold the voxel size (TIFF, PNG, JPEG).
    """
    require_regular(path, what)
    if is_nifti(path):
        read = read_nifti(path, what)
        _require_scalar_3d(read.values.shape[::-1], 1, what)
        ni, nj, nk = read.values.shape[::-1]
        stored = StoredImage(read.values, VoxelGrid((ni, nj, nk), read.ras_from_index), read.notes)
    elif has_text_header(path):
        stored = _open_with_header(path, what)
    else:
        stored = _open_other(path, what)
    require_possible_size(stored.grid, what)
    return stored


def _open_with_header(path: Path, what: str) -> StoredImage:
    """A MetaImage or NRRD file."""
    # ITK opens it together with the header, and would block on a pipe.
    if (data := data_file_of(path)) is not None:
        require_regular(data, f"{what} data")
    reader = open_image(path, what)
    _require_scalar_3d(reader.GetSize(), reader.GetNumberOfComponents(), what)
    header = read_text_header(path, what)
    require_stored(header, path, what)
    for name, stated, read in (
        ("spacing", header.spacing, reader.GetSpacing()),
        ("origin", header.origin, reader.GetOrigin()),
    ):
        # Headers are text; ITK reads it in double precision.
        if stated is not None and not np.allclose(read, stated, rtol=1e-6, atol=1e-6):
            raise InputError(
                f"{what} {name}",
                expected=f"{' '.join(f'{x:g}' for x in stated)} as the header of {path.name} states",
                found=f"{' '.join(f'{x:g}' for x in read)} by its reader",
                remedy="correct the header, which names something twice or in a way that ITK does not read",
            )
    image = load(reader, what)
    assumed: tuple[str, ...] = ()
    if header.spacing is None:
        size = " x ".join(f"{x:g}" for x in image.GetSpacing())
        assumed = (f"The {what}'s file has no spacing: voxels of {size} mm were assumed.",)
    grid = VoxelGrid(image.GetSize(), RAS_FROM_LPS @ affine_of(image))
    notes = header.notes
    if (sheared := _sheared_degrees(grid)) > _RIGHT_ANGLE_DEG:
        notes = (*notes, f"The {what}'s axes are {sheared:.2g} degrees off right angles: kept as stored.")
    return StoredImage(array_of(image), grid, notes, assumed)


def _open_other(path: Path, what: str) -> StoredImage:
    """A multi-frame DICOM file; no other format is known to state its voxel geometry."""
    if not is_dicom(path):
        raise InputError(
            what,
            expected="a NIfTI, NRRD or MetaImage file (.nii, .nii.gz, .nrrd, .mha, .mhd) or a folder with DICOM slices",
            found=str(path),
            remedy="convert it, giving the spacing of its voxels (3D Slicer can)",
        )
    reader = open_image(path, what)
    _require_scalar_3d(reader.GetSize(), reader.GetNumberOfComponents(), what)
    image = load(reader, what)
    return StoredImage(array_of(image), VoxelGrid(image.GetSize(), RAS_FROM_LPS @ affine_of(image)))


def require_possible_size(grid: VoxelGrid, what: str) -> None:
    """Raise InputError for an implausible grid, whose length unit is probably not the millimetre."""
    spacing, extent = grid.spacing_mm, grid.spacing_mm * grid.shape
    if spacing.min() < _LEAST_VOXEL_MM or extent.max() < _LEAST_EXTENT_MM:
        hint = "if they are in metres, multiply spacing and origin by 1000"
    elif spacing.max() > _LARGEST_VOXEL_MM or extent.max() > _LARGEST_EXTENT_MM:
        hint = "if they are in micrometres, divide spacing and origin by 1000"
    elif np.abs(grid.centre).max() > _FARTHEST_MM:
        hint = "correct the origin in the file's header"
    else:
        return
    steps, sides = (" x ".join(f"{x:.4g}" for x in sizes) for sizes in (spacing, extent))
    raise InputError(
        f"{what} geometry",
        expected="lengths in millimetres that a patient or a part of one has",
        found=f"voxels of {steps} mm and {sides} mm in all, about {_text(grid.centre)}",
        remedy=hint,
    )


def _text(point: NDArray) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in point) + ")"


def _sheared_degrees(grid: VoxelGrid) -> float:
    """Largest deviation of the angles between the grid's axes from 90 degrees."""
    axes = grid.volume_from_index[:3, :3] / grid.spacing_mm
    return float(np.degrees(np.arcsin(np.clip(np.abs(axes.T @ axes - np.eye(3)).max(), 0, 1))))


def _require_scalar_3d(size: tuple[int, ...], components: int, what: str) -> None:
    if components != 1:
        raise InputError(
            what,
            expected="one value per voxel",
            found=f"{components} (a vector, colour or layered image)",
            remedy="export it as a scalar volume or a single label map",
        )
    if len(size) > 3:
        raise InputError(
            what,
            expected="a 3D image",
            found=" x ".join(map(str, size)),
            remedy="extract one time point",
        )
    if len(size) < 3 or min(size) < 2:
        raise InputError(
            what,
            expected="at least two slices",
            found=" x ".join(map(str, size)),
            remedy="name the whole CT (for DICOM the folder of the series), not one image of it",
        )


def compact(values: NDArray) -> NDArray:
    """The values in the smallest type that holds Hounsfield units."""
    if values.dtype in _KEPT:
        return values
    # GDCM widens 16-bit data with an intercept to 32 bits although Hounsfield units fit.
    limits = np.iinfo(np.int16)
    if values.dtype.kind in "iu" and limits.min <= values.min() and values.max() <= limits.max:
        return values.astype(np.int16)
    return values.astype(np.float32)
