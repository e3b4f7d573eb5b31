"""The rig: the C-arm's pose and its X-ray views, as nodes of the scene.

The patient is not moved. The data of the X-ray machine (images, DRR, edges, beam) lie in the rig's world, which for a
single view is the camera's frame, under a transform from that world to the patient: the inverse
of world_from_volume, where `volume` is Slicer's RAS world. Moving the transform moves the C-arm.

The transform refers to one picture on a detector for each view; the picture refers to everything else of its view. So
a rig is found again in a saved scene, and a node that somebody removed is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import slicer

from . import detector
from .hidden import addHidden

if TYPE_CHECKING:
    from xrayreg.geometry import Camera, Projection

# More views than a layout can show at a size that helps.
MOST_VIEWS = 4

# Longer side of the images that hold nothing yet [pixels].
_EMPTY_PX = 32

_PREFIX = "XRayRegistration."
# What the picture's name has more than the view's.
_ON_DETECTOR = " on detector"
_PICTURES, _PROJECTION, _SHOWN = (_PREFIX + name for name in ("pictures", "projection", "shown"))
# Roles of what is drawn besides the companions: of a picture, and of the pose.
PLANS, EDGE_COLORS, BONES = (_PREFIX + name for name in ("plans", "edgeColors", "bones"))
# The companions of a view's picture and their classes.
_COMPANIONS = {
    "drr": "vtkMRMLScalarVolumeNode",
    "edges": "vtkMRMLLabelMapVolumeNode",
    "segments": "vtkMRMLSegmentationNode",
    "points": "vtkMRMLMarkupsFiducialNode",
    "beam": "vtkMRMLModelNode",
}


class NodesRemoved(RuntimeError):
    """Nodes of the rig are no longer in the scene."""


@dataclass(frozen=True)
class View:
    """One X-ray view, known by its picture on the detector (a one-slice volume node)."""

    picture: slicer.vtkMRMLScalarVolumeNode

    @property
    def name(self) -> str:
        return self.picture.GetName().replace(_ON_DETECTOR, "")

    @property
    def source(self) -> Any:
        """The X-ray as the user loaded it, a volume node, or None when it was removed; it is never moved or changed."""
        return self.picture.GetNodeReference(_PREFIX + "source")

    @property
    def drr(self) -> slicer.vtkMRMLScalarVolumeNode:
        """One-slice volume of the rendered DRR (see display.drawing for its numbers; 0 where nothing is shown)."""
        return self._companion("drr")

    @property
    def edges(self) -> slicer.vtkMRMLLabelMapVolumeNode:
        """One-slice label map of the DRR's edges: how much of a pixel they cover, 0 to 255."""
        return self._companion("edges")

    @property
    def segments(self) -> slicer.vtkMRMLSegmentationNode:
        """The patient's segments reprojected on the detector."""
        return self._companion("segments")

    @property
    def points(self) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Landmarks and plans reprojected on the detector."""
        return self._companion("points")

    @property
    def plans(self) -> list[slicer.vtkMRMLMarkupsFiducialNode]:
        """Plans of other modules reprojected on the detector, a markups node for each."""
        count = self.picture.GetNumberOfNodeReferences(PLANS)
        found = (self.picture.GetNthNodeReference(PLANS, n) for n in range(count))
        return [node for node in found if node is not None]

    @property
    def beam(self) -> slicer.vtkMRMLModelNode:
        """Model of the pyramid from source to detector."""
        return self._companion("beam")

    @property
    def projection(self) -> Projection:
        """The view's geometry (xrayreg.geometry.Projection)."""
        from xrayreg.geometry import Projection

        return Projection.from_dict(json.loads(self.picture.GetAttribute(_PROJECTION) or ""))

    @property
    def camera(self) -> Camera:
        """The view's pinhole camera; raises InputError for numbers that make none."""
        return self.projection.camera()

    @property
    def shown(self) -> bool:
        """Whether the view takes part in the layout and the overlays."""
        return self.picture.GetAttribute(_SHOWN) != "no"

    def setShown(self, shown: bool) -> None:
        self.picture.SetAttribute(_SHOWN, "yes" if shown else "no")

    def companions(self) -> list[Any]:
        return [self._companion(role) for role in _COMPANIONS]

    def _companion(self, role: str) -> Any:
        return self.picture.GetNodeReference(_PREFIX + role)


@dataclass(frozen=True)
class Rig:
    """The C-arm's pose (vtkMRMLLinearTransformNode) and its views (a tuple of View)."""

    pose: slicer.vtkMRMLLinearTransformNode
    views: tuple[View, ...]

    def requireAll(self) -> None:
        """Raise NodesRemoved unless all nodes are still in a scene."""
        nodes = [self.pose, *(node for view in self.views for node in (view.picture, *view.companions()))]
        if not all(node is not None and node.GetScene() for node in nodes):
            raise NodesRemoved("The pose or an image of a view was removed from the scene.")


def createRig(name: str = "C-arm pose") -> Rig:
    """A rig without views; it stands in the textbook pose once it has a volume (see poses)."""
    return Rig(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name), ())


