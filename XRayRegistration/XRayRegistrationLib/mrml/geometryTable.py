"""The table in which an operator checks and corrects the geometry of an X-ray, one number with its origin per row."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from xrayreg.checks import InputError

if TYPE_CHECKING:
    from xrayreg.geometry import Projection

_INTENSITIES = ("auto", "transmission", "attenuation")
_NUMBER = r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"
# Beyond these the numbers are typing errors: a C-arm's distances [mm] and its detector's pixels [mm].
_MOST_MM, _LEAST_PITCH_MM, _MOST_PITCH_MM = 10000.0, 1e-3, 20.0


@dataclass(frozen=True)
class GeometryRow:
    """One number of the geometry table.

    key: what `setRow` takes. name, text, unit, origin: what the table shows. hint: what the number means and how it is
    written, or why it cannot be changed. choices: the texts that it can have, empty where it is typed.
    assumed: whether it was not measured although the result depends on it.
    """

    key: str
    name: str
    text: str
    unit: str
    origin: str
    hint: str
    editable: bool = True
    choices: tuple = ()
    assumed: bool = False


def rows(projection: Projection) -> tuple[GeometryRow, ...]:
    """The geometry table of a view's projection (a tuple of GeometryRow)."""
    return (*_distances(projection), *_carm(projection), *_image(projection))


def setRow(projection: Projection, key: str, text: str) -> Projection:
    """The projection with the row `key` of its table typed anew by an operator.

    The text that is shown already, entered again, confirms an assumed number. Raises InputError with a sentence for a
    text that makes no sense, KeyError for a row that does not exist or cannot be changed.
    """
    changed = _SETTERS[key](projection, text.strip())
    changed.camera()
    return changed


def remarks(projection: Projection) -> tuple[str, ...]:
    """Sentences for the operator on what the image's file leaves open and on decisions based on it."""
    return tuple(projection.origins[name] for name in ("doubts", "orientation") if projection.origins.get(name))


def _distances(projection: Projection) -> tuple[GeometryRow, ...]:
    origins, assumed = projection.origins, projection.assumptions
    width, height = projection.size
    pitch, isAssumed = origins.get("pixel pitch", ""), "pixel pitch" in assumed
    field = (width * projection.pixel_mm[0], height * projection.pixel_mm[1])
    return (
        GeometryRow(
            "sid",
            _("SID"),
            _text(projection.sid_mm),
            "mm",
            origins.get("SID", ""),
            _("Distance from the X-ray source to the detector."),
            assumed="SID" in assumed,
        ),
        GeometryRow(
            "pitch",
            _("Pixel pitch"),
            _text(*dict.fromkeys(projection.pixel_mm)),
            "mm",
            pitch,
            _("Distance between neighbouring pixels at the detector: between columns x between rows, or one number."),
            assumed=isAssumed,
        ),
        GeometryRow(
            "field",
            _("Image size"),
            _text(*field),
            "mm",
            pitch,
            _("Width x height of the image on the detector. It gives the pixel pitch."),
            assumed=isAssumed,
        ),
        GeometryRow(
            "size",
            _("Pixels"),
            _text(width, height),
            "",
            _("the image"),
            _("The image has this many pixels; load another one to change it."),
            editable=False,
        ),
        GeometryRow(
            "principal",
            _("Central ray"),
            _text(*projection.principal_px),
            "px",
            origins.get("central ray", ""),
            _("The pixel that the ray at right angles to the detector meets: column x row, from 0 at the top left."),
        ),
    )


def _carm(projection: Projection) -> tuple[GeometryRow, GeometryRow, GeometryRow]:
    origins = projection.origins
    return (
        GeometryRow(
            "primary",
            _("Primary angle"),
            _angleText(projection.primary_deg, _primaryWords()),
            "°",
            origins.get("angles", ""),
            _("LAO or RAO angle as the C-arm tells it, such as LAO 30. Empty where it is not known."),
        ),
        GeometryRow(
            "secondary",
            _("Secondary angle"),
            _angleText(projection.secondary_deg, _secondaryWords()),
            "°",
            origins.get("angles", ""),
            _("CRAN or CAUD angle as the C-arm tells it, such as CAUD 10. Empty where it is not known."),
        ),
        GeometryRow(
            "sod",
            _("SOD"),
            "" if projection.sod_mm is None else _text(projection.sod_mm),
            "mm",
            origins.get("SOD", ""),
            _("Distance from the X-ray source to the isocentre. Empty where it is not known."),
        ),
    )


