"""A case in the MRML scene, and poses between the two worlds.

The patient's volume stays where it is. What the X-ray machine brings (images, edges, beam) lies in the case's world,
which for a single view is the camera's frame, and hangs under a transform that takes that world to the patient: the
inverse of world_from_volume. Moving the transform moves the C-arm.
"""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

# An image one pixel deep would vanish from its slice view as soon as somebody scrolls.
THICKNESS_MM = 10.0
# Edges are drawn on a grid of their own, so that they are thin on a coarse X-ray and quick on a fine one [pixels].
EDGES_PX = 800
# From this value on, a pixel of the edges counts as covered.
_COVERED, _FULL = 128, 255

_CASE = "XRayRegistration.case"
_VOLUME, _XRAY, _EDGES, _BEAM = (f"XRayRegistration.{role}" for role in ("volume", "xray", "edges", "beam"))


class NodesRemoved(RuntimeError):
    """Nodes of the registration are no longer in the scene."""


@dataclass(frozen=True)
class ViewNodes:
    """One X-ray view: the image on the detector, the DRR's edges on it, and the beam from the source to it."""

    xray: object
    edges: object
    beam: object


@dataclass(frozen=True)
class CaseNodes:
    """The nodes of one case. The transform `pose` refers to all others, so that they are found in a saved scene."""

    pose: object
    volume: object
    views: tuple

    @classmethod
    def of(cls, pose):
        """The nodes to which a transform refers, or None where some are missing."""
        if pose is None or pose.GetScene() is None or pose.GetNumberOfNodeReferences(_XRAY) == 0:
            return None
        views = tuple(
            ViewNodes(*(pose.GetNthNodeReference(role, n) for role in (_XRAY, _EDGES, _BEAM)))
            for n in range(pose.GetNumberOfNodeReferences(_XRAY))
        )
        nodes = cls(pose, pose.GetNodeReference(_VOLUME), views)
        return nodes if all(nodes._all()) else None

    def requireAll(self):
        """Raise NodesRemoved unless all nodes are still in a scene."""
        if not all(node.GetScene() for node in self._all()):
            raise NodesRemoved("The pose, the volume or an image was removed from the scene.")

    def _all(self):
        return [self.pose, self.volume, *(node for view in self.views for node in (view.xray, view.edges, view.beam))]


def loadCase(scene, casePath, previousPose=None):
    """The nodes of a case's `scene` (xrayreg.scene.Scene), filled; those of `previousPose` when it is the same case."""
    from xrayreg.overlay import shown_grey

    nodes = CaseNodes.of(previousPose)
    if nodes is None or nodes.pose.GetAttribute(_CASE) != str(casePath) or len(nodes.views) != len(scene.views):
        nodes = _createNodes(str(casePath), casePath.stem, [view.name for view in scene.views])
    _fillVolume(nodes.volume, scene.volume.values, scene.volume.grid.volume_from_index)
    for view, radiograph in zip(nodes.views, scene.views, strict=True):
        worldFromPixels = detectorMatrix(radiograph.camera)
        # Raw counts look nearly black where there is bone.
        _fillVolume(view.xray, _FULL * shown_grey(radiograph)[None], worldFromPixels)
        _fillEdges(view.edges, worldFromPixels, radiograph.camera, edgeCamera(radiograph))
        view.beam.SetAndObservePolyData(_beam(radiograph.camera, worldFromPixels))
    return nodes


def detectorMatrix(camera):
    """The case's world from (column, row, slice) of an image on its detector, (4, 4) [mm]; never a mirror image.

    The detector stands at the source-to-image distance, or at a nominal one where the pixel pitch is unknown: any depth
    shows the same overlay.
    """
    from xrayreg.geometry import NOMINAL_SID_MM

    depth = camera.sid_mm or NOMINAL_SID_MM
    rays = np.linalg.inv(camera.matrix)
    cameraFromPixels = np.eye(4)
    cameraFromPixels[:3, 0] = depth * rays[:, 0]
    cameraFromPixels[:3, 1] = depth * rays[:, 1]
    cameraFromPixels[:3, 2] = (0.0, 0.0, THICKNESS_MM)
    cameraFromPixels[:3, 3] = depth * rays[:, 2]
    return np.linalg.inv(camera.camera_from_world) @ cameraFromPixels


