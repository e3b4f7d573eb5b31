"""A segmentation as one label map on the CT's grid, in short steps."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .world import worldFromNode

# Voxels copied, or looked up one by one, between two pauses: some 20 ms.
_COPIED, _SAMPLED = 1 << 22, 1 << 18
# A grid whose voxels lie this near [voxels] to those of another one needs no resampling.
_ALIGNED = 1e-3
# So many pairs of overlapping segments are named, the others counted.
_NAMED = 3


@dataclass(frozen=True, eq=False)
class SegmentLabels:
    """Segments as labels 1, 2, 3 ... in their order, on the grid of a CT.

    values: smallest unsigned integers [k, j, i], 0 = background. names: of the labels.
    present: the labels that some voxel has. notes: sentences on what a label map cannot hold.
    """

    values: np.ndarray
    names: dict[int, str]
    present: frozenset[int]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Layer:
    """Segments that share one image: its values [k, j, i], label by value, and index (i, j, k) from world (4, 4)."""

    values: np.ndarray
    labelOf: np.ndarray
    indexFromWorld: np.ndarray


def labelsOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> dict[Any, Any]:
    """The label of each segment id: 1, 2, 3 ... in the order of the segmentation."""
    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    return {segmentId: number for number, segmentId in enumerate(ids, 1)}


def labelValues(segmentationNode: slicer.vtkMRMLSegmentationNode) -> dict[str, Any]:
    """The value in its image of each segment id: the label of the map that a segmentation was made of."""
    segmentation = segmentationNode.GetSegmentation()
    return {each: segmentation.GetSegment(each).GetLabelValue() for each in segmentation.GetSegmentIDs()}


def addSteps(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    values: np.ndarray,
    segmentsFromIndex: np.ndarray,
    names: Any,
    colors: list[Any],
) -> Generator[None, None, None]:
    """Pause, and add a segment for each label of a map [k, j, i], all of them sharing one image.

    names: of the labels that some voxel has, None where there is none. colors: of the segments (0 to 255 each), in the
    order of their labels.
    """
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(segmentsFromIndex))
    yield
    segmentation = segmentationNode.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binaryName())
    for value, color in zip(sorted(names), colors, strict=True):
        segment = slicer.vtkSegment()
        segment.SetName(names[value] or _("Segment {label}").format(label=value))
        segment.SetLabelValue(value)
        segment.SetColor(*(channel / 255 for channel in color))
        segment.AddRepresentation(_binaryName(), image)
        segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID(segment.GetName()))


def state(segmentationNode: slicer.vtkMRMLSegmentationNode) -> tuple[Any, ...]:
    """A value that changes whenever `labelSteps` would give something else."""
    segmentation = segmentationNode.GetSegmentation()
    name = _binaryName()
    described = []
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        shape = segment.GetRepresentation(name) or segment.GetRepresentation(segmentation.GetSourceRepresentationName())
        described.append((segmentId, segment.GetName(), segment.GetLabelValue(), shape.GetMTime() if shape else 0))
    return segmentationNode.GetID(), tuple(described), worldFromNode(segmentationNode, _("segmentation")).tobytes()


def labelSteps(
    segmentationNode: slicer.vtkMRMLSegmentationNode, worldFromIndex: Any, shape: Any
) -> Generator[Any, None, SegmentLabels]:
    """Pause, and return SegmentLabels on the grid of a CT (world from index (4, 4), array shape [k, j, i]).

    Where segments overlap, the later one in the list wins. Voxels of another grid are taken by nearest neighbour;
    surfaces are filled with Slicer's own conversion. The node stays as it is. Raises InputError under a transform that
    bends the segmentation.
    """
    from xrayreg.slabs import slabs

    numbers = labelsOf(segmentationNode)
    segmentation = segmentationNode.GetSegmentation()
    worldFromSegments = worldFromNode(segmentationNode, _("segmentation"))
    values = np.zeros(shape, np.min_scalar_type(max(1, len(numbers))))
    overlaps: dict[tuple[int, int], int] = {}
    for segmentIds, image in (yield from _imageSteps(segmentation, worldFromSegments, worldFromIndex, shape)):
        layer = _layer(segmentation, segmentIds, image, numbers, worldFromSegments)
        if layer is not None:
            yield from _paintSteps(layer, worldFromIndex, values, overlaps)
    counts = np.zeros(len(numbers) + 1, np.int64)
    for slab in slabs(shape, _COPIED):
        counts += np.bincount(values[slab].ravel(), minlength=len(counts))
        yield
    names = {number: segmentation.GetSegment(segmentId).GetName() for segmentId, number in numbers.items()}
    present = frozenset((np.flatnonzero(counts[1:]) + 1).tolist())
    return SegmentLabels(values, names, present, _notes(overlaps, names))


def _imageSteps(
    segmentation: slicer.vtkSegmentation,
    worldFromSegments: np.ndarray,
    worldFromIndex: np.ndarray,
    shape: tuple[int, int, int],
) -> Generator[None, None, list[Any]]:
    """Pause, and return (segment ids, vtkOrientedImageData) for each image that some segments share."""
    name = _binaryName()
    layers: dict[str, tuple[list[str], slicer.vtkOrientedImageData]] = {}
    for segmentId in segmentation.GetSegmentIDs():
        image = segmentation.GetSegment(segmentId).GetRepresentation(name)
        if image is None:
            image = _filled(segmentation, segmentId, np.linalg.inv(worldFromSegments) @ worldFromIndex, shape)
            yield
        if image is not None:
            layers.setdefault(image.GetAddressAsString(""), ([], image))[0].append(segmentId)
    return list(layers.values())


def _filled(
    segmentation: slicer.vtkSegmentation, segmentId: str, segmentsFromIndex: np.ndarray, shape: tuple[int, int, int]
) -> slicer.vtkOrientedImageData | None:
    """The voxels of a segment that has other representations only, converted in a copy; None where that fails."""
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    copy.CopySegmentFromSegmentation(segmentation, segmentId)
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
    grid.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(segmentsFromIndex))
    copy.SetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName(),
        slicer.vtkSegmentationConverter.SerializeImageGeometry(grid),
    )
    if not copy.CreateRepresentation(_binaryName()):
        return None
    return copy.GetSegment(segmentId).GetRepresentation(_binaryName())


def _layer(
    segmentation: slicer.vtkSegmentation,
    segmentIds: list[str],
    image: slicer.vtkOrientedImageData,
    numbers: dict[str, Any],
    worldFromSegments: np.ndarray,
) -> _Layer | None:
    """The segments of one image, or None where it holds no voxels."""
    if image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    extent = image.GetExtent()
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    worldFromLayer = worldFromSegments @ slicer.util.arrayFromVTKMatrix(matrix)
    worldFromLayer[:3, 3] += worldFromLayer[:3, :3] @ extent[::2]
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    values = values if values.dtype.kind == "u" else values.astype(np.uint32)
    labelByValue = {segmentation.GetSegment(each).GetLabelValue(): numbers[each] for each in segmentIds}
    labelOf = np.zeros(max(int(values.max()), *labelByValue) + 1, np.min_scalar_type(len(numbers)))
    for value, label in labelByValue.items():
        labelOf[value] = label
    return _Layer(values, labelOf, np.linalg.inv(worldFromLayer))


def _paintSteps(
    layer: _Layer, worldFromIndex: np.ndarray, values: np.ndarray, overlaps: dict[tuple[int, int], int]
) -> Generator[None, None, None]:
    """Pause, and lay the labels of a layer over `values`: higher labels win, `overlaps` gets the pairs that met."""
    from xrayreg.slabs import slabs

    layerFromIndex = layer.indexFromWorld @ worldFromIndex
    box = _box(np.linalg.inv(layerFromIndex), layer.values.shape, values.shape)
    if box is None:
        return
    offset = _offset(layerFromIndex, values.shape)
    size = tuple(along.stop - along.start for along in box)
    for slab in slabs(size, _SAMPLED if offset is None else _COPIED):
        here = (slice(box[0].start + slab.start, box[0].start + slab.stop), *box[1:])
        if offset is None:
            found = layer.labelOf[_sampled(layer.values, layerFromIndex, here)]
        else:
            there = tuple(slice(along.start + n, along.stop + n) for along, n in zip(here, offset, strict=True))
            found = layer.labelOf[layer.values[there]]
        _meet(values[here], found, overlaps)
        np.maximum(values[here], found, out=values[here])
        yield


def _box(
    indexFromLayer: np.ndarray, layerShape: tuple[int, int, int], shape: tuple[int, int, int]
) -> tuple[slice, ...] | None:
    """Ranges [k, j, i] of a grid of `shape` whose voxels may lie inside a layer; None where it lies outside."""
    corners = np.stack(np.meshgrid(*[(-0.5, size - 0.5) for size in layerShape[::-1]]), -1).reshape(-1, 3)
    corners = corners @ indexFromLayer[:3, :3].T + indexFromLayer[:3, 3]
    first = np.maximum(np.ceil(corners.min(0) - _ALIGNED), 0).astype(int)
    last = np.minimum(np.floor(corners.max(0) + _ALIGNED), np.array(shape[::-1]) - 1).astype(int)
    if (first > last).any():
        return None
    return tuple(slice(int(low), int(high) + 1) for low, high in zip(first[::-1], last[::-1], strict=True))


def _offset(layerFromIndex: np.ndarray, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """What to add to a CT's indices [k, j, i] for those of a layer with the same voxels; None where it has others."""
    shifted = np.eye(4)
    shifted[:3, 3] = np.rint(layerFromIndex[:3, 3])
    farthest = np.abs(layerFromIndex - shifted) @ (*shape[::-1], 1.0)
    return tuple(shifted[2::-1, 3].astype(int).tolist()) if farthest.max() < _ALIGNED else None


