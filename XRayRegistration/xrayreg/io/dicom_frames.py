"""The stored values of a DICOM image's frames, for any transfer syntax, before any rescaling.

Uncompressed pixels are checked for their length and read here. Compressed ones are decoded by third-party decoders in
a process that can be terminated (`guarded`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from ..checks import InputError
from .decoders import decode_frames as decode
from .dicom_layout import PixelLayout, layout_of
from .dicom_parsing import quiet_pydicom
from .dicom_tags import TagReader, read_dataset, tag_text, unusable
from .guarded import GuardedError, decoded_apart

# More than this after the last frame is not padding.
_PADDING_BYTES = 1


def decode_frames(path: str | Path, frames: Sequence[int], what: str = "X-ray") -> NDArray:
    """Frames `frames` (from 0) of the DICOM file at `path`: (N, rows, columns) or (N, rows, columns, 3), as stored.

    Whole numbers in a type that holds BitsStored, with their sign; nothing is rescaled, inverted or windowed. Raises
    InputError naming `what` for a damaged or incomplete file and for frames it does not have.
    """
    dataset = read_dataset(path, what)
    pixels, _ = stored_frames(Path(path), dataset, frames, what)
    return pixels


def stored_frames(
    path: Path, dataset: pydicom.Dataset, frames: Sequence[int], what: str = "X-ray"
) -> tuple[NDArray, tuple[str, ...]]:
    """As `decode_frames`, for a file that was read as `dataset`, with a sentence on each anomaly."""
    layout = layout_of(TagReader(dataset), what)
    outside = [frame for frame in frames if not 0 <= frame < layout.frames]
    if outside:
        raise InputError(
            f"frame of {path.name}",
            expected=f"a number from 0 to {layout.frames - 1}",
            found=str(outside[0]),
            remedy="frames are counted from 0",
        )
    syntax = _transfer_syntax(dataset)
    if syntax.is_private or (syntax.is_transfer_syntax and syntax.is_compressed and syntax != RLELossless):
        raw = _decoded_apart(path, layout, syntax, frames, what)
        notes: tuple[str, ...] = ()
    else:
        raw, notes = _read(path, dataset, layout, syntax, frames, what)
    expected = (len(frames), layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if raw.shape != expected:
        raise _incomplete(path, f"decoded {_size(raw.shape)} where the header says {_size(expected)}", what)
    if layout.is_float:
        return raw, notes
    values, odd = significant_bits(raw, layout)
    return values, (*notes, *odd)


def significant_bits(raw: NDArray, layout: PixelLayout) -> tuple[NDArray, tuple[str, ...]]:
    """The BitsStored bits below HighBit of each value, with their sign; other bits may hold overlays.

    Raises InputError where values do not fit BitsStored and nothing states that the bits above hold something else.
    """
    stored, low = layout.bits_stored, layout.high_bit + 1 - layout.bits_stored
    if stored == layout.bits_allocated:
        return raw, ()
    wide = raw.astype(np.int64) & ((1 << layout.bits_allocated) - 1)
    notes: tuple[str, ...] = ()
    if low and not wide.max() >> stored:
        notes = (f"HighBit {layout.high_bit} contradicts the values, which lie in the lowest {stored} bits.",)
        low = 0
    values = (wide >> low) & ((1 << stored) - 1)
    if layout.signed:
        values -= (values >> (stored - 1)) << stored
    fits = bool((values << low == raw).all()) or (low > 0 and bool((wide >> low << low == wide).all()))
    if not fits and not low:
        if _jumps(values) > _jumps(raw.astype(np.int64)):
            raise InputError(
                f"DICOM BitsStored {tag_text('BitsStored')}",
                expected="as many bits as the values have",
                found=f"{stored}, and values up to {int(raw.max())}",
                remedy="export the image again",
            )
        notes += (f"Bits above the {stored} of the pixel values, such as overlays, were left out.",)
    return values.astype(np.int32 if stored > 16 or layout.signed else np.uint16), notes


def _jumps(values: NDArray) -> float:
    """Mean absolute difference of neighbours along rows; larger where upper bits of the values were removed."""
    return float(np.abs(np.diff(values, axis=2)).mean()) if values.shape[2] > 1 else 0.0


def _transfer_syntax(dataset: pydicom.Dataset) -> UID:
    """The transfer syntax of the pixels; that of the attributes where the file has no meta header."""
    meta = getattr(dataset, "file_meta", None)
    syntax = None if meta is None else TagReader(meta).value("TransferSyntaxUID")
    if isinstance(syntax, str):
        uid = UID(syntax, validation_mode=IGNORE)
        if not uid.is_valid:
            raise unusable("TransferSyntaxUID", "the name of a transfer syntax", syntax, "export the image again")
        return uid
    big = dataset.original_encoding[1] is False
    return ExplicitVRBigEndian if big else ExplicitVRLittleEndian


def _decoded_apart(path: Path, layout: PixelLayout, syntax: UID, frames: Sequence[int], what: str) -> NDArray:
    values = layout.rows * layout.columns * layout.samples * len(frames)
    arguments = {
        "path": str(path.resolve()),
        "frames": [int(frame) for frame in frames],
        "layout": asdict(layout),
        "syntax": str(syntax),
    }
    try:
        return decoded_apart(decode, arguments, values * layout.bits_allocated // 8)
    except GuardedError as error:
        reason = f"compressed as {syntax.name}: {str(error)[:200]}"
        raise _incomplete(path, reason, what, "export the image again, without compression") from error


def _read(
    path: Path, dataset: pydicom.Dataset, layout: PixelLayout, syntax: UID, frames: Sequence[int], what: str
) -> tuple[NDArray, tuple[str, ...]]:
    """Frames without compression (or run-length encoded, which Python itself decodes)."""
    data = TagReader(dataset).value(layout.element)
    if not isinstance(data, bytes):
        raise _incomplete(path, f"no bytes in {layout.element} {tag_text(layout.element)}", what)
    is_native = syntax != RLELossless
    if is_native:
        _require_length(path, len(data), dataset, layout, what)
    single = _pixels_alone(dataset, layout, syntax if syntax.is_transfer_syntax else ExplicitVRLittleEndian, data)
    try:
        with quiet_pydicom():
            several = layout.frames > 1
            images = [np.asarray(pixel_array(single, index=frame if several else None)) for frame in frames]
    except Exception as error:
        raise _incomplete(path, " ".join(str(error).split())[:200] or type(error).__name__, what) from error
    left = len(data) - layout.frame_bytes * layout.frames
    if is_native and left > _PADDING_BYTES:
        return np.stack(images), (f"{left} bytes behind the pixels were left out.",)
    return np.stack(images), ()


def _require_length(path: Path, found: int, dataset: pydicom.Dataset, layout: PixelLayout, what: str) -> None:
    """Raise InputError unless the pixel data hold exactly the frames that the header states."""
    one, announced = layout.frame_bytes, layout.frame_bytes * layout.frames
    if found < announced:
        raise _incomplete(path, f"{found} bytes of pixels instead of {announced}", what)
    if found - announced >= one:
        says = "no NumberOfFrames" if "NumberOfFrames" not in dataset else f"NumberOfFrames {layout.frames}"
        raise InputError(
            f"DICOM NumberOfFrames {tag_text('NumberOfFrames')}",
            expected=f"the {found // one} frames that the pixel data of {path.name} hold by their length",
            found=says,
            remedy="export the run again, or correct Rows, Columns and BitsAllocated if it is one image",
        )


def _pixels_alone(dataset: pydicom.Dataset, layout: PixelLayout, syntax: UID, data: bytes) -> Dataset:
    """A data set of only the pixels and their layout, so that no damaged attribute reaches pydicom's decoders."""
    alone = Dataset()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = syntax
    alone.Rows, alone.Columns, alone.SamplesPerPixel = layout.rows, layout.columns, layout.samples
    alone.PhotometricInterpretation, alone.NumberOfFrames = layout.photometric, layout.frames
    alone.BitsAllocated = layout.bits_allocated
    if layout.samples == 3:
        alone.PlanarConfiguration = int(layout.planar)
    if not layout.is_float:
        # The whole word: pydicom would take the sign from BitsStored, whereas the bits above are examined here.
        alone.BitsStored, alone.HighBit = layout.bits_allocated, layout.bits_allocated - 1
        alone.PixelRepresentation = int(layout.signed)
    setattr(alone, layout.element, data)
    if layout.element == "PixelData":
        stored = dataset.get_item("PixelData")
        alone["PixelData"].VR = "OB" if stored is not None and stored.VR == "OB" else "OW"
    return alone


def _incomplete(path: Path, reason: str, what: str, remedy: str = "export the image again") -> InputError:
    return InputError(what, expected="complete pixels", found=f"{path} ({reason})", remedy=remedy)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
