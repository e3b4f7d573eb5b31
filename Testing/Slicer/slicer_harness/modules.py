"""slicer.modules, the module manager and the main window: loading, entering, leaving and reloading modules."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMainWindow

from .node_combo import qMRMLNodeComboBox
from .pythonqt import stand_in
from .qmrml_widgets import qSlicerScriptedLoadableModuleWidget

_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
}
_PANEL_PX = (500, 900)
# Properties of a scripted module; PythonQt makes no others.
_PROPERTIES = (
    "title",
    "categories",
    "contributors",
    "associatedNodeTypes",
    "helpText",
    "acknowledgementText",
    "icon",
    "hidden",
    "dependencies",
    "index",
    "extensions",
    "widgetRepresentationCreationEnabled",
)


class LoadableModule:
    """A module of Slicer's own: its logic is real, its panel is not there."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name, self._logic = name, logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class qSlicerScriptedLoadableModule:
    """A scripted module, the `parent` of its Python class."""

    def __init__(self, path: Path, manager: ModuleManager) -> None:
        vars(self).update(name=path.stem, path=str(path), _manager=manager, _widget=None, title="", hidden=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _PROPERTIES:
            raise AttributeError(f"qSlicerScriptedLoadableModule has no {name}, and C++ objects get no new attributes")
        vars(self)[name] = value

    def logic(self) -> Any:
        """Slicer makes an empty one; a module's own logic is that of its widget."""
        return slicer.vtkSlicerScriptedLoadableModuleLogic()

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._widget is None:  # type: ignore[attr-defined]
            vars(self)["_widget"] = self.createNewWidgetRepresentation()
        return self._widget  # type: ignore[attr-defined]

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        holder = qSlicerScriptedLoadableModuleWidget()
        holder.setObjectName(f"{self.name}ModuleWidget")  # type: ignore[attr-defined]
        holder.setMRMLScene(slicer.mrmlScene)
        holder.setWindowTitle(self.title)  # type: ignore[attr-defined]
        holder._make = self._make
        self._make(holder)
        return holder

    def _make(self, holder: Any) -> None:
        source = sys.modules[self.name]  # type: ignore[attr-defined]
        class_name = f"{self.name}Widget"  # type: ignore[attr-defined]
        holder._self = getattr(source, class_name)(holder)
        setattr(slicer.modules, class_name, holder._self)
        holder._self.setup()


@stand_in
class ModuleManager(QObject):
    """slicer.app.moduleManager()"""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self, app: Any, folder: str) -> None:
        super().__init__()
        self._app = app
        self._known: dict[str, Any] = {}
        slicer.modules = types.SimpleNamespace()
        slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
        Path(folder, "presets.xml").write_text("<MRML/>", encoding="utf-8")
        for name, class_name in _LOGICS.items():
            logic = getattr(slicer, class_name)()
            if hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(folder)
            logic.SetMRMLApplicationLogic(app.application_logic)
            logic.SetMRMLScene(app.scene)
            app.application_logic.SetModuleLogic(name, logic)
            self._add(LoadableModule(name, logic))
        colors = app.application_logic.GetColorLogic()
        app.application_logic.SetModuleLogic("Colors", colors)
        self._add(LoadableModule("Colors", colors))

    def _add(self, module: Any) -> None:
        self._known[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)

    def module(self, name: str) -> Any:
        return self._known.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._known)

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._known)

    def isRegistered(self, name: str) -> bool:
        return name in self._known

    def load(self, path: Path) -> qSlicerScriptedLoadableModule:
        """What Slicer does at its start with every scripted module; the panel is not made yet."""
        known = self._known.get(path.stem)
        if known is not None:
            return known
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        source = importlib.import_module(path.stem)
        module = qSlicerScriptedLoadableModule(path, self)
        self._add(module)
        setattr(slicer.modules, f"{path.stem}Instance", getattr(source, path.stem)(module))
        self.moduleLoaded.emit(path.stem)
        self._app.signals.startupCompleted.emit()
        return module

    def open(self, path: Path) -> Any:
        """A new panel, shown and entered."""
        module = self.load(path)
        vars(module)["_widget"] = None
        holder = module.widgetRepresentation()
        self._app.main_window._current = module.name  # type: ignore[attr-defined]
        holder.enter()
        holder.resize(*_PANEL_PX)
        holder.show()
        self._app.processEvents()
        return holder.self()

    def close(self, widget: Any) -> None:
        """Unload a module as Slicer does when it quits (qSlicerCoreApplication::onAboutToQuit): its panel is not left
        before, its widgets are deleted, and then the events that are still there are handled. Once is enough."""
        if not widget.parent:
            return
        self.moduleAboutToBeUnloaded.emit(widget.moduleName)
        for selector in widget.parent.findChildren(qMRMLNodeComboBox):
            selector.forget_scene()
        module = self._known[widget.moduleName]
        if vars(module)["_widget"] is widget.parent:
            vars(module)["_widget"] = None
        widget.parent.delete()
        self._app.processEvents()

    def reload(self, widget: Any) -> Any:
        slicer.util.reloadScriptedModule(widget.moduleName)
        return getattr(slicer.modules, f"{widget.moduleName}Widget")


@stand_in
class qSlicerMainWindow(QMainWindow):
    """What slicer.util.mainWindow() finds; also the module selector, which only enters and leaves panels."""

    moduleSelected = Signal(str)

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._app, self._current = app, "Welcome"

    def moduleSelector(self) -> qSlicerMainWindow:
        return self

    selectedModule = property(lambda self: self._current)

    def selectModule(self, name: str) -> None:
        """A scripted module is entered; of any other, only the name is kept: its panel is not there."""
        if name == self._current:
            return
        for other, act in ((self._current, "exit"), (name, "enter")):
            module = self._app.modules.module(other)
            if isinstance(module, qSlicerScriptedLoadableModule):
                getattr(module.widgetRepresentation(), act)()
        self._current = name
        self.moduleSelected.emit(name)
