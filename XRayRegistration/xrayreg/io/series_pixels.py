"""Stored numbers of the frames of a volume, complete or not at all."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from ..checks import InputError
from .images import quiet_itk
from .series_frames import frame_count
from .series_headers import ImageFile, damaged, sentences, shortened

_PLAIN = {"1.2.840.10008.1.2": "<", "1.2.840.10008.1.2.1": "<", "1.2.840.10008.1.2.2": ">"}
_RUN_LENGTH = "1.2.840.10008.1.2.5"
# JPEG, JPEG-LS and JPEG 2000 code streams all end with this marker.
_END_OF_IMAGE = b"\xff\xd9"
# No reader rescales or inverts pixels of this storage class (secondary capture).
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class PixelFormat:
    """How a file stores its pixels.

    allocated, stored, high_bit: bits of a number in the file, bits used, and the highest of those.
    padding: the least and the largest stored number that stand for "no value here"; None where the file names none.
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

    def dtype(self) -> np.dtype:
        """Of the numbers in the file."""
        return np.dtype(f"{_PLAIN.get(self.syntax, '=')}{'i' if self.signed else 'u'}{self.allocated // 8}")


def format_of(file: ImageFile) -> PixelFormat:
    """How `file` stores its pixels; raises InputError for what is missing, impossible or no grey image."""
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
    photometric = tags.text("PhotometricInterpretation").upper()
    if photometric not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise damaged(file.name, "PhotometricInterpretation", "grey values", photometric)
    return PixelFormat(
        numbers["Rows"],
        numbers["Columns"],
        frame_count(file),
        allocated,
        stored,
        high_bit,
        bool(numbers["PixelRepresentation"]),
        photometric == "MONOCHROME1",
        file.transfer_syntax,
        _padding(file, allocated, bool(numbers["PixelRepresentation"])),
    )


def stored_frames(file: ImageFile, pixels: PixelFormat, indices: list[int]) -> NDArray:
    """The numbers (len(indices), rows, columns) of some frames of a file, `allocated` bits each, as written.

    Raises InputError, naming the file, for pixels that are missing, cut off, more than the header says, or damaged.
    """
    if pixels.compressed:
        return _decoded(file, pixels)[indices]
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
    """Where the pixels begin in the file and how many bytes it says they are, 0 where it has none."""
    element = file.dataset.get_item("PixelData", keep_deferred=True) if "PixelData" in file.dataset else None
    return (element.value_tell, element.length) if isinstance(element, RawDataElement) else (0, 0)


def _padding(file: ImageFile, allocated: int, signed: bool) -> tuple[int, int] | None:
    """The range of padding numbers, with a sign where pixels have one: writers disagree about that of attributes."""
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
        # Where the header leaves open whether it has a sign.
        order = "big" if _PLAIN.get(file.transfer_syntax) == ">" else "little"
        return int.from_bytes(value, order)  # type: ignore[arg-type]
    return file.tags().integer(keyword)


def _decoded(file: ImageFile, pixels: PixelFormat) -> NDArray:
    """All frames (frames, rows, columns) of a compressed file; the one place where decoders are called."""
    try:
        codes = _code_streams(file, pixels)
        made = np.stack([_decoded_frame(code, pixels) for code in codes])
    except InputError:
        raise
    except Exception as error:
        raise _incomplete(
            file, "compressed pixels that can be decoded", shortened(str(error).splitlines()[-1])
        ) from error
    if made.shape != (pixels.frames, pixels.rows, pixels.columns):
        raise _incomplete(file, f"{pixels.frames} x {pixels.rows} x {pixels.columns} pixels", str(made.shape))
    return made.astype(pixels.dtype(), copy=False)


def _code_streams(file: ImageFile, pixels: PixelFormat) -> list[bytes]:
    """One code stream per frame; raises InputError where one is missing or cut off."""
    dataset = pydicom.dcmread(file.path, force=True)
    codes = list(generate_frames(dataset.PixelData, number_of_frames=pixels.frames))
    if len(codes) != pixels.frames:
        raise _incomplete(file, f"{pixels.frames} compressed frames", str(len(codes)))
    if file.transfer_syntax != _RUN_LENGTH:
        for number, code in enumerate(codes):
            if not code.rstrip(b"\0").endswith(_END_OF_IMAGE):
                raise _incomplete(file, "whole compressed frames", f"frame {number} cut off")
    return codes


def _decoded_frame(code: bytes, pixels: PixelFormat) -> NDArray:
    single = _single_frame(code, pixels)
    try:
        return np.asarray(pixel_array(single))
    except (RuntimeError, NotImplementedError, AttributeError):
        # pydicom has no decoder for it here (JPEG lossless, mostly); ITK brings its own.
        with tempfile.TemporaryDirectory() as folder, quiet_itk():
            path = Path(folder, "frame.dcm")
            pydicom.dcmwrite(path, single, enforce_file_format=True)
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))[0])


def _single_frame(code: bytes, pixels: PixelFormat) -> Dataset:
    """A data set with nothing but one compressed frame and what a decoder has to know.

    Without the other attributes no reader inverts or rescales what it decodes.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(pixels.syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UID(_SECONDARY_CAPTURE)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.1")
    made.Rows, made.Columns, made.SamplesPerPixel = pixels.rows, pixels.columns, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = pixels.allocated, pixels.stored, pixels.high_bit
    made.PixelRepresentation = int(pixels.signed)
    made.PixelData = encapsulate([code])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def _incomplete(file: ImageFile, expected: str, found: str) -> InputError:
    return InputError(
        f"pixels of {file.name}", expected=expected, found=shortened(found), remedy="export the series again"
    )
