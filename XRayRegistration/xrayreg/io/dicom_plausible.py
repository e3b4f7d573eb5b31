"""Plausible X-ray geometry: values out of range are refused, values that contradict others are marked as assumed.

Ranges are wide, from dental and mini C-arms to linear accelerators and chest stands; they catch other units (metres,
centimetres) and damage, not unusual machines. Where two attributes contradict each other it is unknown which is wrong:
the image can be used, but no pose found with it is accepted.
"""

from __future__ import annotations

import numpy as np

from ..checks import InputError
from .dicom_tags import TagReader, TagValue, tag_text

# The origin of a number that the user supplied in place of the file's.
GIVEN = "given"
# Source to detector [mm]: mini C-arms have 350 to 450, angiography 900 to 1300, chest stands 1800, stereoscopic
# room-mounted systems 3600.
SID_MM = (300.0, 5000.0)
# Source to patient [mm]: regulations keep the skin at least 200 mm from the source (dental tubes a little less).
SOD_LEAST_MM = 100.0
# Pitch at the detector [mm]: 0.02 of dental sensors and mammography, 1.6 of binned portal images, reduced copies more.
PITCH_MM = (0.01, 8.0)
_MOST_UNEQUAL = 4.0
# Longer side of an image at the detector [mm]: long-leg and slot-scanned images reach 1800.
_LONGEST_MM = 2500.0
# An image with this many pixels is not a crop, and non-dental detectors are larger than this [mm].
_WHOLE_PX, _SMALLEST_MM, _SMALL_MODALITIES = 256, 60.0, ("IO", "PX")
# By how much an image may exceed detector or field (readout borders), and the smallest part of it that a zoom shows.
_LARGER, _ZOOM = 1.3, 1 / 8
# Off-axis distance of the central ray from the image centre, as a fraction of SID: 27 degrees.
_MOST_OFF_AXIS = 0.5
# From this factor on, two magnifications, or a magnification and a spacing, contradict each other.
_CONTRADICTION = 1.3
_OTHER_UNITS = ((1000.0, "metres"), (10.0, "centimetres"), (0.001, "micrometres"))
_REMEDY = 'correct it or give the view a "camera" in case.json'


def required_sid(tags: TagReader, given_mm: float | None = None) -> TagValue[float]:
    """The source-to-detector distance [mm], the one given or the file's.

    Raises InputError where there is none, and for an implausible one.
    """
    if given_mm is not None:
        sid: TagValue[float] | None = TagValue(given_mm, GIVEN)
        name = "SID that was given"
    else:
        sid = tags.positive("DistanceSourceToDetector")
        name = f"DICOM DistanceSourceToDetector {tag_text('DistanceSourceToDetector')}"
    if sid is None:
        raise InputError(
            name,
            expected="the source-to-detector distance in mm",
            found="none",
            remedy='give the view a "camera" in case.json',
        )
    if not SID_MM[0] <= sid.value <= SID_MM[1]:
        raise _out_of_range(name, sid.value, SID_MM)
    return sid


def require_plausible_pitch(pitch: TagValue[tuple[float, float]], rows: int, columns: int) -> None:
    """Raise InputError for an implausible detector pitch (between rows, between columns) [mm]."""
    name = f"pixel pitch at the detector ({pitch.origin})"
    for value in pitch.value:
        if not PITCH_MM[0] <= value <= PITCH_MM[1]:
            raise _out_of_range(name, value, PITCH_MM)
    if max(pitch.value) > _MOST_UNEQUAL * min(pitch.value):
        raise InputError(
            name,
            expected=f"sides that differ by at most a factor of {_MOST_UNEQUAL:g}",
            found="{:g} x {:g} mm".format(*pitch.value),
            remedy=_REMEDY,
        )
    longest = max(rows * pitch.value[0], columns * pitch.value[1])
    if longest > _LONGEST_MM:
        raise InputError(
            name,
            expected=f"an image of at most {_LONGEST_MM:g} mm",
            found=f"{longest:.0f} mm ({pitch.value[0]:g} mm for {columns} x {rows} pixels)",
            remedy=_REMEDY,
        )


