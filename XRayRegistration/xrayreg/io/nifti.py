"""NIfTI files, read and written with nibabel.

ITK corrects much of this format in silence: a pixdim of 0 becomes 1 mm, NaN becomes 0 (which is water), a truncated
file is filled up with zeros. nibabel raises, and the spacing is looked at in the header as it stands in the file.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ..checks import InputError, require_file
from ..pieces import Pieces, divisible
from ..scene.slabs import slabs
from .images import unreadable
from .results import replacing

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
# Voxels compressed between two pauses.
_COMPRESSED_AT_ONCE = 1 << 19
_DAMAGE = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error)


def is_nifti(path: Path) -> bool:
    """Whether the file's name is that of a NIfTI image."""
    return path.name.lower().endswith(_SUFFIXES)


def read_nifti(path: Path, what: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Values [..., k, j, i] in the stored type, or float32 where the file scales them, and ras_from_index (4, 4) [mm].

    Axes of length 1 beyond the third are dropped. Raises InputError naming `what` for a file that is missing, damaged,
    truncated, not of real numbers, or whose spacing is not positive or contradicts its affine.
    """
    require_file(path, what)
    try:
        header = _header(path)
        if header is not None:
            _require_positive_spacing(header)
        image: Any = nibabel.load(path, mmap=False)
        values = np.asarray(image.dataobj.get_unscaled())
    except InputError:
        raise
    except _DAMAGE as error:
        raise unreadable(path, what, error) from error
    if values.dtype.kind not in "iuf":
        raise InputError(
            what, expected="one real number per voxel", found=f"{path} of {values.dtype}", remedy="export it as scalars"
        )
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return _scaled(values.T, image.dataobj.slope, image.dataobj.inter), _affine(image.header)


@divisible
def write_nifti(path: Path, values: NDArray, ras_from_index: NDArray[np.float64]) -> Pieces[None]:
    """Write values [k, j, i] with ras_from_index (4, 4) [mm] in their own type; .nii.gz is compressed.

    Divisible. The file is replaced in one step at the end; where that is not reached an earlier one stays.
    """
    header = nibabel.Nifti1Image(values.T, ras_from_index).header
    header.set_xyzt_units("mm")
    with replacing(path) as temporary, temporary.open("wb") as plain, _packed(plain, path) as file:
        # Writes the offset of the values too, and that no extension follows.
        header.write_to(file)
        for slab in slabs(values.shape, _COMPRESSED_AT_ONCE if path.suffix == ".gz" else None):
            file.write(np.ascontiguousarray(values[slab], header.get_data_dtype()).tobytes())
            yield


def _packed(plain: BinaryIO, path: Path) -> AbstractContextManager[Any]:
    """The opened file, which compresses what is written to it where the name of `path` says so."""
    if path.suffix != ".gz":
        return nullcontext(plain)
    # More effort makes CTs hardly smaller.
    return gzip.GzipFile(path.name, "wb", compresslevel=1, fileobj=plain)


def _scaled(values: NDArray, slope: float, intercept: float) -> NDArray:
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if (slope, intercept) == (1.0, 0.0):
        return native
    scaled = native.astype(np.float32)
    scaled *= np.float32(slope)
    scaled += np.float32(intercept)
    return scaled


def _affine(header: Any) -> NDArray[np.float64]:
    to_mm = {"meter": 1e3, "micron": 1e-3}.get(header.get_xyzt_units()[0], 1.0)
    spacing = np.ones(3)
    zooms = header.get_zooms()[:3]
    spacing[: len(zooms)] = zooms
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        # No frame is stored; taken as ITK and Slicer take it: axes along L, P and S, the first voxel at the origin.
        return np.diag([*(spacing * [-1, -1, 1] * to_mm), 1.0])
    affine = header.get_best_affine()
    stored = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(stored - spacing).max() > 0.01 * spacing.min():
        raise InputError(
            "voxel spacing",
            expected="one spacing in the header",
            found=f"pixdim {_text(spacing)} and an affine of {_text(stored)}",
            remedy="save the file again from the program that shows it in the right size",
        )
    return np.diag([to_mm, to_mm, to_mm, 1.0]) @ affine


def _header(path: Path) -> nibabel.Nifti1Header | nibabel.Nifti2Header | None:
    """The header as stored, unrepaired; None where there is none (an Analyze file, or no image at all)."""
    path = path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path
    with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
        block = file.read(nibabel.Nifti2Header.sizeof_hdr)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        if kind.may_contain_header(block):
            return kind(block[: kind.sizeof_hdr], check=False)
    return None


def _require_positive_spacing(header: nibabel.Nifti1Header) -> None:
    spacing = header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(
            "voxel spacing",
            expected="millimetres above 0 along each axis",
            found=_text(spacing),
            remedy="correct pixdim in the file's header",
        )


def _text(spacing: NDArray) -> str:
    return " x ".join(f"{step:g}" for step in spacing)