def _sampled(image: np.ndarray, imageFromIndex: np.ndarray, where: tuple[slice, ...]) -> np.ndarray:
    """The nearest voxel's value of an image [k, j, i] at the voxels `where` of another grid, 0 outside."""
    k, j, i = np.ogrid[where]
    inside, nearest = True, []
    for row, size in zip(imageFromIndex[2::-1], image.shape, strict=True):
        along = np.rint(row[0] * i + row[1] * j + row[2] * k + row[3]).astype(np.intp)
        inside = inside & (along >= 0) & (along < size)
        nearest.append(along.clip(0, size - 1))
    return np.where(inside, image[tuple(nearest)], 0)


def _meet(lower: np.ndarray, upper: np.ndarray, overlaps: dict[tuple[int, int], int]) -> None:
    """Count the voxels that two labels claim, by pair."""
    both = (lower > 0) & (upper > 0) & (lower != upper)
    if both.any():
        pairs, counts = np.unique(np.sort([lower[both], upper[both]], axis=0), axis=1, return_counts=True)
        for pair, count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            overlaps[tuple(pair)] = overlaps.get(tuple(pair), 0) + count


def _notes(overlaps: dict[tuple[int, int], int], names: Any) -> tuple[str, ...]:
    """Sentences on the segments that overlap, the largest overlaps first."""
    ordered = sorted(overlaps, key=overlaps.__getitem__, reverse=True)
    notes = [
        _("The segments {first} and {second} overlap in {count} voxels, which count as {second}.").format(
            first=names[first], second=names[second], count=overlaps[first, second]
        )
        for first, second in ordered[:_NAMED]
    ]
    if len(ordered) > _NAMED:
        notes.append(_("{count} more pairs of segments overlap.").format(count=len(ordered) - _NAMED))
    return tuple(notes)


def _binaryName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
