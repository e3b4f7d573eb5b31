"""Slice and 3D views: Slicer's displayable managers in off-screen windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
VIEW_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
)
SIZE_PX = (480, 480)


class _View:
    def __init__(self, factory: Any) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*SIZE_PX)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self._before_managers()
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)

    def _before_managers(self) -> None:
        """What must be in the renderer first."""

    def render(self) -> None:
        self.window.Render()

    def picture(self, path: Path | None = None) -> NDArray[np.uint8]:
        """What the view shows, (H, W, 3), row 0 on top; written to `path` when one is given."""
        self.render()
        grabbed = vtk.vtkWindowToImageFilter()
        grabbed.SetInput(self.window)
        grabbed.ReadFrontBufferOff()
        grabbed.ShouldRerenderOff()
        grabbed.Update()
        if path is not None:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(path))
            writer.SetInputConnection(grabbed.GetOutputPort())
            writer.Write()
        image = grabbed.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1].copy()


class SliceView(_View):
    """One slice view; also what layoutManager().sliceWidget(name) gives."""

    def __init__(self, app: Any, name: str) -> None:
        super().__init__(app.slice_factory)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app.application_logic)
        app.application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        self.node = self.logic.AddSliceNode(name)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(float(SIZE_PX[0]), float(SIZE_PX[1]))

    def _before_managers(self) -> None:
        # Stands in for the image layer of ctkVTKSliceView. As a later prop it would spoil translucent fills (VTK 9.6).
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        overlay = vtk.vtkRenderer()
        overlay.GetActiveCamera().ParallelProjectionOn()
        overlay.SetLayer(1)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(overlay)
        self.window.SetAlphaBitPlanes(1)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._image)

    def render(self) -> None:
        connection = self.logic.GetImageDataConnection()
        self._image.SetVisibility(bool(connection))
        if connection:
            self._mapper.SetInputConnection(connection)
        super().render()

    def sliceLogic(self) -> Any:
        return self.logic

    def mrmlSliceNode(self) -> Any:
        return self.node

    def pixel_of(self, ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Column and row, from the top left, at which the view shows a point (RAS mm)."""
        view_from_ras = np.linalg.inv(slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()))
        x, y = (view_from_ras @ [*ras, 1.0])[:2]
        return np.array([x, SIZE_PX[1] - 1 - y])


class ThreeDView(_View):
    """One 3D view; also what layoutManager().threeDWidget(n) gives."""

    def __init__(self, app: Any, name: str) -> None:
        super().__init__(app.view_factory)
        self.renderer.SetUseDepthPeeling(1)
        self.renderer.SetUseDepthPeelingForVolumes(1)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(app.application_logic)
        app.application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        self.node = self.logic.AddViewNode(name)
        self.group.SetMRMLDisplayableNode(self.node)

    def mrmlViewNode(self) -> Any:
        return self.node
