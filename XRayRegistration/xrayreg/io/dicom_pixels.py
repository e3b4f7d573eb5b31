"""The pixels of a DICOM X-ray: one frame as recorded, what its numbers mean, and what blades hide of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from ..checks import InputError
from ..scene import IntensityKind
from .dicom_tags import TagReader
from .images import load, open_image

_SHAPES = ("RECTANGULAR", "CIRCULAR", "POLYGONAL")


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One frame of a DICOM X-ray as stored.

    pixels: float32 (rows, columns) or (rows, columns, 3), rescaled by the file's modality LUT.
    open_area: (rows, columns), inside shutter and collimator.
    kind, negated: what the numbers mean, and whether they must be negated first (see `intensity_of`).
    notes: a sentence on each of these.
    """

    pixels: NDArray[np.float32]
    open_area: NDArray[np.bool_]
    kind: IntensityKind
    negated: bool
    notes: tuple[str, ...]


def dicom_image(path: Path, dataset: pydicom.Dataset, frame: int) -> DicomImage:
    """Frame `frame` (from 0) of the DICOM file at `path`, read as `dataset`; raises InputError for damaged pixels."""
    tags = TagReader(dataset, frame)
    pixels = recorded_frame(path, dataset, frame)
    open_area, hidden = unshuttered(tags)
    kind, negated, meaning = intensity_of(tags)
    return DicomImage(pixels, open_area, kind, negated, (*hidden, *meaning))


def recorded_frame(path: Path, dataset: pydicom.Dataset, frame: int) -> NDArray[np.float32]:
    """Frame `frame` (from 0) as stored, rescaled by the file's modality LUT: (rows, columns) or (rows, columns, 3).

    The photometric interpretation only says how to display and is not applied. Raises InputError for damaged pixels.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    try:
        pixels = pixel_array(dataset, index=frame if frames > 1 else None)
    except (RuntimeError, NotImplementedError, AttributeError):
        # Compressed in a way that pydicom has no decoder for (JPEG lossless, mostly) or without its file header; ITK
        # brings its own means.
        return _decoded_by_itk(path, dataset, frame)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            "X-ray", expected="complete pixels", found=f"{path} ({error})", remedy="export the image again"
        ) from error
    return np.asarray(apply_modality_lut(pixels, dataset), dtype=np.float32)


def _decoded_by_itk(path: Path, dataset: pydicom.Dataset, frame: int) -> NDArray[np.float32]:
    reader = open_image(path, "X-ray")
    size, index = list(reader.GetSize()), [0] * reader.GetDimension()
    size[2], index[2] = 0, frame
    reader.SetExtractSize(size)
    reader.SetExtractIndex(index)
    pixels = sitk.GetArrayFromImage(load(reader, "X-ray")).astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        # ITK inverts these for display, before it rescales; the recorded order of tones is wanted.
        bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        pixels = slope * (-1 if signed else 2**bits - 1) + 2 * intercept - pixels
    return pixels


def intensity_of(tags: TagReader) -> tuple[IntensityKind, bool, tuple[str, ...]]:
    """What the stored numbers mean, whether they must be negated first, and a sentence on it.

    LIN is proportional to the beam's intensity, LOG to its logarithm, DISP was processed for display; the sign +1 says
    that higher values mean more X-rays (DICOM PS3.3 C.8.7.1.1.2, C.8.11.3.1.2). An image whose logarithm was taken, or
    which was processed for display, is used as attenuation without another logarithm.
    """
    relation, sign = tags.text("PixelIntensityRelationship"), tags.number("PixelIntensityRelationshipSign")
    if relation is None or relation.value not in ("LIN", "LOG", "DISP") or (relation.value == "DISP" and sign is None):
        return "auto", False, ("DICOM does not tell how pixel values relate to X-rays; the histogram decided.",)
    # In XA images, which have no sign, LIN and LOG both grow with the beam's intensity.
    brighter = sign is None or sign.value > 0
    direction = "more" if brighter else "fewer"
    note = f"Pixel values: {relation.value}, higher means {direction} X-rays ({relation.origin})."
    if relation.value == "LIN":
        return "transmission", not brighter, (note,)
    return "attenuation", brighter, (note,)


def unshuttered(tags: TagReader) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Which stored pixels (rows, columns) lie inside shutter and collimator, and a sentence on what was left out."""
    size = (int(tags.dataset.Rows), int(tags.dataset.Columns))
    inside, notes = np.ones(size, dtype=bool), []
    for kind, sequence in (("Shutter", "FrameDisplayShutterSequence"), ("Collimator", "CollimatorShapeSequence")):
        readers = [TagReader(item) for item in tags.items(sequence)] or [tags]
        for reader in readers:
            shapes = reader.texts(f"{kind}Shape")
            for shape in shapes.value if shapes is not None else ():
                if shape in _SHAPES:
                    inside &= _inside(reader, kind, shape, size)
                else:
                    notes.append(f"{kind} of shape {shape} was not applied.")
    # Blades that leave nothing are a device's way of writing "not set".
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
        if vertices is not None and vertices.value.size >= 6 and vertices.value.size % 2 == 0:
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
