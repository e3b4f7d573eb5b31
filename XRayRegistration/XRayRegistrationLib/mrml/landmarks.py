"""Paired landmarks: points on the CT and in the X-rays that have the same names, and the pose that they give."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import detector, posing, rig

if TYPE_CHECKING:
    from ..mrml.rig import Rig, View
    from ..worker.client import Worker

_LANDMARKS, _PROJECTION = "XRayRegistration.landmarks", "XRayRegistration.projection"


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """The pose that landmarks gave.

    reason: how far to trust it, a sentence. residualsPx, residualsMm: (views, landmarks) how far each landmark projects
    from its mark, in pixels and in mm at the landmark's depth; NaN where it is not marked. names: of the landmarks.
    views: names of the views. unpaired: names without a partner. before: the pose world_from_volume (4, 4) [mm] that
    the C-arm had.
    """

    reason: str
    residualsPx: np.ndarray
    residualsMm: np.ndarray
    names: tuple[str, ...]
    views: tuple[str, ...]
    unpaired: tuple[str, ...]
    before: np.ndarray

    @property
    def lines(self) -> list[str]:
        """How far each landmark is off, one sentence for each, the worst first."""
        told = []
        for view, row in zip(self.views, self.residualsMm, strict=True):
            for name, off in zip(self.names, row, strict=True):
                if np.isfinite(off):
                    told.append((off, _("{name} in {view}: {off:.1f} mm").format(name=name, view=view, off=off)))
        return [sentence for _off, sentence in sorted(told, key=lambda each: -each[0])]


@dataclass(frozen=True)
class Residual:
    """How far a landmark's projection lies from its mark: in pixels of the X-ray, and in mm at the landmark's depth."""

    name: str
    view: str
    px: float
    mm: float


@dataclass(frozen=True)
class ReprojectedPoint:
    """Where a control point of a markups node appears in a view: pixels (column, row) of the upright image."""

    node: slicer.vtkMRMLMarkupsNode
    index: int
    name: str
    column: float
    row: float


def landmarksIn(theRig: Rig, view: View, create: bool = False) -> Any:
    """The markups node with the landmarks that were marked in an X-ray, or None; `create` makes it then.

    It hangs under the C-arm's pose, so that the points stay where they are in the image.
    """
    node = _existing(view)
    if node is None and create:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"{view.name} landmarks")
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(theRig.pose.GetID())
        node.SetAttribute(_PROJECTION, view.picture.GetAttribute(_PROJECTION))
        view.picture.SetNodeReferenceID(_LANDMARKS, node.GetID())
    followGeometry(view)
    return node


def addLandmark(theRig: Rig, view: View, name: str, column: float, row: float) -> int:
    """Mark a landmark at a pixel of the upright image; one of the same name moves there. Returns its index."""
    node = landmarksIn(theRig, view, create=True)
    place = (detector.worldFromPixels(view.camera) @ (column, row, 0.0, 1.0))[:3]
    index = next((n for n in range(node.GetNumberOfControlPoints()) if node.GetNthControlPointLabel(n) == name), None)
    if index is None:
        return node.AddControlPoint(*place, name)
    node.SetNthControlPointPosition(index, *place)
    return index


def marked(view: View) -> dict[Any, Any]:
    """Pixels (column, row) of the upright image by name of landmark, of those marked in an X-ray.

    Raises InputError where a name occurs twice.
    """
    node = _existing(view)
    if node is None:
        return {}
    followGeometry(view)
    names, points = _points(node, node.GetNthControlPointPosition)
    _requireUnique(names, node)
    camera = view.camera
    pixels = camera.project(points @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3])
    return dict(zip(names, pixels.tolist(), strict=True))


def removeLandmarks(view: View) -> None:
    """Remove the landmarks that were marked in an X-ray from the scene."""
    rig.removeNode(_existing(view))


def followGeometry(view: View) -> None:
    """Keep the landmarks of a view at their places in the stored image after its geometry was changed."""
    node = _existing(view)
    if node is None or node.GetAttribute(_PROJECTION) == view.picture.GetAttribute(_PROJECTION):
        return
    from xrayreg.geometry import Projection

    before, after = Projection.from_dict(json.loads(node.GetAttribute(_PROJECTION) or "")), view.projection
    old, worldFromPixels = before.camera(), detector.worldFromPixels(after.camera())
    wasModifying = node.StartModify()
    for index in range(node.GetNumberOfControlPoints()):
        place = np.array(node.GetNthControlPointPosition(index))
        pixel = old.project(old.camera_from_world[:3, :3] @ place + old.camera_from_world[:3, 3])
        column, row = after.upright_pixels(before.stored_pixels(pixel))
        node.SetNthControlPointPosition(index, *(worldFromPixels @ (column, row, 0.0, 1.0))[:3])
    node.EndModify(wasModifying)
    node.SetAttribute(_PROJECTION, view.picture.GetAttribute(_PROJECTION))


def poseSteps(
    worker: Worker, theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode, landmarksNode: Any
) -> Generator[Any, None, LandmarkFit]:
    """Move the C-arm to the pose that the landmarks with partners give, in short steps; returns LandmarkFit.

    A step brings a message or None. worker: worker.client.Worker. landmarksNode: the points on the CT. Raises
    InputError where they are too few or leave the pose open, and rig.NodesRemoved where a node of the rig was removed
    meanwhile; the C-arm stays then.
    """
    if landmarksNode is None:
        raise InputError(
            _("landmarks"), expected=_("points on the CT"), found=_("none"), remedy=_("choose or place some")
        )
    names, points = _points(landmarksNode, landmarksNode.GetNthControlPointPositionWorld)
    _requireUnique(names, landmarksNode)
    seen = [marked(view) for view in theRig.views]
    anywhere = {name for view in seen for name in view}
    paired = [number for number, name in enumerate(names) if name in anywhere]
    labels = tuple(names[number] for number in paired)
    pixels = [np.array([view.get(name, (np.nan, np.nan)) for name in labels]).reshape(-1, 2) for view in seen]
    yield _("Looking for the pose that fits the landmarks")
    found = yield from worker.askSteps(
        "landmarks",
        projections=[view.projection.as_dict() for view in theRig.views],
        points=points[paired].tolist(),
        pixels=[each.tolist() for each in pixels],
        isocentre=posing.isocentre(volumeNode).tolist(),
        names=labels,
    )
    theRig.requireAll()
    before = rig.worldFromVolume(theRig)
    rig.setWorldFromVolume(theRig, np.array(found["world_from_volume"]))
    posing.markPosed(theRig)
    unpaired = tuple(sorted(set(names) ^ anywhere))
    return LandmarkFit(
        found["reason"],
        np.array(found["residuals_px"]),
        np.array(found["residuals_mm"]),
        labels,
        tuple(view.name for view in theRig.views),
        unpaired,
        before,
    )


def residuals(theRig: Rig, landmarksNode: slicer.vtkMRMLMarkupsFiducialNode) -> list[Residual]:
    """How well the pose that is shown fits the landmarks: a Residual for each mark in an X-ray that has a partner.

    Raises InputError where a name occurs twice in an X-ray.
    """
    names, points = _points(landmarksNode, landmarksNode.GetNthControlPointPositionWorld)
    found = []
    for view in theRig.views:
        marks, camera, cameraFromVolume = marked(view), view.camera, rig.cameraFromVolume(theRig, view)
        inCamera = points @ cameraFromVolume[:3, :3].T + cameraFromVolume[:3, 3]
        pixels = camera.project(inCamera)
        for name, pixel, place in zip(names, pixels, inCamera, strict=True):
            if name in marks:
                off = float(np.linalg.norm(pixel - marks[name]))
                found.append(Residual(name, view.name, off, off * float(place[2]) / float(camera.matrix[0, 0])))
    return found


def reprojectedPoints(
    theRig: Rig, view: View, markupsNodes: list[slicer.vtkMRMLMarkupsFiducialNode]
) -> list[ReprojectedPoint]:
    """Where the control points of markups nodes appear in a view: a list of ReprojectedPoint.

    Points behind the source, outside the image or hidden are left out.
    """
    camera, cameraFromVolume = view.camera, rig.cameraFromVolume(theRig, view)
    found = []
    for node in markupsNodes:
        for index in range(node.GetNumberOfControlPoints()):
            if not (_isDefined(node, index) and node.GetNthControlPointVisibility(index)):
                continue
            place = np.array(node.GetNthControlPointPositionWorld(index))
            column, row = camera.project(cameraFromVolume[:3, :3] @ place + cameraFromVolume[:3, 3])
            if -0.5 <= column < camera.width - 0.5 and -0.5 <= row < camera.height - 0.5:
                label = node.GetNthControlPointLabel(index)
                found.append(ReprojectedPoint(node, index, label, float(column), float(row)))
    return found


def _existing(view: View) -> Any:
    return view.picture.GetNodeReference(_LANDMARKS)


def _points(node: slicer.vtkMRMLMarkupsFiducialNode, positionOf: Callable[..., Any]) -> tuple[list[str], np.ndarray]:
    """Names and positions (N, 3) of the control points that have one."""
    numbers = [n for n in range(node.GetNumberOfControlPoints()) if _isDefined(node, n)]
    names = [node.GetNthControlPointLabel(n) for n in numbers]
    return names, np.array([positionOf(n) for n in numbers]).reshape(-1, 3)


def _isDefined(node: slicer.vtkMRMLMarkupsFiducialNode, index: int) -> bool:
    return node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined


def _requireUnique(names: Any, node: slicer.vtkMRMLMarkupsFiducialNode) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            _("landmarks {node}").format(node=node.GetName()),
            expected=_("a name for each"),
            found=_("several called {names}").format(names=", ".join(twice)),
            remedy=_("rename them"),
        )
