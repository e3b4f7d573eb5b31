"""The C-arm in 3D: beams, detectors that carry their X-ray, the patient's bones, and what the X-ray source sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..mrml import detector
from ..mrml import rig as rigs
from . import bones, layout

if TYPE_CHECKING:
    from ..mrml.rig import Rig, View
    from ..parameters import Parameters

_BAR_COLOR = (0.62, 0.66, 0.74)
_BACKGROUND = (0.10, 0.11, 0.14)
_DRESSED = "XRayRegistration.dressed"
# The patient and the C-arm fill this share of a 3D view.
_FILLED = 0.92


def show(rig: Rig, parameters: Parameters) -> bool:
    """Show C-arm and patient in our 3D views. Returns whether they are new there, so that the camera has to be set."""
    for name in (layout.THREED_VIEW, layout.EYE_VIEW):
        viewNode = layout.viewNodeOf(name)
        if viewNode is not None and not viewNode.GetAttribute(_DRESSED):
            _dress(viewNode)
    _showDetectors(rig, parameters)
    bones.applyAppearance(rig, parameters)
    followPose(rig, parameters)
    viewNode = layout.viewNodeOf()
    if viewNode is None or viewNode.GetAttribute(_DRESSED) == rig.pose.GetID():
        return False
    viewNode.SetAttribute(_DRESSED, rig.pose.GetID())
    return True


def followPose(rig: Rig, parameters: Parameters) -> None:
    """Move the camera of the view from the source to the active view's source."""
    viewNode = layout.viewNodeOf(layout.EYE_VIEW)
    view = _activeView(rig, parameters)
    if viewNode is None or view is None or not parameters.showXrayEye:
        return
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(viewNode)
    if camera is not None:
        _lookFromSource(camera, view, rigs.cameraFromVolume(rig, view))


def lookFromTheSide(rig: Rig, volume: slicer.vtkMRMLScalarVolumeNode | None = None) -> None:
    """Turn our 3D view so that patient, sources and the faces of the detectors are all seen."""
    viewNode = layout.viewNodeOf()
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(viewNode) if viewNode else None
    shown = [view for view in rig.views if view.shown and view.picture.GetScene()]
    if camera is None or not shown:
        return
    frames = [detector.rasFromSlice(view.picture)[:3, :3] for view in shown]
    # A slice's third axis points at the source, which is on the detector's front side.
    direction = 0.5 * sum(frame[:, 2] for frame in frames) + 0.35 * frames[0][:, 1]
    # One beam is viewed from the side; two from between them.
    direction += (0.8 if len(shown) == 1 else 0.1) * frames[0][:, 0]
    axes = _cameraAxes(direction, frames[0][:, 1])
    points = np.vstack([_modelPoints(view.beam) for view in shown] + ([_corners(volume)] if volume else []))
    upwards = np.tan(np.radians(camera.GetViewAngle()) / 2)
    centre, distance = _framing(points @ axes.T, np.array([upwards * layout.threeDAspect(), upwards]))
    camera.SetFocalPoint(*(centre @ axes))
    camera.SetPosition(*((centre + (0, 0, distance)) @ axes))
    camera.SetViewUp(*axes[1])
    camera.ResetClippingRange()


def _lookFromSource(camera: Any, view: View, cameraFromVolume: np.ndarray) -> None:
    """Look from the source at the centre of the detector: objects in between cover their own projections."""
    frame = detector.rasFromSlice(view.picture)
    source = np.linalg.inv(cameraFromVolume)[:3, 3]
    columns, rows, _slices = view.picture.GetImageData().GetDimensions()
    spacing = view.picture.GetSpacing()
    half = max(columns * spacing[0], rows * spacing[1]) / 2
    wasModifying = camera.StartModify()
    camera.SetPosition(*source)
    camera.SetFocalPoint(*frame[:3, 3])
    camera.SetViewUp(*frame[:3, 1])
    camera.SetViewAngle(float(np.degrees(2 * np.arctan(half / np.linalg.norm(frame[:3, 3] - source)))))
    camera.EndModify(wasModifying)
    camera.ResetClippingRange()


def _showDetectors(rig: Rig, parameters: Parameters) -> None:
    """Show every detector in the C-arm's 3D view, and in the view from the source only the one it faces."""
    active = _activeView(rig, parameters)
    for _index, view, logic in layout.sliceLogicsOf(rig):
        wanted = [layout.threeDViewID()]
        if active is not None and view.picture is active.picture:
            wanted.append(layout.threeDViewID(layout.EYE_VIEW))
        sliceNode = logic.GetSliceNode()
        present = [sliceNode.GetNthThreeDViewID(n) for n in range(sliceNode.GetNumberOfThreeDViewIDs())]
        if present != wanted:
            sliceNode.RemoveAllThreeDViewIDs()
            for viewID in wanted:
                sliceNode.AddThreeDViewID(viewID)


def _activeView(rig: Rig, parameters: Parameters) -> View | None:
    return rig.views[min(max(parameters.activeView, 0), len(rig.views) - 1)] if rig.views else None


def _dress(viewNode: Any) -> None:
    """Dark and without a box around everything, for a view that is shown for the first time."""
    wasModifying = viewNode.StartModify()
    background = (0.0, 0.0, 0.0) if viewNode.GetLayoutName() == layout.EYE_VIEW else _BACKGROUND
    viewNode.SetBackgroundColor(*background)
    viewNode.SetBackgroundColor2(*background)
    viewNode.SetBoxVisible(False)
    viewNode.SetAxisLabelsVisible(False)
    viewNode.SetLayoutColor(*_BAR_COLOR)
    if viewNode.GetLayoutName() == layout.THREED_VIEW:
        viewNode.SetLayoutLabel(_("C-arm and patient"))
        viewNode.SetOrientationMarkerType(viewNode.OrientationMarkerTypeCube)
    else:
        viewNode.SetLayoutLabel(_("X-ray eye"))
    viewNode.SetAttribute(_DRESSED, "yes")
    viewNode.EndModify(wasModifying)


def _cameraAxes(direction: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rows right, up and towards the camera (3, 3)."""
    towards = direction / np.linalg.norm(direction)
    right = np.cross(up, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _framing(points: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, float]:
    """The centre of points (N, 3) in camera axes, and the distance from it at which a camera sees them all.

    tangents: of half the view's angle, to the right and upwards.
    """
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    offset = points - centre
    reach = (np.abs(offset[:, :2]) / (_FILLED * tangents)).max(axis=1)
    return centre, float((offset[:, 2] + reach).max())


def _modelPoints(model: slicer.vtkMRMLModelNode) -> np.ndarray:
    """Points (N, 3) of a model in RAS world."""
    matrix = vtk.vtkMatrix4x4()
    model.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
    worldFromModel = slicer.util.arrayFromVTKMatrix(matrix)
    return slicer.util.arrayFromModelPoints(model) @ worldFromModel[:3, :3].T + worldFromModel[:3, 3]


def _corners(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Corners (8, 3) of the box around a volume in RAS world."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    return np.array([[x, y, z] for x in bounds[:2] for y in bounds[2:4] for z in bounds[4:]])
