"""NIfTI files: nibabel unpacks the header, which is checked as stored; the frame is the one that ITK uses.

ITK silently corrects much in this format: a pixdim of 0 becomes 1 mm, NaN becomes 0 (which is water), a truncated
file is filled up with zeros. nibabel may use the other of the two frames that a header can hold (`nifti_frames`),
ignores an intercept without a slope, and does not verify the checksum of a compressed file.
"""

from __future__ import annotations

import gzip
import math
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ..checks import InputError, require_regular
from ..slabs import slabs
from .images import unreadable
from .nifti_frames import frame_of, require_positive_spacing
from .results import replacing
from .stored_data import AT_ONCE, LARGEST_RATIO

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
# Number of voxels compressed at a time.
_COMPRESSED_AT_ONCE = 1 << 19
_DAMAGE = (ImageFileError, HeaderDataError, OSError, EOFError, MemoryError, OverflowError, ValueError, zlib.error)


def is_nifti(path: Path) -> bool:
    """Whether the file name has the suffix of a NIfTI image."""
    return path.name.lower().endswith(_SUFFIXES)


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """A NIfTI image: values [..., k, j, i], ras_from_index (4, 4) [mm], and one sentence per decision."""

    values: NDArray
    ras_from_index: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def read_nifti(path: Path, what: str) -> NiftiImage:
    """The image with values in the stored type, or float32 where the file scales them, in the frame that ITK uses.

    Axes of length 1 beyond the third are dropped. Raises InputError naming `what` for a file that is missing, not a
    regular file, damaged (including a gzip checksum mismatch), truncated, not of real numbers, or whose geometry is
    impossible (`nifti_frames`). No memory is allocated before the file is known to be large enough.
    """
    require_regular(path, what)
    try:
        header = _header(require_regular(_header_file(path), what))
        if header is None:
            raise InputError(
                what,
                expected="an image that can be read",
                found=f"{path}, which has no NIfTI header",
                remedy="check the file's format and that it is complete (Analyze files do not tell left from right)",
            )
        shape = _shape(header, path, what)
        require_positive_spacing(header)
        values = _stored(_data_file(path), header, shape, what)
    except InputError:
        raise
    except _DAMAGE as error:
        raise unreadable(path, what, error) from error
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    frame = frame_of(header, what)
    slope, intercept, notes = _scaling(header, what)
    return NiftiImage(_scaled(values, slope, intercept), frame.ras_from_index, (*frame.notes, *notes))


def write_nifti(path: Path, values: NDArray, ras_from_index: NDArray[np.float64]) -> None:
    """Write values [k, j, i] with ras_from_index (4, 4) [mm] in their data type; .nii.gz is compressed.

    The file is replaced in one step at the end; until then an earlier one stays.
    """
    header = nibabel.Nifti1Image(values.T, ras_from_index).header
    header.set_xyzt_units("mm")
    with replacing(path) as temporary, temporary.open("wb") as plain, _packed(plain, path) as file:
        # Also writes the offset of the values, and that no extension follows.
        header.write_to(file)
        for slab in slabs(values.shape, _COMPRESSED_AT_ONCE if path.suffix == ".gz" else None):
            file.write(np.ascontiguousarray(values[slab], header.get_data_dtype()).tobytes())


def _packed(plain: BinaryIO, path: Path) -> AbstractContextManager[Any]:
    """The opened file, which compresses what is written to it where the suffix of `path` requires it."""
    if path.suffix != ".gz":
        return nullcontext(plain)
    # Higher compression levels make CTs hardly smaller.
    return gzip.GzipFile(path.name, "wb", compresslevel=1, fileobj=plain)


def _scaled(values: NDArray, slope: float, intercept: float) -> NDArray:
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    if (slope, intercept) == (1.0, 0.0):
        return native
    scaled = native.astype(np.float32)
    scaled *= np.float32(slope)
    scaled += np.float32(intercept)
    return scaled


