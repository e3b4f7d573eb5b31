"""The parts of slicer.app, slicer.modules and slicer.util's surroundings that the module uses."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import types
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer.util
import vtk

from . import doubles, pythonqt, widgets
from .views import SLICE_MANAGERS, VIEW_MANAGERS, SliceView, ThreeDView

# Before anything of the module is imported, and before Qt looks for a screen.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
qt: Any = pythonqt.install()
qt.QUiLoader = widgets.QUiLoader
sys.modules["ctk"] = widgets.ctk_module()

_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
}


class Application:
    """slicer.app, and what tests do with it."""

    def __init__(self) -> None:
        self.qapplication = qt.QApplication.instance() or qt.QApplication(["harness"])
        qt.QCoreApplication.setOrganizationName("harness")
        settings = tempfile.mkdtemp()
        qt.QSettings.setPath(qt.QSettings.Format.NativeFormat, qt.QSettings.Scope.UserScope, settings)
        self.share = tempfile.mkdtemp()
        Path(self.share, "presets.xml").write_text("<MRML/>", encoding="utf-8")
        self.scene = slicer.vtkMRMLScene()
        # Colours, slice orientations and managers must be there before a view is made.
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        self.application_logic.GetColorLogic().SetMRMLScene(self.scene)
        self.application_logic.GetColorLogic().AddDefaultColorNodes()
        self.application_logic.SetSliceLogics(vtk.vtkCollection())
        self.application_logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self.slice_factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self.view_factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        for factory, names in ((self.slice_factory, SLICE_MANAGERS), (self.view_factory, VIEW_MANAGERS)):
            factory.SetMRMLApplicationLogic(self.application_logic)
            for name in names:
                if not factory.IsDisplayableManagerRegistered(name):
                    factory.RegisterDisplayableManager(name)
        slicer.app = self
        slicer.mrmlScene = self.scene
        slicer.modules = types.SimpleNamespace()
        for name, class_name in _LOGICS.items():
            self._register(name, getattr(slicer, class_name)())
        for name, cls in widgets.QMRML.items():
            setattr(slicer, name, cls)
        self.modules = ModuleManager()
        self.layouts = LayoutManager(self)

    def _register(self, name: str, logic: Any) -> None:
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(self.share)
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self.application_logic.SetModuleLogic(name, logic)
        setattr(slicer.modules, name.lower(), types.SimpleNamespace(logic=lambda: logic))

    def applicationLogic(self) -> Any:
        return self.application_logic

    def layoutManager(self) -> LayoutManager:
        return self.layouts

    def moduleManager(self) -> ModuleManager:
        return self.modules

    def testingEnabled(self) -> bool:
        return True

    def translate(self, context: str, text: str) -> str:
        return text

    def processEvents(self) -> None:
        self.qapplication.processEvents()

    @property
    def temporaryPath(self) -> str:
        return tempfile.gettempdir()

    def wait_until(self, happened: Callable[[], bool], seconds: float = 120.0) -> None:
        """Let the application live until something has happened; TimeoutError when it does not."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing happened within {seconds:g} s")
            self.processEvents()

    def save_scene(self, path: Path) -> None:
        """Write everything to an .mrb file."""
        if not self.scene.WriteToMRB(str(path)):
            raise OSError(f"{path} was not written")

    def load_scene(self, path: Path) -> None:
        """Read an .mrb file into the scene."""
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            self.scene.SetURL(str(next(Path(folder).rglob("*.mrml"))))
            if not self.scene.Import(None):
                raise OSError(f"{path} was not read")

    def openModule(self, path: Path) -> Any:
        """Load a scripted module as Slicer does when its panel is first shown; returns its widget."""
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        module = importlib.import_module(name)
        parent = types.SimpleNamespace(path=str(path), name=name)
        setattr(slicer.modules, name.lower(), parent)
        setattr(slicer.modules, f"{name}Instance", getattr(module, name)(parent))
        holder = widgets.module_holder()
        holder.setMRMLScene(self.scene)
        holder.setWindowTitle(parent.title)
        widget = getattr(module, f"{name}Widget")(holder)
        widget.setup()
        widget.enter()
        holder.resize(430, 480)
        holder.show()
        self.processEvents()
        return widget

    def closeModule(self, widget: Any) -> None:
        """Leave and unload a module."""
        widget.exit()
        self.modules.moduleAboutToBeUnloaded.emit(widget.moduleName)
        widget.parent.hide()


class ModuleManager(qt.QObject):
    """slicer.app.moduleManager()"""

    moduleAboutToBeUnloaded = qt.Signal(str)


class LayoutManager:
    """slicer.app.layoutManager(): makes the views of a layout when it is first set."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._node = slicer.vtkMRMLLayoutNode()
        app.scene.AddNode(self._node)
        self.slices: dict[str, SliceView] = {}
        self.views: list[ThreeDView] = []

    def layoutLogic(self) -> LayoutManager:
        return self

    def GetLayoutNode(self) -> Any:
        return self._node

    def setLayout(self, number: int) -> None:
        self._node.SetViewArrangement(number)
        for view in ElementTree.fromstring(self._node.GetLayoutDescription(number)).iter("view"):
            name = view.get("singletontag", "")
            if view.get("class") == "vtkMRMLSliceNode" and name not in self.slices:
                self.slices[name] = SliceView(self._app, name)
            elif view.get("class") == "vtkMRMLViewNode" and not self.views:
                self.views.append(ThreeDView(self._app, name))

    def sliceWidget(self, name: str) -> SliceView | None:
        return self.slices.get(name)

    def threeDWidget(self, number: int) -> ThreeDView:
        return self.views[number]


_started: list[Application] = []


def start() -> Application:
    """The application, made on the first call."""
    if not _started:
        _started.append(Application())
        source = os.environ.get("SLICER_SRC")
        if source:
            slicer.__path__.append(str(Path(source, "Base", "Python", "slicer")))
        else:
            doubles.install()
    return _started[0]
