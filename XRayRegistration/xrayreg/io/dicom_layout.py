"""The storage layout of a DICOM image's pixels, validated before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import InputError
from .dicom_tags import TagReader, tag_text, unusable

# The largest digital detectors and stitched radiographs have some 30 million pixels.
MOST_PIXELS = 100_000_000
_REMEDY = "export the image again"
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420")
_FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True)
class PixelLayout:
    """Attributes of the Image Pixel module, checked for plausibility.

    element: the keyword of the attribute that holds the pixels; samples: values per pixel (1, or 3 for colours).
    high_bit: the position of a value's most significant bit; planar: whether colours are stored plane by plane.
    """

    element: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool

    @property
    def is_float(self) -> bool:
        """Whether the values are floating-point numbers."""
        return self.element in _FLOATS

    @property
    def frame_bytes(self) -> int:
        """The size of one frame without compression."""
        if self.photometric == "YBR_FULL_422":
            return self.rows * self.columns * 2
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


def layout_of(tags: TagReader, what: str = "X-ray") -> PixelLayout:
    """The layout of the pixels; raises InputError, naming the tag, for what is missing, contradictory or too large."""
    element = next((name for name in ("PixelData", *_FLOATS) if _holds(tags, name)), None)
    if element is None:
        raise InputError(
            what, expected="complete pixels", found=f"no PixelData {tag_text('PixelData')}", remedy=_REMEDY
        )
    rows, columns = image_size(tags)
    if rows * columns > MOST_PIXELS:
        raise InputError(
            what,
            expected=f"at most {MOST_PIXELS} pixels",
            found=f"{columns} x {rows} in Columns and Rows",
            remedy=_REMEDY,
        )
    photometric = tags.text("PhotometricInterpretation")
    kind = "" if photometric is None else photometric.value
    if kind not in (*_GREY, *_COLOURS):
        raise unusable("PhotometricInterpretation", "MONOCHROME1, MONOCHROME2 or RGB", kind or "none", _REMEDY)
    samples = tags.whole("SamplesPerPixel", 1, 3, 1 if kind in _GREY else None)
    if (samples == 1) != (kind in _GREY) or samples == 2:
        raise unusable("SamplesPerPixel", f"the count that {kind} has", samples, _REMEDY)
    allocated, stored, high, signed = _bits(tags, element)
    return PixelLayout(
        element=element,
        rows=rows,
        columns=columns,
        frames=frame_count(tags),
        samples=samples,
        photometric=kind,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=signed,
        planar=samples == 3 and tags.whole("PlanarConfiguration", 0, 1, 0) == 1,
    )


def image_size(tags: TagReader) -> tuple[int, int]:
    """Rows and columns of the stored image."""
    return tags.whole("Rows", 1, 65535), tags.whole("Columns", 1, 65535)


def frame_count(tags: TagReader) -> int:
    """The number of frames that the file states, 1 where it states none."""
    return tags.whole("NumberOfFrames", 1, 2**31 - 1, 1)


def _bits(tags: TagReader, element: str) -> tuple[int, int, int, bool]:
    """Bits allocated and stored, the high bit, and whether values are signed."""
    if element in _FLOATS:
        bits = _FLOATS[element]
        return bits, bits, bits - 1, True
    allocated = tags.whole("BitsAllocated", 1, 64)
    if allocated not in (8, 16, 32):
        raise unusable("BitsAllocated", "8, 16 or 32", allocated, _REMEDY)
    stored = tags.whole("BitsStored", 2, allocated)
    high = tags.whole("HighBit", stored - 1, allocated - 1, stored - 1)
    return allocated, stored, high, tags.whole("PixelRepresentation", 0, 1) == 1


def _holds(tags: TagReader, keyword: str) -> bool:
    # Looked up in the data set itself: accessing the value would read all pixels.
    return keyword in tags.dataset
