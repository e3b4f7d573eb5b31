"""The parts of slicer.app that the module uses, and what tests do with them."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from . import dialogs, hierarchy, layouts, loader, modules, scene, storage, style, timers, window
from .pythonqt import qt, stand_in

_IDLE_SECONDS = 1e-4
# Between two looks at what is waited for [s].
_LOOK_SECONDS = 2e-3
# Events that were put off without a timer are handled one round after another.
_ROUNDS = 4


def _make_home(folder: Path) -> str:
    """The folder of a Slicer that holds only its Python."""
    program = folder / "bin" / "PythonSlicer"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return str(folder)


@stand_in
class _Signals(qt.QObject):
    startupCompleted = qt.Signal()


class Application:
    """slicer.app. In camelCase is what Slicer has; `scene`, `layouts` and what is in snake_case is for tests."""

    def __init__(self) -> None:
        self.qapplication = qt.QApplication.instance() or qt.QApplication(["harness"])
        style.apply(self.qapplication)
        qt.QCoreApplication.setOrganizationName("harness")
        folder = tempfile.mkdtemp()
        self.slicerHome = _make_home(Path(folder, "Slicer"))
        qt.QSettings.setDefaultFormat(qt.QSettings.Format.IniFormat)
        qt.QSettings.setPath(qt.QSettings.Format.IniFormat, qt.QSettings.Scope.UserScope, folder)
        self._settings = qt.QSettings()
        self._settings.setValue("Developer/SelfTestDisplayMessageDelay", 0)
        self.signals = _Signals()
        self.answers: dict[str, Any] = dialogs.install()
        self.scene = scene.make(folder)
        self.application_logic, self.slice_factory, self.view_factory = scene.start_logics(self.scene)
        slicer.app, slicer.mrmlScene = self, self.scene
        for name, cls in loader.IN_SLICER.items():
            setattr(slicer, name, cls)
        self.dicom = storage.DicomDatabase()
        slicer.dicomDatabase = self.dicom
        self.modules = modules.ModuleManager(self, folder)
        self.hierarchy = hierarchy.follow(self.scene)
        self.layouts = layouts.qSlicerLayoutManager(self)
        self.io = storage.IOManager(self)
        self.main_window = modules.qSlicerMainWindow(self)

    applicationName = mainApplicationName = "Slicer"
    majorVersion, minorVersion = 5, 12

    @property
    def temporaryPath(self) -> str:
        return tempfile.gettempdir()

    def applicationLogic(self) -> Any:
        return self.application_logic

    def mrmlScene(self) -> Any:
        return self.scene

    def layoutManager(self) -> layouts.qSlicerLayoutManager:
        return self.layouts

    def moduleManager(self) -> modules.ModuleManager:
        return self.modules

    def moduleLogic(self, name: str) -> Any:
        return self.application_logic.GetModuleLogic(name)

    def coreIOManager(self) -> storage.IOManager:
        return self.io

    def ioManager(self) -> storage.IOManager:
        return self.io

    def dicomDatabase(self) -> storage.DicomDatabase:
        return self.dicom

    def settings(self) -> Any:
        return self._settings

    def userSettings(self) -> Any:
        return self._settings

    def startupEnvironment(self) -> Any:
        return qt.QProcessEnvironment.systemEnvironment()

    def topLevelWidgets(self) -> tuple[Any, ...]:
        """The main window and its dialogs. PySide6 may crash on others, such as the lists of combo boxes."""
        return (self.main_window, *self.main_window.findChildren(qt.QDialog))

    def setOverrideCursor(self, cursor: Any) -> None:
        self.qapplication.setOverrideCursor(qt.QCursor(cursor))

    def restoreOverrideCursor(self) -> None:
        self.qapplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        self.layouts.pauseRender()

    def resumeRender(self) -> None:
        self.layouts.resumeRender()

    def setRenderPaused(self, paused: bool) -> None:
        self.layouts.setRenderPaused(paused)

    def testingEnabled(self) -> bool:
        return True

    def translate(self, context: str, text: str) -> str:
        return text

    def processEvents(self, *flags: Any) -> None:
        self.qapplication.processEvents()

    def connect(self, signature: str, *arguments: Any) -> bool:
        return self.signals.connect(signature, *arguments)

    def disconnect(self, signature: str, *arguments: Any) -> bool:
        return self.signals.disconnect(signature, *arguments)

    def wait_until(self, happened: Callable[[], bool], seconds: float = 120.0) -> None:
        """Let the application live until something has happened; TimeoutError when it does not."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing happened within {seconds:g} s")
            begun = time.monotonic()
            self.processEvents()
            if time.monotonic() - begun < _IDLE_SECONDS:
                # Nothing was to be done: leave the processor to whom we wait for.
                time.sleep(min(timers.seconds_left(), _LOOK_SECONDS))

    def settle(self, seconds: float) -> None:
        """Let the application live for some time, so that everything that was put off is done; less where nothing is
        left that could happen before."""
        end, idle = time.monotonic() + seconds, 0
        while idle < _ROUNDS:
            self.processEvents()
            left, due = end - time.monotonic(), timers.seconds_left()
            if left <= 0:
                return
            idle = idle + 1 if due > left else 0
            if not idle:
                time.sleep(due)

    def save_scene(self, path: Path) -> None:
        """Write everything to an .mrb file."""
        if not self.scene.WriteToMRB(str(path)):
            raise OSError(f"{path} was not written")

    def load_scene(self, path: Path, clear: bool = False) -> None:
        """Read an .mrb file into the scene, in the place of what is there when `clear` is given."""
        if not self.scene.ReadFromMRB(str(path), clear):
            raise OSError(f"{path} was not read")

    def openModule(self, path: Path) -> Any:
        """Load a scripted module as Slicer does when its panel is first shown; returns its widget."""
        return self.modules.open(path)

    def enter(self, widget: Any) -> None:
        """Come back to a panel, as by choosing its module again."""
        widget.parent.enter()

    def exit(self, widget: Any) -> None:
        """Leave a panel, as by choosing another module."""
        widget.parent.exit()

    def closeModule(self, widget: Any) -> None:
        """Unload a module as quitting Slicer does: nothing leaves its panel before its widgets are deleted."""
        self.modules.close(widget)

    def click_sample(self, name: str) -> Any:
        """What a click on a sample in the module Sample Data does."""
        import SampleData

        logic = SampleData.SampleDataLogic()
        source = logic.sourceForSampleName(name)
        if source is None:
            raise LookupError(f"no sample named {name} is registered")
        return source.customDownloader(source) if source.customDownloader else logic.downloadFromSource(source)

    def reload_module(self, widget: Any) -> Any:
        """What the developer's Reload button does; returns the new widget."""
        return self.modules.reload(widget)

    def picture(self, widget: Any, path: Path, size: tuple[int, int] = (1680, 1000), scroll_px: int = 0) -> None:
        """Write a PNG of the window as a user would see it: a module's panel, scrolled down by `scroll_px`, beside the
        views of the layout."""
        window.picture(self, widget, path, size, scroll_px)


_started: list[Application] = []


def start() -> Application:
    """The application, made on the first call."""
    if not _started:
        _started.append(Application())
        # Only now: both the doubles and the originals need slicer.app.
        from . import doubles

        source = os.environ.get("SLICER_SRC")
        doubles.install(Path(source) if source else None)
    return _started[0]
