"""Frames of a volume in a common form, from one file per slice or from a multi-frame file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..checks import InputError
from .series_headers import ImageFile, Tags, damaged, items_of, shortened

# Functional groups with a frame's position and value scale (DICOM PS3.3 C.7.6.16.2, C.8.15.3.10).
_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
)
_FRAME_TYPES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "XRay3DFrameTypeSequence")
# More than any scanner writes into a file; with a damaged number reading would take hours.
_MOST_FRAMES = 1 << 16
# Direction cosines are stored with few digits; an error of a hundredth is rounding, more is damage.
_UNIT = 1e-2
# Range of pixel spacings [mm]: from micro-CT to far beyond any scanner.
_PITCH_MM = (1e-3, 100.0)
# Largest plausible distance from the scanner's origin [mm].
_FARTHEST_MM = 1e5


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a stack, from a file of its own or one of many in a file.

    file, index: location of its pixels, counted from 0. position (3,), row (3,), column (3,): the centre of the first
    pixel [mm, LPS] and unit vectors along a row and down a column. spacing_mm: between rows, between columns.
    slope, intercept: of its values, None where the file has none. value_type: RescaleType. instance: SOPInstanceUID.
    phase, acquisition: the time point and the scanner run that it belongs to, "" where not stated.
    """

    file: ImageFile
    index: int
    of_many: bool
    position: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    size: tuple[int, int]
    slope: float | None
    intercept: float | None
    value_type: str
    instance: str
    phase: str
    acquisition: str

    @property
    def name(self) -> str:
        """The file, or the frame in it, for display."""
        return f"frame {self.index} of {self.file.name}" if self.of_many else self.file.name

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector (3,) perpendicular to the image."""
        return np.cross(self.row, self.column)


@dataclass(frozen=True, eq=False)
class Described:
    """The frames of a file that may belong to a stack, the names of its localisers, and assumptions."""

    frames: tuple[Frame, ...]
    localisers: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def names_of(one: Frame, other: Frame) -> str:
    """Two frames, for display: "a.dcm and b.dcm" or "frames 3 and 4 of ct.dcm"."""
    if one.of_many and one.file is other.file:
        return f"frames {one.index} and {other.index} of {one.file.name}"
    return f"{one.name} and {other.name}"


def frame_count(file: ImageFile) -> int:
    """The number of frames that the file states; raises InputError for an impossible or a missing required one."""
    count = file.tags().integer("NumberOfFrames")
    groups = len(file.groups("PerFrameFunctionalGroupsSequence"))
    if count is None and groups:
        raise damaged(file.name, "NumberOfFrames", "the number of frames", f"none, beside {groups} descriptions")
    if count is None:
        return 1
    if not 1 <= count <= _MOST_FRAMES:
        raise damaged(file.name, "NumberOfFrames", f"1 to {_MOST_FRAMES}", str(count))
    if groups and groups != count:
        raise damaged(file.name, "PerFrameFunctionalGroupsSequence", f"{count} frames", f"{groups}")
    return count


def described(file: ImageFile) -> Described:
    """The frames of `file`, without localisers; raises InputError for missing, damaged or impossible attributes."""
    count = frame_count(file)
    per_frame = file.groups("PerFrameFunctionalGroupsSequence")
    shared = file.groups("SharedFunctionalGroupsSequence")[:1]
    many = count > 1 or bool(per_frame)
    tags = [
        Tags(
            f"frame {n} of {file.name}" if many else file.name,
            (*_macros((*per_frame[n : n + 1], *shared), file.name), file.top),
        )
        for n in range(count)
    ]
    is_localiser = ["LOCALIZER" in _kind(one) for one in tags]
    kept = [n for n in range(count) if not is_localiser[n]]
    names = tuple(one.source for one, left_out in zip(tags, is_localiser, strict=True) if left_out)
    steps, assumed = (None, ()) if not many or not kept else _offsets(file, tags, kept)
    frames = tuple(_frame(file, n, many, tags[n], None if steps is None else steps[n]) for n in kept)
    return Described(frames, names if len(kept) else (file.name,), assumed if len(kept) > 1 else ())


def _macros(groups: tuple[Dataset, ...], source: str) -> Iterator[Dataset]:
    """The items of the frame's macros, its own before the shared ones."""
    for group in groups:
        for keyword in (*_MACROS, *_FRAME_TYPES):
            yield from items_of(group, keyword, source)[:1]


