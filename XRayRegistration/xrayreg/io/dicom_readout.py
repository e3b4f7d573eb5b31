"""From the detector to the stored pixels: field of view, quarter turns, flip, and the part of it that was stored.

The chain is that of PS3.3 C.8.19.6.4: the field of view is cropped from the detector's elements (FieldOfViewOrigin),
binned, rotated clockwise and flipped; the pixel data area of the result is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .dicom_tags import TagReader, unusable

# Tolerance for quarter turns [degrees]: angles are stored as decimal text or in single precision.
_QUARTER_DEG = 0.05
_UPRIGHT = 'turn the image upright and give the view a "camera" in case.json'


@dataclass(frozen=True)
class CentralRay:
    """pixel: (column, row) where the central ray meets the stored image; origin: its source, for display.

    assumed: one sentence where it could not be traced through the whole chain.
    """

    pixel: tuple[float, float]
    origin: str
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Area:
    """The pixel data area in the rotated and flipped field of view: its first pixel (row, column)."""

    row: float
    column: float
    is_told: bool


def readout(tags: TagReader) -> tuple[int, bool, bool]:
    """Clockwise quarter turns and the flip applied to the detector's image, and whether the file mentions them."""
    rotation, flip = tags.number("FieldOfViewRotation"), tags.text("FieldOfViewHorizontalFlip")
    degrees = 0.0 if rotation is None else rotation.value
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > _QUARTER_DEG:
        raise InputError(
            "DICOM FieldOfViewRotation (0018,7032)",
            expected="a multiple of 90 degrees",
            found=f"{degrees:g}",
            remedy=_UPRIGHT,
        )
    if flip is not None and flip.value not in ("YES", "NO"):
        raise unusable("FieldOfViewHorizontalFlip", "YES or NO", flip.value)
    return turns % 4, flip is not None and flip.value == "YES", rotation is not None or flip is not None


def central_ray(tags: TagReader, pitch_mm: tuple[float, float], rows: int, columns: int) -> CentralRay:
    """The intersection of the central ray with the stored image: `rows` x `columns` pixels of `pitch_mm` (same order).

    The detector's centre, or the projected isocentre, is traced through crop, rotation, flip and pixel data area;
    where the detector is not described, the centre of the field of view or of the image is used.
    """
    turns, flipped, _ = readout(tags)
    area = _pixel_data_area(tags)
    # Native size and pitch: before the quarter turns that swap rows and columns.
    native_pitch = pitch_mm[::-1] if turns % 2 else pitch_mm
    field = _field_pixels(tags, native_pitch) if area.is_told else None
    height, width = field or ((columns, rows) if turns % 2 else (rows, columns))
    element, origin = tags.numbers("DetectorElementSpacing", 2), tags.numbers("FieldOfViewOrigin", 2)
    if element is not None and min(element.value) <= 0:
        raise unusable("DetectorElementSpacing", "two numbers above 0", element.value.tolist())
    centre, source = _detector_centre(tags)
    assumed: tuple[str, ...] = ()
    if element is None or origin is None or centre is None:
        row, column, source = (height - 1) / 2, (width - 1) / 2, "the image's middle"
        if field is not None:
            source = "the middle of the field of view"
    else:
        offset = (centre + 0.5 - origin.value) * element.value / np.asarray(native_pitch) - 0.5
        row, column = float(offset[0]), float(offset[1])
    if field is None and (area.row or area.column) and (turns or flipped or source == "the image's middle"):
        assumed = ("The stored pixels are a part of a field of view of unknown size; the central ray was assumed.",)
    for _ in range(turns):
        row, column = column, height - 1 - row
        height, width = width, height
    column = width - 1 - column if flipped else column
    if assumed:
        return CentralRay(((columns - 1) / 2, (rows - 1) / 2), "the image's middle", assumed)
    return CentralRay((column - area.column, row - area.row), source)


def _pixel_data_area(tags: TagReader) -> _Area:
    """The part of the field of view that is stored; raises InputError where it was rotated once more."""
    angle = tags.number("PixelDataAreaRotationAngleRelativeToFOV")
    if angle is not None and abs(angle.value - 360 * round(angle.value / 360)) > _QUARTER_DEG:
        raise unusable("PixelDataAreaRotationAngleRelativeToFOV", "0 degrees", angle.value, _UPRIGHT)
    origin = tags.numbers("PixelDataAreaOriginRelativeToFOV", 2)
    if origin is None:
        return _Area(0.0, 0.0, False)
    return _Area(float(origin.value[0]), float(origin.value[1]), True)


def _field_pixels(tags: TagReader, native_pitch: tuple[float, ...]) -> tuple[float, float] | None:
    """Height and width of the field of view, before rotation, in stored pixels; None where it is unknown."""
    sides = tags.numbers("FieldOfViewDimensionsInFloat") or tags.numbers("FieldOfViewDimensions")
    if sides is None or min(sides.value) <= 0 or sides.value.size > 2:
        return None
    return float(sides.value[0] / native_pitch[0]), float(sides.value[-1] / native_pitch[1])


def _detector_centre(tags: TagReader) -> tuple[NDArray[np.float64] | None, str]:
    """Detector position (row, column), in elements between centres, that the central ray meets."""
    projected = tags.numbers("PositionOfIsocenterProjection", 2)
    if projected is not None:
        return projected.value, projected.origin
    element = tags.numbers("DetectorElementSpacing", 2)
    if element is None:
        return None, ""
    physical = tags.numbers("PhysicalDetectorSize", 2)
    if physical is not None:
        return physical.value / element.value / 2 - 0.5, f"the detector's middle, {physical.origin}"
    active = tags.numbers("DetectorActiveDimensions")
    if active is None:
        return None, ""
    start = tags.numbers("DetectorActiveOrigin", 2)
    first = np.zeros(2) if start is None else start.value
    return first + active.value / element.value / 2 - 0.5, f"the active detector's middle, {active.origin}"
