"""Slice and 3D views: Slicer's displayable managers in off-screen windows. What is in snake_case is for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

# As Slicer registers them: those of its views first, then those of its modules.
SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
VIEW_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLLinearTransformsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLColorLegendDisplayableManager",
)
SIZE_PX = (480, 480)


class View:
    """A window with a renderer and its displayable managers, which a mouse can reach."""

    def __init__(self, factory: Any, style: Any, observer: Any) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetAlphaBitPlanes(1)
        self.window.SetSize(*SIZE_PX)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(style)
        self._before_managers()
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)
        self.observer = observer
        self.observer.SetInteractor(self.interactor)
        self.observer.SetDisplayableManagers(self.group)
        self.interactor.Enable()

    def _before_managers(self) -> None:
        """What must be in the renderer first."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.window.GetSize()

    def resize(self, width: int, height: int) -> None:
        """Give the view another size; what was seen stays in sight."""
        self.window.SetSize(width, height)

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

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a pixel, counted from the top left."""
        self.interactor.SetEventPosition(round(x), self.size[1] - 1 - round(y))
        self.interactor.MouseMoveEvent()

    def press(self, x: float, y: float, button: str = "Left", keys: Iterable[str] = ()) -> None:
        """Press a mouse button at a pixel; `keys` are held meanwhile: Shift, Control, Alt."""
        self.move(x, y)
        for key in ("Shift", "Control", "Alt"):
            getattr(self.interactor, f"Set{key}Key")(key in keys)
        self.interactor.InvokeEvent(f"{button}ButtonPressEvent")

    def release(self, x: float, y: float, button: str = "Left") -> None:
        self.move(x, y)
        self.interactor.InvokeEvent(f"{button}ButtonReleaseEvent")
        for key in ("Shift", "Control", "Alt"):
            getattr(self.interactor, f"Set{key}Key")(False)

    def click(self, x: float, y: float, button: str = "Left", keys: Iterable[str] = ()) -> None:
        """Press and release at a pixel."""
        self.press(x, y, button, keys)
        self.release(x, y, button)

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "Left", steps: int = 5) -> None:
        """Press at one pixel, move on and release at another."""
        self.press(*start, button)
        for share in np.linspace(0, 1, steps + 1)[1:]:
            self.move(*(np.array(start) + share * (np.array(end) - start)))
        self.release(*end, button)


class SliceView(View):
    """One slice view with its logic."""

    def __init__(self, app: Any, node: Any) -> None:
        observer = slicer.vtkMRMLSliceViewInteractorStyle()
        super().__init__(app.slice_factory, vtk.vtkInteractorStyleUser(), observer)
        self.node = node
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app.application_logic)
        app.application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetDisplayableManagerGroup(self.group)
        self.logic.SetSliceNode(node)
        self.logic.SetMRMLScene(app.scene)
        observer.SetSliceLogic(self.logic)
        self.group.SetMRMLDisplayableNode(node)
        self.tell_size()

    def _before_managers(self) -> None:
        # Stands in for the image layer of ctkVTKSliceView. As a later prop it would spoil translucent fills (VTK 9.6).
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        overlay = vtk.vtkRenderer()
        overlay.GetActiveCamera().ParallelProjectionOn()
        overlay.SetLayer(1)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(overlay)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._image)

    def tell_size(self) -> None:
        """Tell the slice node the window's size, which it forgets when the scene is closed."""
        self.logic.ResizeSliceNode(*map(float, self.size))

    def resize(self, width: int, height: int) -> None:
        seen = self.node.GetFieldOfView()
        super().resize(width, height)
        self.tell_size()
        mm_per_pixel = max(seen[0] / width, seen[1] / height)
        self.node.SetFieldOfView(mm_per_pixel * width, mm_per_pixel * height, seen[2])

    def render(self) -> None:
        connection = self.logic.GetImageDataConnection()
        self._image.SetVisibility(bool(connection))
        if connection:
            self._mapper.SetInputConnection(connection)
        super().render()

    def pixel_of(self, ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Column and row, from the top left, at which the view shows a point (RAS mm)."""
        view_from_ras = np.linalg.inv(slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()))
        x, y = (view_from_ras @ [*ras, 1.0])[:2]
        return np.array([x, self.size[1] - 1 - y])

    def ras_of(self, x: float, y: float) -> NDArray[np.float64]:
        """The point (RAS mm) that the view shows at a column and row from the top left."""
        return (slicer.util.arrayFromVTKMatrix(self.node.GetXYToRAS()) @ [x, self.size[1] - 1 - y, 0.0, 1.0])[:3]


class ThreeDView(View):
    """One 3D view with its logic."""

    def __init__(self, app: Any, node: Any) -> None:
        observer = slicer.vtkMRMLThreeDViewInteractorStyle()
        super().__init__(app.view_factory, vtk.vtkInteractorStyle3D(), observer)
        self.renderer.SetUseDepthPeeling(1)
        self.renderer.SetUseDepthPeelingForVolumes(1)
        self.node = node
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(app.application_logic)
        app.application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        self.logic.AddViewNode(node.GetLayoutName())
        self.logic.SetDisplayableManagerGroup(self.group)
        self.group.SetMRMLDisplayableNode(node)

    def camera_node(self) -> Any:
        return self.group.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()

    def pixel_of(self, ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Column and row, from the top left, at which the view shows a point (RAS mm)."""
        self.renderer.SetWorldPoint(*ras, 1.0)
        self.renderer.WorldToDisplay()
        x, y, _depth = self.renderer.GetDisplayPoint()
        return np.array([x, self.size[1] - 1 - y])
