"""Where a view's image lies in the patient: on the detector, as the source sees it, never mirrored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

if TYPE_CHECKING:
    from xrayreg.geometry import Camera

# An image one pixel deep would vanish from its slice view as soon as somebody scrolls.
THICKNESS_MM = 10.0
# Entries of a matrix [mm] that differ by less are equal.
_ROUNDING = 1e-9


def worldFromPixels(camera: Camera) -> np.ndarray:
    """The rig's world from (column, row, slice) of an image on its detector, (4, 4) [mm]; never a mirror image.

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


def resizedCamera(camera: Camera, longestPx: int) -> Camera:
    """The camera of the same picture on a grid whose longer side has `longestPx` pixels."""
    return camera.fitted(longestPx)


def rasFromPixels(image: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """RAS from (column, row, slice) of a volume node on a detector, (4, 4) [mm], with the C-arm's pose now."""
    rasFromIndex, rasFromWorld = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(rasFromIndex)
    if image.GetParentTransformNode():
        image.GetParentTransformNode().GetMatrixTransformToWorld(rasFromWorld)
    return slicer.util.arrayFromVTKMatrix(rasFromWorld) @ slicer.util.arrayFromVTKMatrix(rasFromIndex)


def rasFromSlice(image: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """RAS from slice (4, 4) [mm]: the image's columns to the right, its rows downwards, seen from the source."""
    matrix = rasFromPixels(image)
    columns, rows, _slices = image.GetImageData().GetDimensions()
    x = matrix[:3, 0] / np.linalg.norm(matrix[:3, 0])
    # With skewed pixels the rows are not quite at right angles to the columns; a slice must be.
    down = matrix[:3, 1] - x * (x @ matrix[:3, 1])
    y = -down / np.linalg.norm(down)
    placed = np.eye(4)
    placed[:3, 0], placed[:3, 1], placed[:3, 2] = x, y, np.cross(x, y)
    placed[:3, 3] = (matrix @ ((columns - 1) / 2, (rows - 1) / 2, 0, 1))[:3]
    return placed


def fillImage(node: slicer.vtkMRMLVolumeNode, pixels: np.ndarray, camera: Camera) -> None:
    """Give a volume node an image (height, width) of `camera`, lying on the detector."""
    rasFromIndex = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(rasFromIndex)
    wanted = worldFromPixels(camera)
    # The node keeps spacing and directions apart; what is only rounding would set everything about it in motion.
    if np.abs(slicer.util.arrayFromVTKMatrix(rasFromIndex) - wanted).max() > _ROUNDING:
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(wanted))
    # Files keep their own byte order, VTK takes only the computer's.
    image = np.ascontiguousarray(pixels[None], pixels.dtype.newbyteorder("="))
    present = slicer.util.arrayFromVolume(node) if node.GetImageData() is not None else None
    if present is not None and present.shape == image.shape and present.dtype == image.dtype:
        # Views draw changed pixels much sooner than another image.
        present[:] = image
        slicer.util.arrayFromVolumeModified(node)
    else:
        slicer.util.updateVolumeFromArray(node, image)


def beam(camera: Camera) -> Any:
    """The pyramid from the source to the detector's corners, in the rig's world."""
    right, bottom = camera.width - 0.5, camera.height - 0.5
    corners = [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)]
    fromPixels = worldFromPixels(camera)
    points = vtk.vtkPoints()
    points.InsertNextPoint(np.linalg.inv(camera.camera_from_world)[:3, 3])
    for column, row in corners:
        points.InsertNextPoint((fromPixels @ (column, row, 0, 1))[:3])
    lines = vtk.vtkCellArray()
    for corner in range(1, 5):
        for end in (0, corner % 4 + 1):
            lines.InsertNextCell(2)
            lines.InsertCellPoint(corner)
            lines.InsertCellPoint(end)
    pyramid = vtk.vtkPolyData()
    pyramid.SetPoints(points)
    pyramid.SetLines(lines)
    return pyramid
