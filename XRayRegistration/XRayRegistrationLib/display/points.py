"""Landmarks and plans (lines, curves and points of other modules) as the X-ray would show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from ..mrml import detector
from ..mrml import rig as rigs
from ..mrml.hidden import addHidden

if TYPE_CHECKING:
    from xrayreg.geometry import Camera

    from ..mrml.rig import View

_PLAN_OF = "XRayRegistration.planOf"
# What is drawn as a line through its control points, and what along its own curve; boxes and planes are left out.
_STRAIGHT = ("vtkMRMLMarkupsLineNode", "vtkMRMLMarkupsAngleNode")
_CURVED = ("vtkMRMLMarkupsCurveNode", "vtkMRMLMarkupsClosedCurveNode")
_POINTS = ("vtkMRMLMarkupsFiducialNode",)
# Points that stand for a curve, at most.
_CURVE_POINTS = 64
# Further from the image than this, in images, nothing can be seen of a line.
_FAR = 3.0


def candidates(pose: Any) -> list[slicer.vtkMRMLMarkupsNode]:
    """The markups of the scene that can be shown in X-rays: the patient's, seen or not.

    pose: the C-arm's transform; what stands under it belongs to the X-rays.
    """
    found = slicer.mrmlScene.GetNodesByClass("vtkMRMLMarkupsNode")
    found.UnRegister(None)
    nodes = [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]
    return [node for node in nodes if _isPatients(node, pose)]


def plans(pose: Any, landmarksNode: slicer.vtkMRMLMarkupsNode | None) -> list[slicer.vtkMRMLMarkupsNode]:
    """The visible ones among the candidates, without the landmarks."""
    return [node for node in candidates(pose) if node is not landmarksNode and _isSeen(node)]


def draw(
    view: View,
    viewID: str,
    landmarksNode: slicer.vtkMRMLMarkupsNode | None,
    planNodes: list[slicer.vtkMRMLMarkupsNode],
    cameraFromVolume: np.ndarray,
) -> None:
    """Draw landmarks and plans of one view anew for a pose (4, 4) [mm]; seen only in the slice view `viewID`."""
    camera, world = view.camera, detector.worldFromPixels(view.camera)
    names, places = [], np.zeros((0, 3))
    if landmarksNode is not None and _isSeen(landmarksNode):
        names, points = _controlPoints(landmarksNode)
        pixels = _pixels(camera, cameraFromVolume, points)
        inside = _isInside(pixels, camera)
        names = [name for name, kept in zip(names, inside, strict=True) if kept]
        places = _onDetector(world, pixels[inside])
        _copyLook(landmarksNode, view.points)
    _place(view.points, names, places)
    drawn = _plansOf(view)
    for source in planNodes:
        node = drawn.pop(source.GetID(), None) or _addPlan(view, viewID, source)
        _drawPlan(node, source, camera, world, cameraFromVolume)
    for node in drawn.values():
        rigs.removeNode(node)


def _isPatients(node: Any, pose: Any) -> bool:
    if node.GetClassName() not in (*_POINTS, *_STRAIGHT, *_CURVED) or node.GetHideFromEditors():
        return False
    parent = node.GetParentTransformNode()
    while parent is not None:
        if parent is pose:
            return False
        parent = parent.GetParentTransformNode()
    return True


def _isSeen(node: Any) -> bool:
    display = node.GetDisplayNode()
    return display is not None and bool(display.GetVisibility())


def _controlPoints(node: Any) -> Any:
    """Names and RAS positions (N, 3) of the control points that have a place and are shown."""
    numbers = [
        n
        for n in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(n) == node.PositionDefined and node.GetNthControlPointVisibility(n)
    ]
    points = [node.GetNthControlPointPositionWorld(n) for n in numbers]
    return [node.GetNthControlPointLabel(n) for n in numbers], np.array(points).reshape(-1, 3)


def _pixels(camera: Camera, cameraFromVolume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) of RAS points (N, 3), NaN for those behind the source."""
    return camera.project(points @ cameraFromVolume[:3, :3].T + cameraFromVolume[:3, 3])


