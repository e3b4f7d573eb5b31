"""The pixel pitch at the detector, from the best DICOM attribute available.

In order of preference: ImagerPixelSpacing, PixelSpacing (reverted where it was calibrated to the object), the size of
the field of view, the diameter of the image intensifier. All but the first give a warning.
"""

from __future__ import annotations

from ..checks import InputError
from .dicom_layout import image_size
from .dicom_tags import TagReader, TagValue, tag_text, unusable

_AT_OBJECT = ("GEOMETRY", "FIDUCIAL")
# Ratio of the two spacings that a magnification SID / SOD can explain (methods.md C6), and one that none can.
_MAGNIFIED, _POSSIBLE = (1.1, 2.0), (0.98, 3.0)

Pitch = tuple[TagValue[tuple[float, float]], tuple[str, ...], tuple[str, ...]]


def detector_pitch(tags: TagReader, sid_mm: float, sod_mm: float | None) -> Pitch:
    """Pitch (between rows, between columns) [mm] at the detector with its origin, warnings, and what was assumed.

    sid_mm, sod_mm: distances from the source to detector and object. Raises InputError when no attribute gives it.
    """
    imager, patient = _pair(tags, "ImagerPixelSpacing"), _pair(tags, "PixelSpacing")
    if imager is not None:
        return imager, *_compared(imager, patient)
    if patient is not None:
        return _from_pixel_spacing(tags, patient, sid_mm, sod_mm)
    return _from_field(tags)


def _pair(tags: TagReader, keyword: str) -> TagValue[tuple[float, float]] | None:
    found = tags.numbers(keyword, 2)
    if found is None or not found.value.any():
        return None
    if min(found.value) <= 0:
        raise unusable(keyword, "two numbers above 0", found.value.tolist())
    return TagValue((float(found.value[0]), float(found.value[1])), found.origin)


def _compared(
    imager: TagValue[tuple[float, float]], patient: TagValue[tuple[float, float]] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A warning where the two spacings differ; also an assumption where no magnification explains the difference."""
    if patient is None:
        return (), ()
    ratio = imager.value[0] / patient.value[0]
    if abs(ratio - 1) < 0.005:
        return (), ()
    meaning = (
        f"it is the spacing at the object ({ratio:.2f} times magnified)"
        if _MAGNIFIED[0] <= ratio <= _MAGNIFIED[1]
        else "the two contradict each other, check the geometry"
    )
    doubt = (
        f"PixelSpacing {patient.value[0]:g} mm differs from ImagerPixelSpacing {imager.value[0]:g} mm, "
        f"which is used: {meaning}."
    )
    return (doubt,), () if _POSSIBLE[0] <= ratio <= _POSSIBLE[1] else (doubt,)


def _from_pixel_spacing(
    tags: TagReader, patient: TagValue[tuple[float, float]], sid_mm: float, sod_mm: float | None
) -> Pitch:
    calibration = tags.text("PixelSpacingCalibrationType")
    if calibration is None or calibration.value not in _AT_OBJECT:
        doubt = (
            f"There is no ImagerPixelSpacing {tag_text('ImagerPixelSpacing')}; PixelSpacing {patient.value[0]:g} mm "
            "was taken as the pitch at the detector.",
        )
        # No attribute states DETECTOR geometry; where none states patient geometry either, it was assumed.
        return patient, doubt, doubt
    magnification, source = _magnification(tags, sid_mm, sod_mm)
    pitch = (patient.value[0] * magnification, patient.value[1] * magnification)
    warning = (
        f"PixelSpacing {patient.value[0]:g} mm was calibrated at the object ({calibration.value}); times {source} "
        f"{magnification:.3f} it gives {pitch[0]:.4g} mm at the detector."
    )
    return TagValue(pitch, f"{patient.origin} times {source}"), (warning,), ()


def _magnification(tags: TagReader, sid_mm: float, sod_mm: float | None) -> tuple[float, str]:
    if sod_mm is not None:
        return sid_mm / sod_mm, "SID / SOD"
    factor = tags.positive("EstimatedRadiographicMagnificationFactor")
    if factor is None:
        raise InputError(
            f"DICOM DistanceSourceToPatient {tag_text('DistanceSourceToPatient')}",
            expected="the distance at which PixelSpacing was calibrated, or ImagerPixelSpacing "
            f"{tag_text('ImagerPixelSpacing')}",
            found="neither",
            remedy='give the view a "camera" in case.json',
        )
    return factor.value, "EstimatedRadiographicMagnificationFactor"


def _from_field(tags: TagReader) -> Pitch:
    rows, columns = image_size(tags)
    field = tags.numbers("FieldOfViewDimensions") or tags.numbers("FieldOfViewDimensionsInFloat")
    diameter = tags.positive("IntensifierSize")
    if field is not None and min(field.value) > 0:
        if field.value.size > 2:
            raise unusable("FieldOfViewDimensions", "one or two numbers", field.value.tolist())
        # A single number is the diameter of a round field, which fills the longer side.
        pitch = (
            (field.value[0] / rows, field.value[1] / columns)
            if field.value.size == 2
            else (field.value[0] / max(rows, columns),) * 2
        )
        origin, what = field.origin, "the size of the field of view"
    elif diameter is not None:
        pitch = (diameter.value / max(rows, columns),) * 2
        origin, what = diameter.origin, "the diameter of the image intensifier"
    else:
        raise InputError(
            f"DICOM ImagerPixelSpacing {tag_text('ImagerPixelSpacing')}",
            expected="the pixel pitch at the detector",
            found="neither it nor PixelSpacing, field of view or intensifier size",
            remedy='give the view a "camera" in case.json',
        )
    found = (float(pitch[0]), float(pitch[1]))
    doubt = (f"The file has no pixel spacing; {found[0]:.4g} x {found[1]:.4g} mm was guessed from {what}.",)
    return TagValue(found, f"{origin} divided by the image size"), doubt, doubt
