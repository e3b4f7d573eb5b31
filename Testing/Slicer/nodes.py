"""Nodes for the tests of the scene: a small oblique CT, segments, X-rays, parameters, and steps run to their end."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

# A CT that nothing is aligned with: anisotropic, turned and left-handed, (40, 50, 60) voxels [k, j, i].
SHAPE = (40, 50, 60)
RAS_FROM_INDEX = np.eye(4)
RAS_FROM_INDEX[:3, :3] = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix() @ np.diag([1.5, -2.0, 3.0])
RAS_FROM_INDEX[:3, 3] = -30.0, 45.0, 12.0

PICTURE_DIRECTIONS = np.diag([-1.0, -1.0, 1.0, 1.0])


def some_pose() -> np.ndarray:
    """Some rigid world_from_volume."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    matrix[:3, 3] = 12.0, -33.0, 25.0
    return matrix


def turned(scale: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """Some transform: scaled, then turned and shifted."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.2, 0.5, -0.9]).as_matrix() @ np.diag(scale)
    matrix[:3, 3] = 3.0, -20.0, 55.0
    return matrix


def add_ct(values: np.ndarray | None = None, matrix: np.ndarray = RAS_FROM_INDEX, name: str = "CT") -> Any:
    import slicer

    if values is None:
        values = np.random.default_rng(3).integers(-1000, 1500, SHAPE).astype(np.int16)
    return slicer.util.addVolumeFromArray(values, matrix, name)


def blob(width: int = 120, height: int = 90) -> np.ndarray:
    """A picture that looks different however it is turned or mirrored: float32 (height, width), bright air."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    picture = 1000 * np.exp(-(((u - 0.3 * width) / 14) ** 2) - ((v - 0.35 * height) / 9) ** 2)
    picture += 600 * np.exp(-(((u - 0.7 * width) / 6) ** 2) - ((v - 0.7 * height) / 12) ** 2)
    return (1200 - picture + 2 * u + 0.5 * v).astype(np.float32)


def add_xray(pixels: np.ndarray | None = None, name: str = "X-ray") -> Any:
    """An X-ray node as Slicer's readers make it; (height, width), or (height, width, 3) for a colour picture."""
    import slicer

    pixels = blob() if pixels is None else pixels
    kind = "vtkMRMLVectorVolumeNode" if pixels.ndim == 3 else "vtkMRMLScalarVolumeNode"
    if pixels.ndim == 2:
        return slicer.util.addVolumeFromArray(pixels[None], PICTURE_DIRECTIONS, name, kind)
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    image = vtk.vtkImageData()
    image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    scalars = numpy_to_vtk(np.ascontiguousarray(pixels).reshape(-1, pixels.shape[2]), deep=True)
    image.GetPointData().SetScalars(scalars)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(PICTURE_DIRECTIONS))
    return node


def add_segmentation(*masks: np.ndarray, matrix: np.ndarray = RAS_FROM_INDEX, name: str = "Bones") -> Any:
    """A segmentation of binary masks [k, j, i], each in an image of its own, called "bone 1", "bone 2" ..."""
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for number, mask in enumerate(masks, 1):
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(mask.shape[::-1])
        image.GetPointData().SetScalars(numpy_to_vtk(mask.astype(np.uint8).ravel(), deep=True))
        image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
        segment = slicer.vtkSegment()
        segment.SetName(f"bone {number}")
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, f"bone_{number}")
    return node


def box(k: slice, j: slice, i: slice, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[k, j, i] = True
    return mask


def transform(matrix: np.ndarray, *children: Any) -> Any:
    """A linear transform node above the children."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "above")
    slicer.util.updateTransformMatrixFromArray(node, matrix)
    for child in children:
        child.SetAndObserveTransformNodeID(node.GetID())
    return node


def bend(*children: Any) -> Any:
    """A transform node that is not linear above the children."""
    import slicer
    import vtk

    points = [(0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)]
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for number, point in enumerate(points):
        source.InsertNextPoint(point)
        target.InsertNextPoint([value + 5 * (number == 1) for value in point])
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    node.SetAndObserveTransformToParent(spline)
    for child in children:
        child.SetAndObserveTransformNodeID(node.GetID())
    return node


def new_parameters(**values: Any) -> Any:
    """The module's parameters (XRayRegistrationLib.parameters.Parameters) in a node of their own."""
    import slicer

    from XRayRegistrationLib.parameters import Parameters

    parameters = Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "XRayRegistration"))
    for name, value in values.items():
        setattr(parameters, name, value)
    return parameters


def run(steps: Generator[Any, None, Any]) -> Any:
    """What a generator of steps returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def last(steps: Iterable[Any]) -> Any:
    """The last thing that steps bring."""
    found = None
    for step in steps:
        found = step
    return found


def reopen(app: Any, folder: Path) -> None:
    """Save the scene, clear it, and load it again."""
    app.save_scene(folder / "scene.mrb")
    app.scene.Clear(0)
    app.load_scene(folder / "scene.mrb")


def count(app: Any) -> int:
    return int(app.scene.GetNumberOfNodes())