def _header(path: Path) -> Any:
    """The header as stored, unrepaired; None where there is none (an Analyze file, or not an image)."""
    with _opened(path) as file:
        block = file.read(nibabel.Nifti2Header.sizeof_hdr)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        if kind.may_contain_header(block):
            return kind(block[: kind.sizeof_hdr], check=False)
    return None


def _opened(path: Path) -> Any:
    """The file's content, decompressed where it is compressed, regardless of its suffix."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def _header_file(path: Path) -> Path:
    return path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path


def _data_file(path: Path) -> Path:
    return path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path


def _shape(header: Any, path: Path, what: str) -> tuple[int, ...]:
    """Voxels along each axis (i, j, k, ...)."""
    dim = [int(size) for size in header["dim"]]
    if not (1 <= dim[0] <= 7 and min(dim[1 : 1 + dim[0]]) >= 1):
        raise InputError(
            what,
            expected="1 to 7 axes of at least one voxel",
            found=f"dim {' '.join(map(str, dim))} in {path}",
            remedy="check that the file is complete, or save it again",
        )
    return tuple(dim[1 : 1 + dim[0]])


def _stored(path: Path, header: Any, shape: tuple[int, ...], what: str) -> NDArray:
    """The values [..., k, j, i] as stored."""
    code = int(header["datatype"])
    try:
        kind = header.get_data_dtype()
    except KeyError as error:
        raise InputError(
            what,
            expected="a data type that NIfTI knows",
            found=f"{path} with the datatype {code}",
            remedy="check that the file is not damaged, or save it again",
        ) from error
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise InputError(
            what, expected="one real number per voxel", found=f"{path} of {kind}", remedy="export it as scalars"
        )
    require_regular(path, what)
    offset = float(header["vox_offset"])
    least = header.sizeof_hdr if path.suffix.lower() != ".img" else 0
    if not (offset.is_integer() and least <= offset < 1 << 40):
        raise ValueError(f"the voxels cannot begin at byte {offset:g}")
    needed = math.prod(shape) * kind.itemsize
    with _opened(path) as file:
        _require_room(path, int(offset) + needed, isinstance(file, gzip.GzipFile))
        file.seek(int(offset))
        content = np.empty(needed, np.uint8)
        filled = 0
        while filled < needed:
            count = file.readinto(content.data[filled : filled + AT_ONCE])
            if not count:
                raise EOFError(f"{needed - filled} of {needed} bytes of voxels are missing")
            filled += count
        if isinstance(file, gzip.GzipFile):
            _verify_checksum(file, needed)
    return content.view(kind).reshape(shape[::-1])


def _require_room(path: Path, needed: int, packed: bool) -> None:
    """Raise EOFError where a file of this size cannot hold the needed bytes."""
    size = path.stat().st_size
    if needed > size * (LARGEST_RATIO if packed else 1) + AT_ONCE * packed:
        raise EOFError(f"its header asks for {needed} bytes, the file has {size}{' (packed)' if packed else ''}")


def _verify_checksum(file: gzip.GzipFile, needed: int) -> None:
    """Read to the end, where gzip's checksum is; nibabel stops before it."""
    further = 0
    while part := file.read(AT_ONCE):
        further += len(part)
        if further > needed + AT_ONCE:
            raise ValueError("much more follows than the voxels that its header names")


def _scaling(header: Any, what: str) -> tuple[float, float, tuple[str, ...]]:
    """Slope and intercept as ITK reads them (non-finite becomes 0, a slope of 0 becomes 1), and notes."""
    stored = float(header["scl_slope"]), float(header["scl_inter"])
    slope, intercept = (x if math.isfinite(x) else 0.0 for x in stored)
    if slope == 0 and intercept != 0:
        note = (
            f"The {what}'s scl_slope is {stored[0]:g} beside an intercept of {intercept:g}: the intercept was added,"
            " as ITK and Slicer do; nibabel ignores it."
        )
        return 1.0, intercept, (note,)
    return slope or 1.0, intercept, ()
