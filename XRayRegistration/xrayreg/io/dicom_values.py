"""Interpretation of the stored values of a DICOM X-ray: rescaling, lookup tables, offsets and grey-scale polarity.

PixelIntensityRelationship refers to the stored values: LIN is proportional to the beam's intensity, LOG to its
logarithm, DISP was processed for display; a sign of +1 means that higher values are more X-rays (PS3.3 C.8.7.1.1.2,
C.8.11.3.1.2). XA images marked LOG may hold a modality lookup table that restores the intensity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..scene import IntensityKind, zero_of_counts
from .dicom_layout import PixelLayout
from .dicom_table import ModalityTable, modality_table
from .dicom_tags import TagReader, TagValue, unusable

_REMEDY = "export the image again"
# Modalities of radiographs, whose photometric interpretation shows bones bright.
_RADIOGRAPHS = ("CR", "DX", "MG", "IO", "PX", "RG")


@dataclass(frozen=True, eq=False)
class DicomValues:
    """Pixels of one frame and how to read them.

    pixels: float32, as recorded and rescaled by the file's modality transform, unless that would hide their meaning.
    kind, negated, zero, custom: see `radiograph_from_array`.
    offset: the pixel value that means no X-rays where an offset moved it below 0, else None.
    notes: a sentence on each decision.
    """

    pixels: NDArray[np.float32]
    kind: IntensityKind = "auto"
    negated: bool = False
    zero: float | None = None
    custom: tuple[IntensityKind, str] | None = None
    offset: float | None = None
    notes: tuple[str, ...] = ()

    def read_as(self, kind: IntensityKind) -> DicomValues:
        """The same pixels read as the given `kind`; an offset is still removed."""
        return self if kind == "auto" else replace(self, kind=kind, negated=False, zero=self.offset)


@dataclass(frozen=True)
class _Relation:
    """kind: LIN, LOG, DISP or "" for unknown; rising: whether higher stored values mean more X-rays, where known."""

    kind: str
    rising: bool | None
    origin: str


def values_of(tags: TagReader, stored: NDArray, layout: PixelLayout) -> DicomValues:
    """The values of one frame (rows, columns) or (rows, columns, 3) from its stored numbers.

    Raises InputError, naming the tag, for a modality transform that cannot be used.
    """
    relation = _relation(tags)
    table = None if layout.is_float else modality_table(tags, layout.signed)
    if table is None:
        return _rescaled(tags, stored, layout, relation)
    if relation.kind == "LIN":
        note = "The modality lookup table was not applied: it would bend what is proportional to the intensity."
        return _rescaled(tags, stored, layout, relation, (note,), as_stored=True)
    return _looked_up(tags, table.applied(stored), table, relation)


def _looked_up(tags: TagReader, pixels: NDArray, table: ModalityTable, relation: _Relation) -> DicomValues:
    """Values after a lookup table, which for LOG restores the intensity unless it is a straight line."""
    values = DicomValues(pixels.astype(np.float32), custom=_custom(tags))
    if not relation.kind:
        return replace(values, notes=(_UNKNOWN,))
    if relation.kind == "LOG" and not table.is_straight:
        # Without a sign the standard applies: the table's output is proportional to the intensity.
        brighter = relation.rising is None or relation.rising == table.is_rising
        note = (
            f"Pixel values: LOG ({relation.origin}), and a modality lookup table that leads back to the intensity; "
            "read as intensity."
        )
        return replace(values, kind="transmission", negated=not brighter, notes=(note,))
    brighter = (relation.rising is not False) == table.is_rising
    return replace(values, kind="attenuation", negated=brighter, notes=(_told(relation),))


def _rescaled(
    tags: TagReader,
    stored: NDArray,
    layout: PixelLayout,
    relation: _Relation,
    notes: tuple[str, ...] = (),
    *,
    as_stored: bool = False,
) -> DicomValues:
    """Values after slope and intercept, with the offsets due to these and to signed numbers removed."""
    slope, intercept = (1.0, 0.0) if as_stored else _rescaling(tags)
    pixels = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    counted_from = 0.0 if layout.is_float else zero_of_counts(stored)
    dark = slope * counted_from + intercept
    has_offset = float(pixels.min()) < 0 and (counted_from != 0 or intercept != 0 or slope < 0)
    values = DicomValues(pixels, custom=_custom(tags), offset=dark if has_offset and slope > 0 else None, notes=notes)
    brighter = relation.rising is not False
    if relation.kind == "LIN":
        if not brighter:
            top = _full_scale(stored, layout)
            zero = None if top is None else slope * top + intercept
            return replace(values, kind="transmission", negated=slope > 0, zero=zero, notes=(*notes, _told(relation)))
        zero = dark if dark != 0 or slope < 0 else None
        undone = () if dark == 0 else (_undone(dark),)
        return replace(
            values, kind="transmission", negated=slope < 0, zero=zero, notes=(*notes, _told(relation), *undone)
        )
    if relation.kind:
        reasons = (*notes, _told(relation))
        return replace(values, kind="attenuation", negated=brighter == (slope > 0), notes=reasons)
    if not has_offset:
        return replace(values, notes=(*notes, _UNKNOWN))
    undone = () if dark == 0 else (_undone(dark),)
    return replace(values, negated=slope < 0, zero=dark, notes=(*notes, _UNKNOWN, *undone))


_UNKNOWN = "DICOM does not tell how pixel values relate to X-rays; the histogram decided."


def _undone(dark: float) -> str:
    return f"Pixel values have an offset, which was undone: {dark:g} was taken for no X-rays."


def _told(relation: _Relation) -> str:
    direction = "fewer" if relation.rising is False else "more"
    return f"Pixel values: {relation.kind}, higher means {direction} X-rays ({relation.origin})."


def _relation(tags: TagReader) -> _Relation:
    """How stored values relate to X-rays; DISP without a sign is undetermined. XA images have no sign: all rise."""
    kind = tags.text("PixelIntensityRelationship") or TagValue("", "")
    sign = tags.number("PixelIntensityRelationshipSign")
    if sign is not None and sign.value not in (1, -1):
        raise unusable("PixelIntensityRelationshipSign", "1 or -1", sign.value, _REMEDY)
    if kind.value not in ("LIN", "LOG", "DISP") or (kind.value == "DISP" and sign is None):
        return _Relation("", None, "")
    return _Relation(kind.value, None if sign is None else sign.value > 0, kind.origin)


def _rescaling(tags: TagReader) -> tuple[float, float]:
    slope, intercept = tags.number("RescaleSlope"), tags.number("RescaleIntercept")
    if slope is not None and slope.value == 0:
        raise unusable("RescaleSlope", "a number other than 0", slope.value, _REMEDY)
    return 1.0 if slope is None else slope.value, 0.0 if intercept is None else intercept.value


def _full_scale(stored: NDArray, layout: PixelLayout) -> float | None:
    """The stored value of no X-rays where higher means fewer: the end of the scale, if values approach it."""
    if layout.is_float:
        return None
    top = 2.0 ** (layout.bits_stored - 1) - 1 if layout.signed else 2.0**layout.bits_stored - 1
    return top if float(stored.max()) > top / 2 else None


def _custom(tags: TagReader) -> tuple[IntensityKind, str] | None:
    """The interpretation of radiographs where the histogram is inconclusive: they are shown with bones bright."""
    modality, photometric = tags.text("Modality"), tags.text("PhotometricInterpretation")
    if modality is None or modality.value not in _RADIOGRAPHS or photometric is None:
        return None
    shape = tags.text("PresentationLUTShape")
    inverse = photometric.value == "MONOCHROME1"
    if shape is not None and shape.value in ("IDENTITY", "INVERSE") and (shape.value == "INVERSE") != inverse:
        return None
    reason = f"a radiograph in {photometric.value} shows bones bright"
    return ("transmission" if inverse else "attenuation"), reason