@overload
def rigOf(pose: None) -> None: ...
@overload
def rigOf(pose: slicer.vtkMRMLLinearTransformNode) -> Rig: ...
def rigOf(pose: slicer.vtkMRMLLinearTransformNode | None) -> Rig | None:
    """The rig of a transform node, or None without one. Companions that were removed are made again."""
    if pose is None or pose.GetScene() is None:
        return None
    found = (pose.GetNthNodeReference(_PICTURES, n) for n in range(pose.GetNumberOfNodeReferences(_PICTURES)))
    views = tuple(View(picture) for picture in found if picture is not None and picture.GetScene())
    for view in views:
        if not all(view.companions()):
            _addCompanions(pose, view.picture)
            setProjection(view, view.projection)
    return Rig(pose, views)


def addView(rig: Rig, source: Any, projection: Projection, name: str | None = None) -> Rig:
    """The rig with one more view of the X-ray `source` (a volume node, or None); raises ValueError beyond MOST_VIEWS.

    Its picture stays black until `showPixels`.
    """
    if len(rig.views) == MOST_VIEWS:
        raise ValueError(f"A rig has at most {MOST_VIEWS} views; remove one first.")
    name = name or source.GetName()
    picture = addHidden("vtkMRMLScalarVolumeNode", f"{name}{_ON_DETECTOR}")
    picture.SetAndObserveTransformNodeID(rig.pose.GetID())
    picture.CreateDefaultDisplayNodes()
    picture.GetDisplayNode().SetAutoWindowLevel(False)
    picture.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    if source is not None:
        picture.SetNodeReferenceID(_PREFIX + "source", source.GetID())
    rig.pose.AddNodeReferenceID(_PICTURES, picture.GetID())
    _addCompanions(rig.pose, picture)
    view = View(picture)
    setProjection(view, projection)
    return rigOf(rig.pose)


def removeView(rig: Rig, view: View) -> Rig:
    """The rig without one of its views; the user's X-ray stays in the scene."""
    for n in range(rig.pose.GetNumberOfNodeReferences(_PICTURES)):
        if rig.pose.GetNthNodeReference(_PICTURES, n) is view.picture:
            rig.pose.RemoveNthNodeReferenceID(_PICTURES, n)
            break
    for node in (*view.plans, *view.companions(), view.picture):
        removeNode(node)
    left = rigOf(rig.pose)
    if not left.views:
        for role in (EDGE_COLORS, BONES):
            removeNode(rig.pose.GetNodeReference(role))
    return left


def removeNode(node: Any) -> None:
    """Remove a node with its display and storage nodes, which a scene would keep; None is nothing."""
    if node is None or node.GetScene() is None:
        return
    displays = node.GetNumberOfDisplayNodes() if node.IsA("vtkMRMLDisplayableNode") else 0
    belongings = [node.GetNthDisplayNode(n) for n in range(displays)]
    belongings += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    for each in (node, *belongings):
        if each is not None and each.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(each)


def setProjection(view: View, projection: Projection) -> None:
    """Give a view its geometry (xrayreg.geometry.Projection): picture and beam move with the detector.

    The picture keeps its pixels where it has the right size, else it turns black; DRR and edges are emptied.
    Raises InputError for numbers that make no camera, and changes nothing then.
    """
    camera = projection.camera()
    view.picture.SetAttribute(_PROJECTION, json.dumps(projection.as_dict()))
    pixels = np.zeros((camera.height, camera.width), np.uint8)
    if view.picture.GetImageData() and view.picture.GetImageData().GetDimensions()[:2] == (camera.width, camera.height):
        pixels = slicer.util.arrayFromVolume(view.picture)[0].copy()
    detector.fillImage(view.picture, pixels, camera)
    coarse = detector.resizedCamera(camera, _EMPTY_PX)
    for image in (view.drr, view.edges):
        detector.fillImage(image, np.zeros((coarse.height, coarse.width), np.uint8), coarse)
    view.beam.SetAndObservePolyData(detector.beam(camera))


def showPixels(view: View, grey: np.ndarray) -> None:
    """Show an upright pinhole image, uint8 (height, width) of the view's size."""
    detector.fillImage(view.picture, grey, view.camera)


def worldFromVolume(rig: Rig) -> np.ndarray:
    """The pose world_from_volume (4, 4) [mm] that the transform holds now."""
    return np.linalg.inv(slicer.util.arrayFromTransformMatrix(rig.pose, toWorld=True))


def setWorldFromVolume(rig: Rig, matrix: np.ndarray) -> None:
    """Move the C-arm to a pose world_from_volume (4, 4) [mm]."""
    slicer.util.updateTransformMatrixFromArray(rig.pose, np.linalg.inv(matrix), toWorld=True)


def cameraFromVolume(rig: Rig, view: View) -> np.ndarray:
    """The pose camera_from_volume (4, 4) [mm] of one view."""
    return view.camera.camera_from_world @ worldFromVolume(rig)


def setCameraFromVolume(rig: Rig, view: View, matrix: np.ndarray) -> None:
    """Move the C-arm so that a view stands at camera_from_volume (4, 4) [mm]; the rig moves as a whole."""
    setWorldFromVolume(rig, np.linalg.inv(view.camera.camera_from_world) @ matrix)


def _addCompanions(pose: Any, picture: Any) -> None:
    stem = View(picture).name
    for role, className in _COMPANIONS.items():
        if picture.GetNodeReference(_PREFIX + role) is not None:
            continue
        node = addHidden(className, f"{stem} {role}")
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(pose.GetID())
        picture.SetNodeReferenceID(_PREFIX + role, node.GetID())
