"""Stand-ins for qMRML's plain widgets."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .pythonqt import stand_in


@stand_in
class qMRMLWidget(QWidget):
    """A widget that hands its scene on."""

    mrmlSceneChanged = Signal(object)
    signatures: ClassVar[dict[str, str]] = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@stand_in
class qSlicerWidget(qMRMLWidget):
    """The same, as Slicer's own panels call it."""


@stand_in
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """What holds a scripted module's panel; `self()` is the panel's Python object."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._self: Any = None
        self._entered = False
        self._make: Any = None
        self.setLayout(QVBoxLayout())

    isEntered = property(lambda self: self._entered)
    moduleName = property(lambda self: self._self.moduleName if self._self else "")

    def self(self) -> Any:
        return self._self

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._self, "enter"):
            self._self.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._self, "exit"):
            self._self.exit()

    def reload(self) -> None:
        """Make the panel again from its source, which somebody has loaded anew."""
        self._make(self)


WIDGETS = (qMRMLWidget, qSlicerWidget)