def _image(projection: Projection) -> tuple[GeometryRow, GeometryRow, GeometryRow]:
    origins = projection.origins
    orientation = origins.get("orientation", "")
    canTurn = not projection.skew_px
    return (
        GeometryRow(
            "mirrored",
            _("Mirrored"),
            _mirrorings()[int(projection.mirrored)],
            "",
            origins.get("mirrored", orientation),
            _("Whether the stored image shows the patient as a mirror does. Check a side marker."),
            choices=_mirrorings(),
        ),
        GeometryRow(
            "turned",
            _("Turned"),
            _turns()[projection.quarter_turns],
            "",
            origins.get("quarter_turns", orientation),
            _("How far the stored image is turned counter-clockwise to be upright.")
            if canTurn
            else _("The camera is calibrated with skew, so its image cannot be turned."),
            editable=canTurn,
            choices=_turns(),
        ),
        GeometryRow(
            "intensity",
            _("Grey values"),
            _intensities()[_INTENSITIES.index(projection.intensity)],
            "",
            origins.get("intensity", ""),
            _("What is bright in the stored image."),
            choices=_intensities(),
        ),
    )


def _mirrorings() -> tuple[str, str]:
    return (_("no"), _("yes"))


def _turns() -> tuple[str, str, str, str]:
    return ("0°", "90°", "180°", "270°")


def _intensities() -> tuple[str, str, str]:
    return (_("automatic"), _("air is bright"), _("bone is bright"))


def _primaryWords() -> tuple[str, str]:
    return _("LAO"), _("RAO")


def _secondaryWords() -> tuple[str, str]:
    return _("CRAN"), _("CAUD")


def _text(*numbers: Any) -> str:
    """Numbers as the table shows them, exact enough to be typed again without moving anything by a tenth of a pixel."""
    return " x ".join(f"{number:.6g}" for number in numbers)


def _angleText(degrees: float | None, words: tuple[str, str]) -> str:
    if degrees is None:
        return ""
    return f"{words[0] if degrees >= 0 else words[1]} {abs(degrees):.6g}"


def _setSid(projection: Projection, text: str) -> Projection:
    sid = _between(_numbers(_("SID"), text, 1)[0], 1.0, _MOST_MM, _("SID"))
    _requireBetween(projection.sod_mm, sid)
    return _rescaled(projection, sid) if projection.scale_is_open else _changed(projection, sid_mm=sid)


def _setPitch(projection: Projection, text: str) -> Projection:
    numbers = _numbers(_("pixel pitch"), text, 1, 2)
    pitch = [_between(number, _LEAST_PITCH_MM, _MOST_PITCH_MM, _("pixel pitch")) for number in numbers]
    return _withPitch(projection, pitch[0], pitch[-1])


def _setField(projection: Projection, text: str) -> Projection:
    field = [_between(number, 1.0, _MOST_MM, _("image size")) for number in _numbers(_("image size"), text, 2)]
    return _withPitch(projection, field[0] / projection.size[0], field[1] / projection.size[1])


def _withPitch(projection: Projection, columns: float, rows: float) -> Projection:
    if not projection.scale_is_open:
        return _changed(projection, pixel_mm=(columns, rows))
    known = projection.pixel_mm
    sid = projection.sid_mm * sqrt(columns * rows / (known[0] * known[1]))
    _requireBetween(projection.sod_mm, sid)
    return _rescaled(projection, sid)


def _rescaled(projection: Projection, sidMm: float) -> Projection:
    """With a typed SID or pixel pitch of a camera that is calibrated but for these: the other one follows."""
    from xrayreg.geometry.projection import BY_HAND

    return projection.rescaled(sidMm, BY_HAND)


def _setPrincipal(projection: Projection, text: str) -> Projection:
    column, row = _numbers(_("central ray"), text, 2)
    # Far outside the image the beam would not meet the detector.
    reach = 10.0 * max(projection.size)
    return _changed(
        projection,
        principal_px=(
            _between(column, -reach, reach, _("central ray")),
            _between(row, -reach, reach, _("central ray")),
        ),
    )


