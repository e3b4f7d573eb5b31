"""Hounsfield units from the stored values of a volume's frames: padding, sign, rescaling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .series_frames import Frame
from .series_headers import damaged
from .series_pixels import PixelFormat, Wanted, format_of, stored_frames

# Number of frames of a large file that are read together; a compressed file is reopened for each such part.
_READ_AT_ONCE, _DECODED_AT_ONCE = 8, 64
# Value assigned to padding.
_AIR_HU = -1000
# The extended scale for metal ends at 30 710 HU; values outside this range are not CT numbers.
_LOWEST_HU, _HIGHEST_HU = -32768, 32767
# Declared 12-bit values that fall below this when read as signed are unsigned.
_LEAST_SIGNED_HU = -1100
# Upper limit for the median of the slice corners, which hold air [HU].
_DENSEST_CORNER_HU = 1000
# Value types of CT images: Hounsfield units, and modified ones of multi-energy images (DICOM PS3.3 C.11.1.1.2).
_HOUNSFIELD = ("", "HU", "HU_MOD")
_UNSPECIFIED = "US"


@dataclass(frozen=True, eq=False)
class Rescaled:
    """Values [k, j, i] of int16 where that holds them, else float32, and one sentence per decision."""

    values: NDArray
    notes: tuple[str, ...]


def values_of(frames: Sequence[Frame], is_ct: bool) -> Rescaled:
    """The values of `frames`, in the given order.

    is_ct: whether Hounsfield units are expected, unlike for other images (MR).
    Raises InputError for pixels that are damaged or incomplete, and for values that are not Hounsfield units.
    """
    notes = _require_one_scale(frames, is_ct)
    # First, as it refuses sizes that no image has.
    chunks = _chunks(frames)
    values = _room_for(frames)
    formats: list[PixelFormat] = []
    padded = 0
    for (numbers, wanted), stored in zip(chunks, stored_frames([wanted for _, wanted in chunks]), strict=True):
        pixels = wanted.pixels
        formats.append(pixels)
        for number, image in zip(numbers, stored, strict=True):
            frame = frames[number]
            used = _used_bits(image, pixels)
            made = _rescaled(used.numbers, frame)
            if is_ct:
                _require_possible(made, used, frame)
            if used.empty is not None and used.empty.any():
                padded += int(used.empty.sum())
                made[used.empty] = _AIR_HU if is_ct else made[~used.empty].min(initial=0)
            if values.dtype == np.int16 and not _fits(made):
                values = values.astype(np.float32)
            values[number] = made
    if padded:
        meaning = "air" if is_ct else "background"
        notes += (f"Padding (PixelPaddingValue), {padded / values.size:.2%} of the voxels, is read as {meaning}.",)
    if any(pixels.inverted for pixels in formats):
        notes += ("The slices are MONOCHROME1, to be shown inverted: that changes no values, and none were inverted.",)
    if is_ct:
        _require_air_outside(values, any(pixels.inverted for pixels in formats))
    return Rescaled(values, notes)


def _room_for(frames: Sequence[Frame]) -> NDArray[np.int16]:
    """Zeros [k, j, i] for the values of frames; raises InputError where their size is more than the memory holds."""
    rows, columns = frames[0].size
    try:
        return np.zeros((len(frames), rows, columns), np.int16)
    except MemoryError as error:
        found = f"{len(frames)} of {rows} x {columns}"
        raise damaged(frames[0].name, "Rows and Columns", "slices that fit into the memory", found) from error


def _chunks(frames: Sequence[Frame]) -> list[tuple[list[int], Wanted]]:
    """The frame numbers of each file, a few at a time, so that a large file is never in memory twice."""
    found: dict[int, list[int]] = {}
    for number, frame in enumerate(frames):
        found.setdefault(id(frame.file), []).append(number)
    chunks = []
    for numbers in found.values():
        file = frames[numbers[0]].file
        pixels = format_of(file)
        length = _DECODED_AT_ONCE if pixels.compressed else _READ_AT_ONCE
        for start in range(0, len(numbers), length):
            some = numbers[start : start + length]
            chunks.append((some, Wanted(file, pixels, tuple(frames[number].index for number in some))))
    return chunks


def _require_one_scale(frames: Sequence[Frame], is_ct: bool) -> tuple[str, ...]:
    """Notes on the stated value type; raises InputError unless it is the same for all frames."""
    types = Counter(frame.value_type for frame in frames)
    usual = types.most_common(1)[0][0]
    other = next((frame for frame in frames if frame.value_type not in (usual, "")), None)
    if other is not None:
        raise damaged(other.name, "RescaleType", usual or "none, as in the other slices", other.value_type)
    if is_ct and usual not in (*_HOUNSFIELD, _UNSPECIFIED):
        raise damaged(frames[0].name, "RescaleType", "HU (Hounsfield units)", usual)
    for frame in frames:
        if (frame.slope is None) != (frame.intercept is None):
            lacking = "RescaleSlope" if frame.slope is None else "RescaleIntercept"
            raise damaged(frame.name, lacking, "a number", "none")
        if frame.slope == 0:
            raise damaged(frame.name, "RescaleSlope", "a number other than 0", "0")
    bare = [frame for frame in frames if frame.slope is None]
    if bare and len(bare) < len(frames):
        few = bare[0] if 2 * len(bare) <= len(frames) else next(frame for frame in frames if frame.slope is not None)
        has = "none" if few.slope is None else "some, and none in other slices"
        raise damaged(few.name, "RescaleSlope", "RescaleSlope and RescaleIntercept in every slice or in none", has)
    notes: tuple[str, ...] = ()
    if usual == _UNSPECIFIED and is_ct:
        notes += ("RescaleType says that the unit of the values is unspecified; Hounsfield units were assumed.",)
    if bare and is_ct:
        notes += ("The slices have no RescaleSlope and RescaleIntercept: stored numbers are used as they are.",)
    return notes


@dataclass(frozen=True, eq=False)
class _Stored:
    """Stored values [j, i] of a frame, reduced to their used bits.

    empty: where there is padding, None where the file states none. sign_added: whether some values are read as negative
    although the bits above the used ones, to which most writers extend the sign, are not set.
    """

    numbers: NDArray
    empty: NDArray[np.bool_] | None
    sign_added: bool


def _used_bits(image: NDArray, pixels: PixelFormat) -> _Stored:
    used, sign_added = image, False
    if pixels.stored < pixels.allocated:
        # Unused bits may hold overlays: they are shifted out at the top and refilled with the sign, or with 0.
        used = (image << (pixels.allocated - 1 - pixels.high_bit)) >> (pixels.allocated - pixels.stored)
        sign_added = pixels.signed and bool(((used < 0) & (image >= 0)).any())
    if pixels.padding is None:
        return _Stored(used, None, sign_added)
    low, high = pixels.padding
    # Padding may need more bits than the values do.
    empty = (image >= low) & (image <= high) | (used >= low) & (used <= high)
    return _Stored(used, empty, sign_added)


def _rescaled(image: NDArray, frame: Frame) -> NDArray:
    """Stored values times the frame's slope plus its intercept, as int32 where that is exact."""
    slope, intercept = (1.0, 0.0) if frame.slope is None else (frame.slope, frame.intercept or 0.0)
    whole = slope == round(slope) and intercept == round(intercept)
    if whole and image.itemsize <= 2 and abs(slope) < 2**14 and abs(intercept) < 2**29:
        made = image.astype(np.int32)
        if slope != 1:
            made *= int(slope)
        if intercept:
            made += int(intercept)
        return made
    with np.errstate(over="ignore"):
        return (image * np.float64(slope) + intercept).astype(np.float32)


