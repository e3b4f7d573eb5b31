"""X-rays from files that hold no geometry: pictures (TIFF, PNG, JPEG) and medical formats (NIfTI, NRRD, MetaImage)."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..checks import InputError
from .dicom_layout import MOST_PIXELS
from .images import load, open_image, unreadable
from .nifti import is_nifti, read_nifti

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GREY_ALPHA = 4  # PNG's colour type
_RGBA = 6
_TRANSPARENCY = "The picture's transparency was left out."


def stored_picture(path: Path, frame: int | None) -> tuple[NDArray, tuple[str, ...]]:
    """One image [row, column] or [row, column, channel] of a file, as stored, and a sentence on omitted content.

    Raises InputError for a file that is damaged, truncated or not an image, and for a run without a frame.
    """
    if is_nifti(path):
        values = read_nifti(path, "X-ray").values
        _require_run(values.shape[::-1])
        run = values if values.ndim == 3 else values[None]
        return run[chosen_frame(path, len(run), frame)], ()
    start = _first_bytes(path, 33)
    if start.startswith(_PNG) and start[25:26] == bytes([_GREY_ALPHA]):
        chosen_frame(path, 1, frame)
        return _grey_of_png(path, start[24]), (_TRANSPARENCY,)
    if start.startswith(_JPEG):
        chosen_frame(path, 1, frame)
        return _jpeg(path), ()
    reader = open_image(path, "X-ray")
    size = reader.GetSize()
    _require_run(size)
    _require_small(path, size[0], size[1])
    chosen = chosen_frame(path, size[2] if len(size) == 3 else 1, frame)
    if len(size) == 3:
        reader.SetExtractSize([size[0], size[1], 0])
        reader.SetExtractIndex([0, 0, chosen])
    return sitk.GetArrayFromImage(load(reader, "X-ray")), ()


def chosen_frame(path: Path, frames: int, frame: int | None) -> int:
    """The frame to read of `frames`, from 0; raises InputError for None of several and for one out of range."""
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


def _grey_of_png(path: Path, bits: int) -> NDArray:
    """The grey values of a PNG with grey and alpha, which ITK does not read.

    Pillow reads only 8 of 16 bits from such a file. Its pixels have the same layout as 8-bit RGBA, four bytes each,
    and are read as such.
    """
    data = path.read_bytes()
    if bits != 16:
        return _opened(path, data, ("LA",))[..., 0]
    header = bytearray(data[12:29])
    header[12], header[13] = 8, _RGBA
    as_colours = data[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + data[33:]
    pixels = _opened(path, as_colours, ("RGBA",)).astype(np.uint16)
    return (pixels[..., 0] << 8) | pixels[..., 1]


def _jpeg(path: Path) -> NDArray:
    """The pixels of a JPEG picture. ITK would fill in the missing part of a truncated one."""
    data = path.read_bytes()
    # The end of the image, after which anything may follow.
    if b"\xff\xd9" not in data[data.rfind(b"\xff\xda") :]:
        raise unreadable(path, "X-ray", OSError("the file is cut off"))
    return _opened(path, data, ("L", "RGB"))


def _opened(path: Path, data: bytes, modes: tuple[str, ...]) -> NDArray:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            _require_small(path, *picture.size)
            if picture.mode not in modes:
                raise unreadable(path, "X-ray", ValueError(f"a picture of the kind {picture.mode}"))
            return np.array(picture)
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        SyntaxError,
        struct.error,
        zlib.error,
        EOFError,
        Image.DecompressionBombError,
    ) as error:
        what = OSError("no picture that Pillow knows") if isinstance(error, UnidentifiedImageError) else error
        raise unreadable(path, "X-ray", what) from error


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise unreadable(path, "X-ray", error) from error


def _require_small(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"X-ray {path.name}",
            expected=f"at most {MOST_PIXELS} pixels",
            found=f"{width} x {height}",
            remedy="check the file",
        )


def _require_run(size: tuple[int, ...]) -> None:
    if len(size) not in (2, 3):
        raise InputError(
            "X-ray", expected="an image or a run of images", found=" x ".join(map(str, size)), remedy="export one image"
        )
