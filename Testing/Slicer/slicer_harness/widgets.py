"""Stand-ins for the CTK and qMRML widgets of the module's .ui file, and the loader that knows them."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6.QtCore import Property, QBuffer, QIODevice, Qt, Signal
from PySide6.QtGui import QColor, QPixmap
from PySide6.QtUiTools import QUiLoader as PlainUiLoader
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from .pythonqt import loading_ui, stand_in


@stand_in
class qMRMLWidget(QWidget):
    """A widget that hands its scene on."""

    mrmlSceneChanged = Signal(object)
    signatures = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


@stand_in
class ctkCollapsibleButton(QWidget):
    """A section with a title bar that folds it."""

    contentsCollapsed = Signal(bool)
    signatures = ("contentsCollapsed(bool)",)
    _TITLE_PX = 24

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setContentsMargins(0, self._TITLE_PX, 0, 0)
        self._title = QToolButton(self)
        self._title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._title.setArrowType(Qt.ArrowType.DownArrow)
        self._title.setAutoRaise(False)
        self._title.clicked.connect(self._toggle)
        self._folded = False

    def resizeEvent(self, event: Any) -> None:
        self._title.setGeometry(0, 0, self.property("width"), self._TITLE_PX - 2)

    def _toggle(self) -> None:
        self._fold(not self._folded)

    def _fold(self, folded: bool) -> None:
        self._folded = folded
        self._title.setArrowType(Qt.ArrowType.RightArrow if folded else Qt.ArrowType.DownArrow)
        for child in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if child is not self._title:
                child.setVisible(not folded)
        self.contentsCollapsed.emit(folded)

    collapsed = Property(bool, lambda self: self._folded, _fold)
    text = Property(str, lambda self: self._title.property("text"), lambda self, text: self._title.setText(text))


@stand_in
class ctkPathLineEdit(QWidget):
    """A line for a path and a button to browse, which tests do not press."""

    currentPathChanged = Signal(str)
    signatures = ("currentPathChanged(QString)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._line, self._browse = QLineEdit(self), QToolButton(self)
        self._browse.setText("...")
        layout.addWidget(self._line)
        layout.addWidget(self._browse)
        self._line.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)

    currentPath = Property(str, lambda self: self._line.property("text"), setCurrentPath)
    nameFilters = Property(list, lambda self: [], lambda self, filters: None)
    settingKey = Property(str, lambda self: "", lambda self, key: None)


@stand_in
class ctkColorPickerButton(QPushButton):
    """A button that shows a colour; the dialog behind it is Slicer's affair."""

    colorChanged = Signal(QColor)
    signatures = ("colorChanged(QColor)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = QColor()

    def setColor(self, color: QColor) -> None:
        if color != self._color:
            self._color = QColor(color)
            patch = QPixmap(16, 16)
            patch.fill(self._color)
            self.setIcon(patch)
            self.colorChanged.emit(self._color)

    color = Property(QColor, lambda self: self._color, setColor)
    displayColorName = Property(bool, lambda self: False, lambda self, shown: None)


CTK = {cls.__name__: cls for cls in (ctkCollapsibleButton, ctkColorPickerButton, ctkPathLineEdit)}
# Slicer's own parameterNodeWrapper asks for the others; they match no widget here.
_NAMED_ONLY = ("qMRMLNodeComboBox", "qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox")
QMRML = {"qMRMLWidget": qMRMLWidget, **{name: type(name, (), {}) for name in _NAMED_ONLY}}


def ctk_module() -> types.ModuleType:
    """The module `ctk`. Slicer's own connectors ask it for more classes than we use; those match no widget."""

    class Ctk(types.ModuleType):
        def __getattr__(self, name: str) -> type:
            if not name.startswith("ctk"):
                raise AttributeError(name)
            return type(name, (), {})

    module = Ctk("ctk")
    vars(module).update(CTK)
    return module


class QUiLoader(PlainUiLoader):
    """Loads .ui files with the stand-ins; an unknown class is an error, as in Slicer."""

    def createWidget(self, class_name: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        cls = {**CTK, "qMRMLWidget": qMRMLWidget}.get(class_name)
        if cls is None:
            if class_name.startswith(("ctk", "qMRML", "qSlicer")):
                raise LookupError(f"the harness has no stand-in for {class_name}")
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: Any, parent: QWidget | None = None) -> QWidget:
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        if list(tree.iterfind("connections/connection")):
            raise LookupError("the harness does not make the connections of .ui files")
        # Enumerations of C++ classes that only Slicer knows.
        for widget in tree.iter("widget"):
            for prop in widget.findall("property"):
                if (prop.findtext("set") or "").startswith("ctk"):
                    widget.remove(prop)
        buffer = QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        with loading_ui():
            return super().load(buffer, parent)


def module_holder() -> qMRMLWidget:
    """The widget into which Slicer puts a module's panel."""

    @stand_in
    class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
        isEntered = True

    holder = qSlicerScriptedLoadableModuleWidget()
    holder.setLayout(QVBoxLayout())
    return holder