def _fits(values: NDArray) -> bool:
    return values.dtype.kind == "i" and bool(values.min() >= -32768 and values.max() <= 32767)


def _require_possible(values: NDArray, stored: _Stored, frame: Frame) -> None:
    """Raise InputError, naming the frame, for values [j, i] that are not Hounsfield units."""
    low, high = values.min(), values.max()
    if stored.empty is not None and not (low >= _LEAST_SIGNED_HU and high <= _HIGHEST_HU):
        values = values[~stored.empty]
        low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not (low >= _LOWEST_HU and high <= _HIGHEST_HU):
        raise InputError(
            f"values of {frame.name}",
            expected="Hounsfield units",
            found=f"{low:g} to {high:g} (signed numbers stored as unsigned, or padding that no attribute names?)",
            remedy="export the series again, or correct PixelRepresentation or PixelPaddingValue",
        )
    # Dense bone whose highest bit is misread as a sign becomes many different values far below air.
    if stored.sign_added and low < _LEAST_SIGNED_HU and np.unique(values[values < _LEAST_SIGNED_HU]).size > 10:
        raise InputError(
            f"values of {frame.name}",
            expected="Hounsfield units",
            found=f"many below air, down to {low:g} (unsigned numbers called signed?)",
            remedy="export the series again, or correct PixelRepresentation",
        )


def _require_air_outside(values: NDArray, inverted: bool) -> None:
    """Raise InputError where the slice corners, which lie outside the patient, are denser than bone."""
    rows, columns = (size // 20 + 1 for size in values.shape[1:])
    corners = [values[:, j, i] for j in (np.s_[:rows], np.s_[-rows:]) for i in (np.s_[:columns], np.s_[-columns:])]
    outside = float(np.median(np.concatenate([corner.ravel() for corner in corners])))
    if outside >= _DENSEST_CORNER_HU:
        raise InputError(
            "CT values",
            expected="air in the corners of the slices",
            found=f"{outside:g} HU there"
            + (" in slices called MONOCHROME1, so their grey levels are inverted" if inverted else ""),
            remedy="export the CT with bright bone"
            if inverted
            else "check PixelRepresentation, PixelPaddingValue and RescaleIntercept of the slices",
        )
