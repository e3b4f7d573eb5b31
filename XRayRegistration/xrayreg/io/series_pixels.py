"""Stored values of the frames of a volume; incomplete pixel data are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.encaps import generate_frames

from ..checks import InputError
from .decoders import decode_files
from .guarded import GuardedError, decoded_apart
from .series_frames import frame_count
from .series_headers import ImageFile, damaged, sentences, shortened

_PLAIN = {"1.2.840.10008.1.2": "<", "1.2.840.10008.1.2.1": "<", "1.2.840.10008.1.2.2": ">"}
_RUN_LENGTH = "1.2.840.10008.1.2.5"
# JPEG, JPEG-LS and JPEG 2000 code streams all end with this marker.
_END_OF_IMAGE = b"\xff\xd9"
# Starting a process takes as long as decoding tens of slices; its result is in memory in addition to the volume.
_DECODED_AT_ONCE = 64 << 20


@dataclass(frozen=True)
class PixelFormat:
    """How a file stores its pixels.

    allocated, stored, high_bit: bits of a number in the file, bits used, and the highest of those.
    padding: the least and the largest stored value that mean "no value here"; None where the file states none.
    """

    rows: int
    columns: int
    frames: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    inverted: bool
    syntax: str
    padding: tuple[int, int] | None

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame without compression."""
        return self.rows * self.columns * self.allocated // 8

    @property
    def compressed(self) -> bool:
        """Whether a decoder is needed."""
        return self.syntax not in _PLAIN

    @property
    def image(self) -> tuple[object, ...]:
        """The properties that frames in one array must share."""
        return self.compressed, self.rows, self.columns, self.allocated, self.signed

    def layout(self) -> dict[str, object]:
        """The format as an argument of `decoders`."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "frames": self.frames,
            "samples": 1,
            "bits_allocated": self.allocated,
            "bits_stored": self.stored,
            "high_bit": self.high_bit,
            "signed": self.signed,
        }

    def dtype(self) -> np.dtype:
        """Data type of the values in the file."""
        return np.dtype(f"{_PLAIN.get(self.syntax, '=')}{'i' if self.signed else 'u'}{self.allocated // 8}")


def format_of(file: ImageFile) -> PixelFormat:
    """How `file` stores its pixels; raises InputError for missing or impossible attributes and for colour images."""
    tags = file.tags()
    numbers: dict[str, int] = {}
    for keyword, low, high, usual in (
        ("Rows", 1, 65535, None),
        ("Columns", 1, 65535, None),
        ("SamplesPerPixel", 1, 1, 1),
        ("BitsAllocated", 8, 32, None),
        ("PixelRepresentation", 0, 1, None),
    ):
        value = tags.integer(keyword)
        value = usual if value is None else value
        if value is None or not low <= value <= high:
            allowed = f"a number from {low} to {high}" if low < high else str(low)
            raise damaged(file.name, keyword, allowed, "none" if value is None else str(value))
        numbers[keyword] = value
    allocated = numbers["BitsAllocated"]
    if allocated not in (8, 16, 32):
        raise damaged(file.name, "BitsAllocated", "8, 16 or 32", str(allocated))
    stored = tags.integer("BitsStored")
    stored = allocated if stored is None else stored
    if not 1 <= stored <= allocated:
        raise damaged(file.name, "BitsStored", f"1 to {allocated}", str(stored))
    high_bit = tags.integer("HighBit")
    high_bit = stored - 1 if high_bit is None else high_bit
    if not stored - 1 <= high_bit < allocated:
        raise damaged(file.name, "HighBit", f"{stored - 1} to {allocated - 1}", str(high_bit))
    photometric = tags.text("PhotometricInterpretation")
    if photometric.upper() not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise damaged(file.name, "PhotometricInterpretation", "grey values", photometric)
    return PixelFormat(
        numbers["Rows"],
        numbers["Columns"],
        frame_count(file),
        allocated,
        stored,
        high_bit,
        bool(numbers["PixelRepresentation"]),
        photometric.upper() == "MONOCHROME1",
        file.transfer_syntax,
        _padding(file, allocated, bool(numbers["PixelRepresentation"])),
    )


@dataclass(frozen=True, eq=False)
class Wanted:
    """Requested frames of one file, by their indices from 0."""

    file: ImageFile
    pixels: PixelFormat
    indices: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of these frames without compression."""
        return len(self.indices) * self.pixels.frame_bytes


def stored_frames(several: Sequence[Wanted]) -> Iterator[NDArray]:
    """The stored values (frames, rows, columns) of each request in turn, `allocated` bits each, as written.

    Raises InputError, naming the file, for pixels that are missing, truncated, more than the header states, or damaged.
    """
    for together in _batches(several):
        if together[0].pixels.compressed:
            yield from _decoded(together)
        else:
            yield _uncompressed(together[0])


