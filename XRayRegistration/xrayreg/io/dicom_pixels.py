"""The pixels of a DICOM X-ray: one frame as recorded, the meaning of its values, and the area open to the beam."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ..scene import IntensityKind
from .dicom_frames import stored_frames
from .dicom_layout import image_size, layout_of
from .dicom_tags import TagReader
from .dicom_values import DicomValues, values_of

_SHAPES = ("RECTANGULAR", "CIRCULAR", "POLYGONAL")
# Limits of blades and of corners per blade; more indicate damage, and would take minutes.
_MOST_SHAPES, _MOST_VERTICES = 16, 500


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One frame of a DICOM X-ray as stored.

    values: the pixels and their meaning. open_area: (rows, columns), inside shutter and collimator.
    notes: a sentence on each of these.
    """

    values: DicomValues
    open_area: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def pixels(self) -> NDArray[np.float32]:
        """float32 (rows, columns) or (rows, columns, 3), rescaled by the file's modality transform."""
        return self.values.pixels

    def reading(self, intensity: IntensityKind) -> dict[str, Any]:
        """Arguments of `radiograph_from_array` for these pixels; an `intensity` other than "auto" overrides DICOM."""
        values = self.values.read_as(intensity)
        return {
            "intensity": values.kind,
            "negated": values.negated,
            "zero": values.zero,
            "custom": values.custom,
            "open_area": self.open_area,
        }


def dicom_image(path: Path, dataset: pydicom.Dataset, frame: int) -> DicomImage:
    """Frame `frame` (from 0) of the DICOM file at `path`, read as `dataset`.

    Raises InputError for damaged pixels and for pixel attributes that cannot be used.
    """
    tags = TagReader(dataset, frame)
    values = _values(path, tags)
    open_area, hidden = unshuttered(tags)
    return DicomImage(values, open_area, (*hidden, *values.notes))


def recorded_frame(path: Path, dataset: pydicom.Dataset, frame: int) -> NDArray[np.float32]:
    """Frame `frame` (from 0), rescaled by the file's modality transform: (rows, columns) or (rows, columns, 3).

    The photometric interpretation only concerns display and is not applied. Raises InputError for damaged pixels.
    """
    return _values(path, TagReader(dataset, frame)).pixels


def _values(path: Path, tags: TagReader) -> DicomValues:
    layout = layout_of(tags)
    (stored,), odd = stored_frames(path, tags.dataset, [tags.frame])
    values = values_of(tags, stored, layout)
    return replace(values, notes=(*odd, *values.notes))


def unshuttered(tags: TagReader) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Mask (rows, columns) of stored pixels inside shutter and collimator, and a sentence on what was left out."""
    size = image_size(tags)
    inside, notes = np.ones(size, dtype=bool), []
    for kind, sequence in (("Shutter", "FrameDisplayShutterSequence"), ("Collimator", "CollimatorShapeSequence")):
        readers = [TagReader(item) for item in tags.items(sequence)[:_MOST_SHAPES]] or [tags]
        for reader in readers:
            shapes = reader.texts(f"{kind}Shape")
            for shape in shapes.value if shapes is not None else ():
                if shape in _SHAPES:
                    inside &= _inside(reader, kind, shape, size)
                else:
                    notes.append(f"{kind} of shape {shape} was not applied.")
    # Blades that leave no pixel are how some devices write "not set".
    if not inside.any():
        return np.ones(size, dtype=bool), (*notes, "Shutter and collimator would hide the whole image; not applied.")
    if not inside.all():
        notes.append(f"{1 - inside.mean():.0%} of the image lies behind shutter or collimator and was left out.")
    return inside, tuple(notes)


def _inside(tags: TagReader, kind: str, shape: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels inside one blade shape; DICOM counts rows and columns from 1 and its edges belong to the image."""
    rows, columns = np.ogrid[1 : size[0] + 1, 1 : size[1] + 1]
    inside = np.ones(size, dtype=bool)
    if shape == "RECTANGULAR":
        left, right = (tags.number(f"{kind}{side}VerticalEdge") for side in ("Left", "Right"))
        upper, lower = (tags.number(f"{kind}{side}HorizontalEdge") for side in ("Upper", "Lower"))
        if left and right and upper and lower:
            inside = (columns >= left.value) & (columns <= right.value) & (rows >= upper.value) & (rows <= lower.value)
    elif shape == "CIRCULAR":
        centre, radius = tags.numbers(f"CenterOfCircular{kind}", 2), tags.positive(f"RadiusOfCircular{kind}")
        if centre and radius:
            inside = (rows - centre.value[0]) ** 2 + (columns - centre.value[1]) ** 2 <= radius.value**2
    else:
        vertices = tags.numbers(f"VerticesOfThePolygonal{kind}")
        if vertices is not None and 6 <= vertices.value.size <= 2 * _MOST_VERTICES and vertices.value.size % 2 == 0:
            inside = _in_polygon(rows, columns, vertices.value.reshape(-1, 2))
    return inside


def _in_polygon(rows: NDArray, columns: NDArray, vertices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd rule for vertices (N, 2) as (row, column)."""
    inside = np.zeros(np.broadcast_shapes(rows.shape, columns.shape), dtype=bool)
    for (row0, column0), (row1, column1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if row0 == row1:
            continue
        crosses = (rows >= min(row0, row1)) & (rows < max(row0, row1))
        inside ^= crosses & (columns < column0 + (rows - row0) * (column1 - column0) / (row1 - row0))
    return inside