def _setPrimary(projection: Projection, text: str) -> Projection:
    return _changed(projection, primary_deg=_angle(_("primary angle"), text, _primaryWords(), 360.0))


def _setSecondary(projection: Projection, text: str) -> Projection:
    return _changed(projection, secondary_deg=_angle(_("secondary angle"), text, _secondaryWords(), 90.0))


def _setSod(projection: Projection, text: str) -> Projection:
    if not text:
        return _changed(projection, sod_mm=None)
    sod = _between(_numbers(_("SOD"), text, 1)[0], 1.0, _MOST_MM, _("SOD"))
    _requireBetween(sod, projection.sid_mm)
    return _changed(projection, sod_mm=sod)


def _setMirrored(projection: Projection, text: str) -> Projection:
    mirrored = bool(_choice(_("mirrored"), text, _mirrorings()))
    return _byHand(projection.oriented(projection.quarter_turns, mirrored, ""), "mirrored")


def _setTurned(projection: Projection, text: str) -> Projection:
    turns = _choice(_("turned"), text, _turns())
    return _byHand(projection.oriented(turns, projection.mirrored, ""), "quarter_turns")


def _setIntensity(projection: Projection, text: str) -> Projection:
    return _changed(projection, intensity=_INTENSITIES[_choice(_("grey values"), text, _intensities())])


_SETTERS = {
    "sid": _setSid,
    "pitch": _setPitch,
    "field": _setField,
    "principal": _setPrincipal,
    "primary": _setPrimary,
    "secondary": _setSecondary,
    "sod": _setSod,
    "mirrored": _setMirrored,
    "turned": _setTurned,
    "intensity": _setIntensity,
}


def _changed(projection: Projection, **values: Any) -> Projection:
    from xrayreg.geometry.projection import BY_HAND

    return projection.changed(BY_HAND, **values)


def _byHand(projection: Projection, name: str) -> Projection:
    from xrayreg.geometry.projection import BY_HAND

    return replace(projection, origins={**projection.origins, name: BY_HAND})


def _numbers(name: str, text: str, *counts: Any) -> list[float]:
    """The numbers in a text such as "0.3 x 0.3 mm"; a comma inside a number is a decimal one, else it separates."""
    plain = re.sub(r"(?:mm|px|pixels|°|deg)\s*$", "", text.strip(), flags=re.IGNORECASE).strip()
    parts = re.split(r"\s*[x\u00d7;]\s*|\s*,?\s+|(?<=\.\d),|,(?=\d*\.)", plain)
    if len(parts) not in counts or not all(re.fullmatch(_NUMBER, part) for part in parts):
        expected = _("a number") if counts == (1,) else _("two numbers such as 0.3 x 0.3")
        raise InputError(name, expected=expected, found=text or _("nothing"), remedy=_("type it again"))
    return [float(part.replace(",", ".")) for part in parts]


def _angle(name: str, text: str, words: tuple[str, str], most: float) -> float | None:
    """Degrees, positive towards the first of `words`; None for an empty text."""
    if not text:
        return None
    sign, plain = 1.0, text
    for word, direction in zip(words, (1.0, -1.0), strict=True):
        if word.casefold() in text.casefold():
            sign, plain = direction, re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
    return _between(sign * _numbers(name, plain, 1)[0], -most, most, name)


def _requireBetween(sodMm: float | None, sidMm: float) -> None:
    """Raise InputError unless the isocentre lies between source and detector."""
    if sodMm is not None and sodMm >= sidMm:
        raise InputError(
            _("SOD"),
            expected=_("less than the SID of {sid:g} mm").format(sid=sidMm),
            found=f"{sodMm:g} mm",
            remedy=_("correct the one or the other"),
        )


def _choice(name: str, text: str, choices: tuple[str, ...]) -> int:
    folded = [choice.casefold() for choice in choices]
    if text.casefold() not in folded:
        raise InputError(name, expected=", ".join(choices), found=text or _("nothing"), remedy=_("choose one of them"))
    return folded.index(text.casefold())


def _between(number: float, low: float, high: float, name: str) -> float:
    if not low <= number <= high:
        raise InputError(
            name,
            expected=_("a number from {low:g} to {high:g}").format(low=low, high=high),
            found=f"{number:g}",
            remedy=_("check the unit and the decimal point"),
        )
    return number