def edgeCamera(radiograph):
    """The view's camera with the pixels of the grid on which its edges are drawn."""
    from xrayreg.overlay import resampled

    camera = radiograph.camera
    return resampled(radiograph, EDGES_PX / max(camera.width, camera.height)).camera


def setPose(nodes, worldFromVolume):
    """Move the C-arm to a pose world_from_volume (4, 4) [mm]."""
    slicer.util.updateTransformMatrixFromArray(nodes.pose, np.linalg.inv(worldFromVolume))


def worldFromVolume(nodes):
    """The pose (4, 4) [mm] that the transform holds now."""
    return np.linalg.inv(slicer.util.arrayFromTransformMatrix(nodes.pose))


def setEdges(view, coverage):
    """Show how much of each pixel (height, width) lines cover, 0 to 1."""
    slicer.util.updateVolumeFromArray(view.edges, np.rint(_FULL * coverage).astype(np.uint8)[None])


def setEdgeColor(nodes, red, green, blue):
    """Colour of the edges, each part 0 to 1."""
    for view in nodes.views:
        table = view.edges.GetDisplayNode().GetColorNode()
        for entry in range(table.GetNumberOfColors()):
            table.SetColor(entry, red, green, blue, 1.0)


def _createNodes(case, name, viewNames):
    pose = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"{name}: C-arm pose")
    pose.SetAttribute(_CASE, case)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name}: volume")
    volume.CreateDefaultDisplayNodes()
    pose.SetNodeReferenceID(_VOLUME, volume.GetID())
    views = []
    for viewName in viewNames:
        view = ViewNodes(
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name}: {viewName}"),
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name}: {viewName} edges"),
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", f"{name}: {viewName} beam"),
        )
        for role, node in ((_XRAY, view.xray), (_EDGES, view.edges), (_BEAM, view.beam)):
            node.CreateDefaultDisplayNodes()
            node.SetAndObserveTransformNodeID(pose.GetID())
            pose.AddNodeReferenceID(role, node.GetID())
        view.xray.GetDisplayNode().SetAutoWindowLevel(False)
        view.xray.GetDisplayNode().SetWindowLevelMinMax(0, _FULL)
        _showAsLines(view.edges)
        view.beam.GetDisplayNode().SetColor(1.0, 0.85, 0.2)
        view.beam.GetDisplayNode().SetLineWidth(2)
        view.beam.GetDisplayNode().SetVisibility2D(False)
        views.append(view)
    return CaseNodes(pose, volume, tuple(views))


def _fillVolume(node, values, rasFromIndex):
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(rasFromIndex))
    # Files keep their own byte order, VTK takes only the computer's.
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def _fillEdges(node, worldFromPixels, camera, finer):
    """An empty image of the edges' grid over the X-ray's; both cover the same rectangle, whose corner is at -1/2."""
    shares = np.array([camera.width / finer.width, camera.height / finer.height])
    pixelsFromFiner = np.diag([*shares, 1.0, 1.0])
    pixelsFromFiner[:2, 3] = (shares - 1) / 2
    _fillVolume(node, np.zeros((1, finer.height, finer.width), np.uint8), worldFromPixels @ pixelsFromFiner)


def _showAsLines(edges):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", edges.GetName() + " colors")
    table.SetTypeToUser()
    table.SetNumberOfColors(2)
    table.SetHideFromEditors(True)
    display = edges.GetDisplayNode()
    display.SetAndObserveColorNodeID(table.GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, _FULL)
    # A colour table's opacity counts only as all or nothing, so the lines' borders lie where they cover a half.
    display.SetThreshold(_COVERED, _FULL)
    display.SetApplyThreshold(True)


def _beam(camera, worldFromPixels):
    """The pyramid from the source to the detector's corners."""
    right, bottom = camera.width - 0.5, camera.height - 0.5
    corners = [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)]
    points = vtk.vtkPoints()
    points.InsertNextPoint(np.linalg.inv(camera.camera_from_world)[:3, 3])
    for column, row in corners:
        points.InsertNextPoint((worldFromPixels @ (column, row, 0, 1))[:3])
    lines = vtk.vtkCellArray()
    for corner in range(1, 5):
        for end in (0, corner % 4 + 1):
            lines.InsertNextCell(2)
            lines.InsertCellPoint(corner)
            lines.InsertCellPoint(end)
    beam = vtk.vtkPolyData()
    beam.SetPoints(points)
    beam.SetLines(lines)
    return beam
