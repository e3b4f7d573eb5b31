"""CT volumes from files: NIfTI, NRRD, MetaImage, or a folder with a DICOM series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_file
from ..geometry import VoxelGrid
from ..scene import Volume
from .dicom_tags import is_dicom
from .headers import require_positive_spacing
from .images import array_of, load, open_image
from .nifti import is_nifti, read_nifti
from .series import affine_of, read_series
from .series_headers import printable

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Types that hold Hounsfield units in at most four bytes stay as they are; the others become float32.
_KEPT = (np.int8, np.uint8, np.int16, np.uint16, np.float32)


def read_volume(path: str | Path, series: str | None = None) -> Volume:
    """The CT at `path`: a NIfTI, NRRD or MetaImage file, or DICOM, a folder with a series or one multi-frame file.

    Values [k, j, i] keep integer types of up to 16 bits, everything else becomes float32. LPS of ITK and DICOM is
    turned into RAS here. Peak memory: twice the volume as stored, at most three times the volume in float32.
    series: which DICOM series of a folder, by description, number or SeriesInstanceUID (default: the longest CT).
    Raises InputError for what is missing, not an image, not 3D, not scalar, has one slice, a spacing that is not
    positive, missing slices, NaN, or only air.
    """
    path = Path(path)
    require_file(path, "volume")
    if path.is_dir() or is_dicom(path):
        read = read_series(path, series)
        nk, nj, ni = read.values.shape
        grid = VoxelGrid((ni, nj, nk), RAS_FROM_LPS @ read.lps_from_index)
        return Volume(read.values, grid, notes=read.notes, assumed=read.assumed)
    if series is not None:
        raise InputError(
            f'series "{printable(series)}"',
            expected="a folder with DICOM series to choose from",
            found=f"the file {path}",
            remedy='leave out "series"',
        )
    values, grid = open_grid(path, "volume")
    return Volume(compact(values), grid)


def open_grid(path: Path, what: str) -> tuple[NDArray, VoxelGrid]:
    """The values [k, j, i] of a scalar 3D image file, as stored, and its grid in RAS.

    Raises InputError naming `what`.
    """
    if path.is_file() and is_nifti(path):
        values, ras_from_index = read_nifti(path, what)
        _require_scalar_3d(values.shape[::-1], 1, what)
        ni, nj, nk = values.shape[::-1]
        return values, VoxelGrid((ni, nj, nk), ras_from_index)
    reader = open_image(path, what)
    require_positive_spacing(path)
    _require_scalar_3d(reader.GetSize(), reader.GetNumberOfComponents(), what)
    image = load(reader, what)
    return array_of(image), VoxelGrid(image.GetSize(), RAS_FROM_LPS @ affine_of(image))


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
    """The values in as few bytes as hold Hounsfield units."""
    if values.dtype in _KEPT:
        return values
    # GDCM widens 16-bit data with an intercept to 32 bits although Hounsfield units fit.
    limits = np.iinfo(np.int16)
    if values.dtype.kind in "iu" and limits.min <= values.min() and values.max() <= limits.max:
        return values.astype(np.int16)
    return values.astype(np.float32)