def _kind(tags: Tags) -> tuple[str, ...]:
    """The values that state a frame's image type."""
    return tuple(word.upper() for word in (*tags.words("FrameType"), *tags.words("ImageType")))


def _frame(file: ImageFile, index: int, many: bool, tags: Tags, offset_mm: float | None) -> Frame:
    position = _required(tags, "ImagePositionPatient", 3)
    row, column = _axes(tags)
    if offset_mm is not None:
        position = position + offset_mm * np.cross(row, column)
    if np.abs(position).max() > _FARTHEST_MM:
        raise damaged(tags.source, "ImagePositionPatient", "millimetres", " ".join(f"{x:g}" for x in position))
    return Frame(
        file,
        index,
        many,
        position,
        row,
        column,
        _spacing(tags),
        _size(tags),
        tags.number("RescaleSlope"),
        tags.number("RescaleIntercept"),
        tags.text("RescaleType").upper(),
        file.tags().text("SOPInstanceUID"),
        tags.text("TemporalPositionIndex") or tags.text("TemporalPositionIdentifier"),
        tags.text("AcquisitionNumber") or tags.text("FrameAcquisitionNumber"),
    )


def _offsets(file: ImageFile, tags: list[Tags], kept: list[int]) -> tuple[list[float] | None, tuple[str, ...]]:
    """Distances along the normal from the file's single position, None where each frame has its own position.

    Old and home-made files give one position and the offsets of the frames (as dose grids do), or their distance.
    """
    top = file.tags()
    if file.groups("PerFrameFunctionalGroupsSequence"):
        return None, ()
    offsets = top.numbers("GridFrameOffsetVector")
    if offsets is not None:
        if len(offsets) != len(tags):
            raise damaged(file.name, "GridFrameOffsetVector", f"{len(tags)} numbers", str(len(offsets)))
        if offsets[0] != 0:
            # The other permitted form: the frames' absolute z coordinates.
            row, column = _axes(tags[kept[0]])
            origin = _required(tags[kept[0]], "ImagePositionPatient", 3)
            normal = np.cross(row, column)
            if abs(normal[2]) < 1 - _UNIT or abs(offsets[0] - origin[2]) > 0.01:
                raise damaged(file.name, "GridFrameOffsetVector", "0 for the first frame", f"{offsets[0]:g}")
            return [float(x) for x in (offsets - offsets[0]) * np.sign(normal[2])], ()
        return [float(x) for x in offsets], ()
    step = top.number("SpacingBetweenSlices")
    if step is None or step == 0:
        raise InputError(
            f"positions of {file.name}",
            expected="a position for each frame, frame offsets or a distance between slices",
            found="none of them",
            remedy="export the CT as a series of single slices",
        )
    said = f"{file.name} gives no positions of its frames: they were stacked in their order, {step:g} mm apart."
    return [step * n for n in range(len(tags))], (said,)


def _required(tags: Tags, keyword: str, count: int) -> NDArray[np.float64]:
    found = tags.numbers(keyword, count)
    if found is None:
        raise InputError(
            "CT series",
            expected=f"{keyword} in every slice",
            found=f"none in {tags.source}",
            remedy="remove files that are not slices of the CT",
        )
    return found


def _axes(tags: Tags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal directions along a row and down a column, with rounding removed."""
    row, column = _required(tags, "ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm((row, column), axis=1)
    if np.abs(lengths - 1).max() > _UNIT or abs(row @ column) > _UNIT:
        raise damaged(
            tags.source,
            "ImageOrientationPatient",
            "two perpendicular directions of length 1",
            " ".join(f"{x:g}" for x in (*row, *column)),
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _spacing(tags: Tags) -> tuple[float, float]:
    rows, columns = _required(tags, "PixelSpacing", 2)
    low, high = _PITCH_MM
    if not (low <= rows <= high and low <= columns <= high):
        raise damaged(tags.source, "PixelSpacing", f"{low:g} to {high:g} mm", f"{rows:g} and {columns:g}")
    return float(rows), float(columns)


def _size(tags: Tags) -> tuple[int, int]:
    rows, columns = tags.integer("Rows"), tags.integer("Columns")
    if not rows or not columns or min(rows, columns) < 1:
        raise InputError(
            f"size of {tags.source}",
            expected="rows and columns of pixels",
            found=shortened(f"{rows or 'no'} rows, {columns or 'no'} columns"),
            remedy="remove files that are no images",
        )
    return rows, columns
