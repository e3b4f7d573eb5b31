"""The patient's bones as a surface beside the C-arm, small enough to be redrawn with every step of a slider."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..mrml import rig as rigs
from ..mrml.hidden import addHidden
from . import layout

if TYPE_CHECKING:
    from ..mrml.rig import Rig
    from ..parameters import Parameters

# Threshold of bone [HU]. Volumes without negative values are taken as thousandths of water's attenuation.
_BONE_HU, _WATER = 220.0, 1000.0
# Voxels of the grid on which the surface is found, at most, and its finest spacing [mm].
_MOST_VOXELS, _FINEST_MM = 3_000_000, 1.2
# Voxels averaged between two steps.
_AT_ONCE = 4_000_000
_TONE = (0.93, 0.87, 0.75)
# Before the X-ray, for an eye at the source.
_TRANSLUCENT = 0.16
_MADE_OF = "XRayRegistration.madeOf"


def isCurrent(rig: Rig, volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the rig's surface belongs to the current state of a CT."""
    model = rig.pose.GetNodeReference(rigs.BONES)
    return model is not None and model.GetAttribute(_MADE_OF) == _version(volume)


def surfaceSteps(rig: Rig, volume: slicer.vtkMRMLScalarVolumeNode) -> Generator[Any, None, None]:
    """Make the surface of a CT's bones for a rig, in short steps that yield None."""
    version = _version(volume)
    means, rasFromIndex = yield from _coarsened(volume)
    for axis in range(3):
        # Noise and the steps of voxels would roughen the surface.
        means = _smoothed(means, axis)
        yield
    image = vtk.vtkImageData()
    image.SetDimensions(*means.shape[::-1])
    scalars = numpy_to_vtk(means.ravel(), deep=True)
    image.GetPointData().SetScalars(scalars)
    surface = vtk.vtkFlyingEdges3D()
    surface.SetInputData(image)
    surface.SetValue(0, _BONE_HU if means.min() < 0 else _BONE_HU + _WATER)
    surface.ComputeNormalsOff()
    surface.ComputeScalarsOff()
    surface.Update()
    yield
    placed, matrix = vtk.vtkTransformPolyDataFilter(), vtk.vtkTransform()
    matrix.SetMatrix(slicer.util.vtkMatrixFromArray(rasFromIndex))
    placed.SetTransform(matrix)
    placed.SetInputConnection(surface.GetOutputPort())
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(placed.GetOutputPort())
    normals.SplittingOff()
    # The grid may be left-handed, which turns triangles over.
    normals.SetFlipNormals(bool(np.linalg.det(rasFromIndex[:3, :3]) < 0))
    normals.ConsistencyOff()
    normals.Update()
    yield
    model = rig.pose.GetNodeReference(rigs.BONES) or _model(rig, volume)
    model.SetAndObservePolyData(normals.GetOutput())
    model.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    model.SetAttribute(_MADE_OF, version)


def applyAppearance(rig: Rig, parameters: Parameters) -> None:
    """Show the bones in the C-arm's view and in the view from the source, unless the CT is volume-rendered."""
    model = rig.pose.GetNodeReference(rigs.BONES)
    if model is None:
        return
    volume = parameters.volume
    if volume is not None and model.GetTransformNodeID() != volume.GetTransformNodeID():
        model.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    wanted = volume is not None and isCurrent(rig, volume) and not _isRendered(volume)
    for number, shown in enumerate((parameters.showCarm, parameters.showXrayEye)):
        display = model.GetNthDisplayNode(number)
        if display is not None:
            display.SetVisibility(bool(wanted and shown))


def _coarsened(volume: slicer.vtkMRMLScalarVolumeNode) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
    """Means [k, j, i] over blocks of a CT's voxels, and RAS from their indices (4, 4) [mm] without its transforms."""
    voxels = slicer.util.arrayFromVolume(volume)
    spacing = np.array(volume.GetSpacing())
    target = max(_FINEST_MM, float(np.prod(spacing) * voxels.size / _MOST_VOXELS) ** (1 / 3))
    block = np.clip(np.rint(target / spacing), 1, voxels.shape[::-1]).astype(int)
    across, along, deep = (int(n) for n in block)
    slices, rows, columns = (size // step for size, step in zip(voxels.shape, (deep, along, across), strict=True))
    means = np.empty((slices, rows, columns), np.float32)
    done = 0
    for n in range(slices):
        slab = voxels[n * deep : (n + 1) * deep, : rows * along, : columns * across]
        means[n] = slab.reshape(deep, rows, along, columns, across).mean(axis=(0, 2, 4), dtype=np.float32)
        done += slab.size
        if done > _AT_ONCE:
            done = 0
            yield
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    indexFromBlock = np.diag([*block, 1.0])
    indexFromBlock[:3, 3] = (block - 1) / 2
    return means, slicer.util.arrayFromVTKMatrix(matrix) @ indexFromBlock


def _smoothed(values: np.ndarray, axis: int) -> np.ndarray:
    """Binomial means of three along an axis; the border stays."""
    along = np.moveaxis(values, axis, 0)
    smooth = along.copy()
    smooth[1:-1] = (along[:-2] + 2 * along[1:-1] + along[2:]) / 4
    return np.ascontiguousarray(np.moveaxis(smooth, 0, axis))


def _model(rig: Rig, volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLModelNode:
    """A new model, hidden from lists, with one display for the C-arm's view and one for the X-ray eye."""
    model = addHidden("vtkMRMLModelNode", f"{volume.GetName()} bones")
    for viewName, opacity in ((layout.THREED_VIEW, 1.0), (layout.EYE_VIEW, _TRANSLUCENT)):
        display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelDisplayNode")
        display.SetVisibility(False)
        display.SetVisibility2D(False)
        display.SetColor(*_TONE)
        display.SetOpacity(opacity)
        display.SetViewNodeIDs([layout.threeDViewID(viewName)])
        model.AddAndObserveDisplayNodeID(display.GetID())
    rig.pose.SetNodeReferenceID(rigs.BONES, model.GetID())
    return model


def _isRendered(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    displays = [volume.GetNthDisplayNode(n) for n in range(volume.GetNumberOfDisplayNodes())]
    return any(
        display is not None and display.IsA("vtkMRMLVolumeRenderingDisplayNode") and display.GetVisibility()
        for display in displays
    )


def _version(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Identifies a CT and its values; valid for a session only: after loading a scene the surface is computed again."""
    return f"{volume.GetID()} {volume.GetImageData().GetMTime() if volume.GetImageData() else 0}"
