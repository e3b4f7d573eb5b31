"""What layoutManager().sliceWidget(name) and threeDWidget(n) give: qMRML's widgets around the views, as far as Python
sees them (Q_INVOKABLE methods and slots of Slicer's Libs/MRML/Widgets and CTK's views, and nothing else)."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtGui import QColor

from .views import SliceView, ThreeDView, View


class _ViewFront:
    """What qMRMLSliceView and qMRMLThreeDView have in common (ctkVTKAbstractView)."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._annotation = vtk.vtkCornerAnnotation()
        view.renderer.AddViewProp(self._annotation)

    def renderWindow(self) -> Any:
        return self._view.window

    def interactor(self) -> Any:
        return self._view.interactor

    def interactorStyle(self) -> Any:
        return self._view.interactor.GetInteractorStyle()

    def interactorObserver(self) -> Any:
        return self._view.observer

    def cornerAnnotation(self) -> Any:
        return self._annotation

    def forceRender(self) -> None:
        self._view.render()

    def scheduleRender(self) -> None:
        """Nothing: a test draws a view when it looks at it."""

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._view.group.GetDisplayableManagerByClassName(name)

    def setBackgroundColor(self, color: QColor) -> None:
        self._view.renderer.SetBackground(color.redF(), color.greenF(), color.blueF())


class qMRMLSliceView(_ViewFront):
    """sliceWidget.sliceView()"""

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def convertDeviceToXYZ(self, xy: Any) -> tuple[float, ...]:
        return (float(xy[0]), float(xy[1]), 0.0)

    def convertXYZToRAS(self, xyz: Any) -> tuple[float, ...]:
        return tuple(self._view.node.GetXYToRAS().MultiplyPoint([*xyz, 1.0])[:3])

    def convertRASToXYZ(self, ras: Any) -> tuple[float, ...]:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self._view.node.GetXYToRAS(), inverse)
        return tuple(inverse.MultiplyPoint([*ras, 1.0])[:3])


class qMRMLThreeDView(_ViewFront):
    """threeDWidget.threeDView()"""

    def mrmlViewNode(self) -> Any:
        return self._view.node

    def cameraNode(self) -> Any:
        return self._view.camera_node()

    def resetCamera(
        self, resetRotation: bool = True, resetTranslation: bool = True, resetDistance: bool = True
    ) -> None:
        self.cameraNode().Reset(resetRotation, resetTranslation, resetDistance, self._view.renderer)

    def resetFocalPoint(self) -> None:
        node = self._view.node
        box, labels = node.GetBoxVisible(), node.GetAxisLabelsVisible()
        # The box must not count towards the bounds.
        node.SetBoxVisible(False)
        node.SetAxisLabelsVisible(False)
        bounds = [0.0] * 6
        self._view.renderer.ComputeVisiblePropBounds(bounds)
        if bounds[0] <= bounds[1]:
            self.setFocalPoint(*((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)))
        node.SetBoxVisible(box)
        node.SetAxisLabelsVisible(labels)
        node.InvokeEvent(node.ResetFocalPointRequestedEvent)
        self._view.renderer.ResetCameraClippingRange()

    def setFocalPoint(self, x: float, y: float, z: float) -> None:
        self._view.renderer.GetActiveCamera().SetFocalPoint(x, y, z)

    def rotateToViewAxis(self, axis: int) -> None:
        camera = self.cameraNode()
        directions = (camera.Left, camera.Right, camera.Posterior, camera.Anterior, camera.Inferior, camera.Superior)
        camera.RotateTo(directions[axis])


class _Controller:
    """The bar above a view; only its being shown matters."""

    def __init__(self, view: Any) -> None:
        self._view, self._visible = view, True

    def setVisible(self, visible: bool) -> None:
        self._visible = visible


class qMRMLSliceControllerWidget(_Controller):
    """sliceWidget.sliceController()"""

    def sliceLogic(self) -> Any:
        return self._view.logic

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._view.logic.FitSliceToBackground()

    def setSliceVisible(self, visible: bool) -> None:
        self._view.node.SetSliceVisible(visible)

    def setSliceLink(self, linked: bool) -> None:
        self.mrmlSliceCompositeNode().SetLinkedControl(linked)

    def setSliceOffsetValue(self, offset: float) -> None:
        self._view.logic.SetSliceOffset(offset)

    def setSliceOrientation(self, orientation: str) -> None:
        self._view.node.SetOrientation(orientation)


class _ViewWidget:
    """qMRMLAbstractViewWidget"""

    _front: Any
    _controller: Any

    def __init__(self, view: View) -> None:
        self._view: Any = view

    def mrmlAbstractViewNode(self) -> Any:
        return self._view.node

    def logic(self) -> Any:
        return self._view.logic

    def viewWidget(self) -> Any:
        return self._front

    def controllerWidget(self) -> Any:
        return self._controller

    def pauseRender(self) -> None:
        """Nothing: a test draws a view when it looks at it."""

    def resumeRender(self) -> None:
        """Nothing: a test draws a view when it looks at it."""


class SliceWidget(_ViewWidget):
    """qMRMLSliceWidget"""

    def __init__(self, view: SliceView) -> None:
        super().__init__(view)
        self._front, self._controller = qMRMLSliceView(view), qMRMLSliceControllerWidget(view)

    def sliceView(self) -> qMRMLSliceView:
        return self._front

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def sliceLogic(self) -> Any:
        return self._view.logic

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._view.logic.FitSliceToBackground()

    def setSliceOrientation(self, orientation: str) -> None:
        self._view.node.SetOrientation(orientation)

    def interactorStyle(self) -> Any:
        return self._view.interactor.GetInteractorStyle()


class ThreeDWidget(_ViewWidget):
    """qMRMLThreeDWidget"""

    def __init__(self, view: ThreeDView) -> None:
        super().__init__(view)
        self._front, self._controller = qMRMLThreeDView(view), _Controller(view)

    def threeDView(self) -> qMRMLThreeDView:
        return self._front

    def threeDController(self) -> _Controller:
        return self._controller

    def mrmlViewNode(self) -> Any:
        return self._view.node

    def viewLogic(self) -> Any:
        return self._view.logic