def usable_sod(tags: TagReader, sid_mm: float) -> tuple[TagValue[float] | None, tuple[str, ...]]:
    """The source-to-isocentre (or patient) distance [mm], None where there is no plausible one, and the reason."""
    sod = tags.positive("DistanceSourceToIsocenter") or tags.positive("DistanceSourceToPatient")
    if sod is None:
        return None, ()
    if sod.value >= sid_mm:
        return None, (
            f"The source-to-patient distance {sod.value:g} mm is not below the SID {sid_mm:g} mm and was not used: one "
            "of the two is wrong.",
        )
    if sod.value < SOD_LEAST_MM:
        return None, (
            f"The source-to-patient distance {sod.value:g} mm is too short for a patient"
            f"{_unit(sod.value, (200, 3000))} and was not used; the SID {sid_mm:g} mm may be as wrong.",
        )
    return sod, ()


def contradictions(
    tags: TagReader,
    sid_mm: float,
    sod_mm: float | None,
    pitch_mm: tuple[float, float],
    size: tuple[int, int],
    principal_px: tuple[float, float],
) -> list[str]:
    """One sentence on each contradiction between numbers that is large enough to affect the pose.

    pitch_mm: (between rows, between columns); size: (rows, columns); principal_px: (column, row).
    """
    found = []
    height, width = (float(count * pitch) for count, pitch in zip(size, pitch_mm, strict=True))
    longest, shortest = max(height, width), min(height, width)
    for keyword, what in (
        ("PhysicalDetectorSize", "the detector"),
        ("DetectorActiveDimensions", "the active detector"),
        ("FieldOfViewDimensions", "the field of view"),
        ("FieldOfViewDimensionsInFloat", "the field of view"),
        ("IntensifierSize", "the image intensifier"),
    ):
        sides = tags.numbers(keyword)
        if sides is None or min(sides.value) <= 0:
            continue
        # A single number is a diameter, and the image is the circumscribed or the inscribed square.
        stated = float(max(sides.value))
        if not _ZOOM * stated <= longest <= _LARGER * stated:
            found.append(
                f"The pixel pitch makes the image {width:.4g} x {height:.4g} mm, but {what} has {stated:g} mm "
                f"({sides.origin}): one of the two is wrong."
            )
    modality = tags.text("Modality")
    may_be_small = max(size) < _WHOLE_PX or (modality is not None and modality.value in _SMALL_MODALITIES)
    if longest < _SMALLEST_MM and not may_be_small:
        found.append(
            f"The pixel pitch {pitch_mm[0]:g} mm makes the image only {longest:.3g} mm wide"
            f"{_unit(pitch_mm[0], (0.05, 1.0))}."
        )
    factor = tags.positive("EstimatedRadiographicMagnificationFactor")
    if factor is not None and factor.value < 1 / _CONTRADICTION:
        found.append(f"EstimatedRadiographicMagnificationFactor {factor.value:g} is below 1, which no X-ray has.")
    elif factor is not None and sod_mm is not None and _apart(factor.value, sid_mm / sod_mm):
        found.append(
            f"EstimatedRadiographicMagnificationFactor {factor.value:g} contradicts SID / SOD {sid_mm / sod_mm:.3f}: "
            "one of the distances is wrong."
        )
    off = [
        (at - (count - 1) / 2) * pitch
        for at, count, pitch in zip(principal_px, size[::-1], pitch_mm[::-1], strict=True)
    ]
    distance = float(np.hypot(off[0], off[1]))
    if distance > max(_MOST_OFF_AXIS * sid_mm, shortest):
        found.append(f"The central ray lies {distance:.0f} mm from the image's middle, which no detector allows.")
    return found


def _apart(first: float, second: float) -> bool:
    return max(first, second) > _CONTRADICTION * min(first, second)


def _out_of_range(name: str, value: float, allowed: tuple[float, float]) -> InputError:
    return InputError(
        name,
        expected="{:g} to {:g} mm".format(*allowed),
        found=f"{value:g} mm{_unit(value, allowed)}",
        remedy=_REMEDY,
    )


def _unit(value: float, usual: tuple[float, float]) -> str:
    """A guess at the unit that was used instead of millimetres."""
    for factor, name in _OTHER_UNITS:
        if usual[0] <= value * factor <= usual[1]:
            return f" ({name}?)"
    return ""
