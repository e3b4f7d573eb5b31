"""The patient's segments as the X-ray would show them: their silhouettes on each detector, in their own colours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..mrml import detector
from ..mrml.rig import MOST_VIEWS
from . import layout

if TYPE_CHECKING:
    from ..mrml.rig import Rig, View
    from ..worker.client import Worker

# Longer side of the grid on which silhouettes are drawn [pixels].
_GRID_PX = 720
_LABELMAP = "Binary labelmap"
_KEPT_OUT = "XRayRegistration.keptOut"


def silhouetteSteps(
    worker: Worker,
    view: Any,
    anatomy: Any,
    drawable: Any,
    labels: Any,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    cameraFromVolume: np.ndarray,
    fully: Any = False,
) -> Generator[None, None, None]:
    """Draw the segments of a view anew for a pose (4, 4) [mm], in short steps that yield None.

    view: with projection and segments, the node that is drawn in. anatomy: handle of what the worker draws (see
    xrayreg.worker.pictures.silhouettes), drawable: the labels in it. labels: the label of each segment id. fully: in
    the X-ray's own pixels. Segments that are not visible, or hold nothing, are left out.
    """
    seen = [name for name in visibleSegments(segmentationNode) if labels.get(name) in drawable]
    _keepOnly(view.segments, seen)
    projection = view.projection
    asked = worker.askSteps(
        "silhouettes",
        anatomy=anatomy.number,
        projection=projection.as_dict(),
        pose=np.asarray(cameraFromVolume).tolist(),
        labels=[labels[name] for name in seen],
        longest_px=None if fully else _GRID_PX,
    )
    waiting = iter(seen)
    with closing(asked):
        for news in asked:
            if news is not None:
                mask, segmentID = worker.take(news["mask"]), next(waiting)
                camera = projection.camera().scaled(mask.shape[1], mask.shape[0])
                _write(view.segments, segmentID, mask, detector.worldFromPixels(camera))
                _style(view.segments, segmentationNode, segmentID)
            yield


def clear(view: View) -> None:
    """Show no segment."""
    _keepOnly(view.segments, [])


def state(segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> tuple[tuple[str, str, Any], ...]:
    """A value that changes whenever the silhouettes of a segmentation would, for the same anatomy and pose."""
    if segmentationNode is None:
        return ()
    display, names = segmentationNode.GetDisplayNode(), visibleSegments(segmentationNode)
    return tuple((name, *_look(segmentationNode, display, name)) for name in names)


def keepPatientOut(rig: Rig, segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> None:
    """Keep the segmentation itself out of an X-ray's view whose detector stands in the patient and would cut it.

    Elsewhere its display stays as the user has it.
    """
    display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
    if segmentationNode is None or display is None:
        return
    cut = any(_isIn(segmentationNode, view.picture) for view in rig.views if view.shown)
    if cut and not display.GetNumberOfViewNodeIDs():
        xrays = [layout.sliceViewID(index) for index in range(MOST_VIEWS)]
        views = slicer.util.getNodesByClass("vtkMRMLAbstractViewNode")
        display.SetViewNodeIDs([view.GetID() for view in views if view.GetID() not in xrays])
        display.SetAttribute(_KEPT_OUT, "yes")
    elif not cut and display.GetAttribute(_KEPT_OUT):
        display.RemoveAllViewNodeIDs()
        display.RemoveAttribute(_KEPT_OUT)


def visibleSegments(segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> list[str]:
    """Identifiers of the segments that the patient's segmentation shows, in its order."""
    if segmentationNode is None:
        return []
    display = segmentationNode.GetDisplayNode()
    if display is not None and not display.GetVisibility():
        return []
    segmentIDs = segmentationNode.GetSegmentation().GetSegmentIDs()
    return [name for name in segmentIDs if display is None or display.GetSegmentVisibility(name)]


def _keepOnly(node: slicer.vtkMRMLSegmentationNode, segmentIDs: list[str]) -> None:
    for segmentID in set(node.GetSegmentation().GetSegmentIDs()) - set(segmentIDs):
        node.GetSegmentation().RemoveSegment(segmentID)


def _write(node: slicer.vtkMRMLSegmentationNode, segmentID: str, mask: np.ndarray, worldFromPixels: np.ndarray) -> None:
    """Give a segment, made where it is missing, the pixels of a mask (height, width)."""
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment(segmentID)
    image = _orientedImage(mask, worldFromPixels)
    if segment is None:
        segment = slicer.vtkSegment()
        segment.AddRepresentation(_LABELMAP, image)
        segmentation.AddSegment(segment, segmentID)
    elif segment.GetLabelValue() != 1:
        # Read from a file, segments that do not overlap share an image.
        segment.SetLabelValue(1)
        segment.AddRepresentation(_LABELMAP, image)
    else:
        segment.GetRepresentation(_LABELMAP).ShallowCopy(image)


def _orientedImage(mask: np.ndarray, worldFromPixels: np.ndarray) -> slicer.vtkOrientedImageData:
    """The part of a mask that holds something, one slice deep on the detector."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, bottom = (int(rows[0]), int(rows[-1])) if rows.size else (0, 0)
    left, right = (int(columns[0]), int(columns[-1])) if columns.size else (0, 0)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(left, right, top, bottom, 0, 0)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(worldFromPixels))
    pixels = np.ascontiguousarray(mask[top : bottom + 1, left : right + 1], np.uint8)
    image.GetPointData().SetScalars(numpy_to_vtk(pixels.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    return image


def _style(node: slicer.vtkMRMLSegmentationNode, segmentationNode: Any, segmentID: str) -> None:
    """Give a drawn segment the name and the colour that the patient's has."""
    drawn = node.GetSegmentation().GetSegment(segmentID)
    name, color = _look(segmentationNode, segmentationNode.GetDisplayNode(), segmentID)
    if tuple(drawn.GetColor()) != color:
        drawn.SetColor(*color)
    if drawn.GetName() != name:
        drawn.SetName(name)


def _look(
    segmentationNode: slicer.vtkMRMLSegmentationNode, display: Any, segmentID: str
) -> tuple[str, tuple[float, float, float]]:
    """Name and colour of one of the patient's segments."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
    color = list(segment.GetColor())
    if display is not None:
        # Somebody may have chosen another colour for showing it.
        display.GetSegmentColor(segmentID, color)
    return segment.GetName(), (color[0], color[1], color[2])


def _isIn(segmentationNode: slicer.vtkMRMLSegmentationNode, picture: Any) -> bool:
    """Whether a detector may stand in the box around a segmentation."""
    bounds = np.zeros(6)
    segmentationNode.GetRASBounds(bounds)
    corners = np.array([[x, y, z, 1.0] for x in bounds[:2] for y in bounds[2:4] for z in bounds[4:]])
    seen = (np.linalg.inv(detector.rasFromPixels(picture)) @ corners.T)[:3]
    low, high = np.array([0.0, 0.0, -0.5]), np.array([*picture.GetImageData().GetDimensions()[:2], 0.5])
    return bool(((seen.min(axis=1) < high) & (seen.max(axis=1) > low)).all())
