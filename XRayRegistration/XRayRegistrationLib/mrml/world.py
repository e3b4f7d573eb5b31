"""Where the user's nodes lie in Slicer's RAS world, with the transforms that they stand under."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from xrayreg.checks import InputError


def worldFromNode(node: slicer.vtkMRMLTransformableNode, what: str) -> np.ndarray:
    """RAS world from a node's own coordinates (4, 4) [mm]: its linear parent transforms.

    Raises InputError, naming `what`, under a transform that bends space: it has no matrix.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(
            f"{what} {node.GetName()}",
            expected=_("linear transforms above it"),
            found=_("one that bends it ({name})").format(name=parent.GetName()),
            remedy=_("harden that transform first, in the module Transforms"),
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def worldFromIndex(volumeNode: slicer.vtkMRMLScalarVolumeNode, what: str) -> np.ndarray:
    """RAS world from voxel indices (i, j, k) of a volume node, (4, 4) [mm]; raises InputError as `worldFromNode`."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return worldFromNode(volumeNode, what) @ slicer.util.arrayFromVTKMatrix(matrix)