def _isInside(pixels: np.ndarray, camera: Camera, margin: float = 0.0) -> np.ndarray:
    """Which pixels (N, 2) lie in the image, or so many images beyond its border."""
    size = np.array([camera.width, camera.height])
    with np.errstate(invalid="ignore"):
        return np.all((pixels > -0.5 - margin * size) & (pixels < size - 0.5 + margin * size), axis=1)


def _onDetector(worldFromPixels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Positions (N, 3) on the detector, in the rig's world."""
    return pixels @ worldFromPixels[:3, :2].T + worldFromPixels[:3, 3]


def _drawPlan(node: Any, source: Any, camera: Camera, world: np.ndarray, cameraFromVolume: np.ndarray) -> None:
    names, points = _controlPoints(source)
    margin = 0.0
    if node.GetClassName() == "vtkMRMLMarkupsCurveNode":
        margin = _FAR
        if source.GetClassName() in _CURVED and source.GetNumberOfControlPoints() > 1:
            points = _alongCurve(source)
        names = [""] * len(points)
    pixels = _pixels(camera, cameraFromVolume, points)
    inside = _isInside(pixels, camera, margin)
    _place(node, [name for name, kept in zip(names, inside, strict=True) if kept], _onDetector(world, pixels[inside]))
    _copyLook(source, node)


def _alongCurve(node: Any) -> np.ndarray:
    """RAS points (N, 3) along a curve, which returns to its first where it is closed."""
    points = slicer.util.arrayFromMarkupsCurvePoints(node, world=True)
    if node.IsA("vtkMRMLMarkupsClosedCurveNode"):
        points = np.vstack([points, points[:1]])
    share = np.linspace(0, len(points) - 1, min(_CURVE_POINTS, len(points)))
    return points[np.rint(share).astype(int)]


def _place(node: Any, names: Any, places: np.ndarray) -> None:
    """Give a node of ours these control points."""
    wasModifying = node.StartModify()
    node.SetLocked(True)
    for _n in range(node.GetNumberOfControlPoints() - len(names)):
        node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)
    for n, (name, place) in enumerate(zip(names, places.tolist(), strict=True)):
        if n == node.GetNumberOfControlPoints():
            node.AddControlPoint(*place, name)
        else:
            node.SetNthControlPointPosition(n, *place)
        # Of a line only its course is shown.
        node.SetNthControlPointVisibility(n, node.GetClassName() != "vtkMRMLMarkupsCurveNode")
        if node.GetNthControlPointLabel(n) != name:
            node.SetNthControlPointLabel(n, name)
    node.EndModify(wasModifying)


def _copyLook(source: Any, node: Any) -> None:
    """Colours and sizes of a patient's markups for their image in a view."""
    theirs, ours = source.GetDisplayNode(), node.GetDisplayNode()
    wasModifying = ours.StartModify()
    ours.SetSelectedColor(*theirs.GetSelectedColor())
    ours.SetColor(*theirs.GetSelectedColor())
    ours.SetTextScale(theirs.GetTextScale())
    if node.GetClassName() == "vtkMRMLMarkupsCurveNode":
        ours.SetPointLabelsVisibility(False)
        ours.SetPropertiesLabelVisibility(False)
    else:
        ours.SetGlyphTypeFromString(theirs.GetGlyphTypeAsString(theirs.GetGlyphType()))
        ours.SetPointLabelsVisibility(theirs.GetPointLabelsVisibility())
    ours.EndModify(wasModifying)


def _plansOf(view: View) -> dict[Any, Any]:
    """What shows plans in a view, by the identifier of its source."""
    found = {}
    for node in view.plans:
        source = node.GetNodeReference(_PLAN_OF)
        found[source.GetID() if source else node.GetID()] = node
    return found


def _addPlan(view: View, viewID: str, source: Any) -> Any:
    className = "vtkMRMLMarkupsFiducialNode" if source.GetClassName() in _POINTS else "vtkMRMLMarkupsCurveNode"
    node = addHidden(className, f"{view.name} {source.GetName()}")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetViewNodeIDs([viewID])
    if className == "vtkMRMLMarkupsCurveNode":
        # Seen from one point, a straight line stays one.
        node.SetCurveTypeToLinear()
    node.SetAndObserveTransformNodeID(view.picture.GetTransformNodeID())
    node.SetNodeReferenceID(_PLAN_OF, source.GetID())
    view.picture.AddNodeReferenceID(rigs.PLANS, node.GetID())
    return node