def _batches(several: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Batches read or decoded at once: uncompressed frames of one file, compressed ones of several similar files."""
    batch: list[Wanted] = []
    for one in several:
        alike = batch and one.pixels.compressed and one.pixels.image == batch[0].pixels.image
        if batch and not (alike and sum(other.size for other in batch) + one.size <= _DECODED_AT_ONCE):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _decoded(several: list[Wanted]) -> Iterator[NDArray]:
    """Frames of compressed files, decoded in a process that can be terminated: third-party decoders may hang."""
    for one in {id(wanted.file): wanted for wanted in several}.values():
        _require_whole(one.file, one.pixels)
    requests = [
        {
            "path": str(one.file.path.resolve()),
            "frames": list(one.indices),
            "layout": one.pixels.layout(),
            "syntax": one.pixels.syntax,
        }
        for one in several
    ]
    try:
        made = decoded_apart(decode_files, {"files": requests}, sum(one.size for one in several))
    except GuardedError as error:
        names = several[0].file.name if len(several) == 1 else f"{several[0].file.name} to {several[-1].file.name}"
        raise InputError(
            f"pixels of {names}",
            expected="compressed pixels that can be decoded",
            found=shortened(str(error), 200),
            remedy="export the series again, without compression",
        ) from error
    pixels = several[0].pixels
    count = sum(len(one.indices) for one in several)
    if made.shape != (count, pixels.rows, pixels.columns):
        raise _incomplete(several[0].file, f"{count} x {pixels.rows} x {pixels.columns} pixels", str(made.shape))
    start = 0
    for one in several:
        yield made[start : start + len(one.indices)].astype(one.pixels.dtype().newbyteorder("="), copy=False)
        start += len(one.indices)


def _uncompressed(one: Wanted) -> NDArray:
    file, pixels, indices = one.file, one.pixels, one.indices
    expected = pixels.frames * pixels.frame_bytes
    offset, length = _place(file)
    # An odd number of bytes is padded to an even one.
    if length not in (expected, expected + expected % 2):
        raise _incomplete(file, f"{expected} bytes of pixels", f"{length}")
    shape = (pixels.rows, pixels.columns)
    made = np.zeros((len(indices), *shape), pixels.dtype().newbyteorder("="))
    try:
        with file.path.open("rb") as stream:
            for n, index in enumerate(indices):
                stream.seek(offset + index * pixels.frame_bytes)
                some = stream.read(pixels.frame_bytes)
                if len(some) != pixels.frame_bytes:
                    raise _incomplete(file, f"{expected} bytes of pixels", "an end before them")
                made[n] = np.frombuffer(some, pixels.dtype()).reshape(shape)
    except OSError as error:
        raise _incomplete(file, "pixels that can be read", str(error)) from error
    return made


def _place(file: ImageFile) -> tuple[int, int]:
    """Start of the pixels in the file and their stated length in bytes, 0 where it has none."""
    element = file.dataset.get_item("PixelData", keep_deferred=True) if "PixelData" in file.dataset else None
    return (element.value_tell, element.length) if isinstance(element, RawDataElement) else (0, 0)


def _padding(file: ImageFile, allocated: int, signed: bool) -> tuple[int, int] | None:
    """The range of padding values, signed where pixels are: writers disagree on the sign of these attributes."""
    one = _stored_number(file, "PixelPaddingValue")
    if one is None:
        return None
    other = _stored_number(file, "PixelPaddingRangeLimit")
    least = -(2 ** (allocated - 1)) if signed else 0
    low, high = sorted((number - least) % 2**allocated + least for number in (one, one if other is None else other))
    return low, high


def _stored_number(file: ImageFile, keyword: str) -> int | None:
    with sentences(file.name, keyword):
        value = file.top[keyword].value if keyword in file.top else None
    if isinstance(value, bytes) and len(value) == 2:
        # Where the header does not determine whether it is signed.
        order = "big" if _PLAIN.get(file.transfer_syntax) == ">" else "little"
        return int.from_bytes(value, order)  # type: ignore[arg-type]
    return file.tags().integer(keyword)


def _require_whole(file: ImageFile, pixels: PixelFormat) -> None:
    """Raise InputError where a frame's code stream is missing or truncated, which decoders silently fill in."""
    try:
        dataset = pydicom.dcmread(file.path, force=True)
        codes = list(generate_frames(dataset.PixelData, number_of_frames=pixels.frames))
    except Exception as error:
        raise _incomplete(file, "compressed pixels", " ".join(str(error).split())) from error
    if len(codes) != pixels.frames:
        raise _incomplete(file, f"{pixels.frames} compressed frames", str(len(codes)))
    if file.transfer_syntax != _RUN_LENGTH:
        for number, code in enumerate(codes):
            if not code.rstrip(b"\0").endswith(_END_OF_IMAGE):
                raise _incomplete(file, "whole compressed frames", f"frame {number} cut off")


def _incomplete(file: ImageFile, expected: str, found: str) -> InputError:
    return InputError(
        f"pixels of {file.name}", expected=expected, found=shortened(found), remedy="export the series again"
    )
