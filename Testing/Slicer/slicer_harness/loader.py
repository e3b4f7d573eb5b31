"""Loads .ui files with the stand-ins, and offers them as `ctk.` and `slicer.` classes. Importing this makes the module
`ctk`."""

from __future__ import annotations

import functools
import itertools
import sys
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6.QtCore import QBuffer, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader as PlainUiLoader
from PySide6.QtWidgets import QWidget

from . import ctk_numbers, ctk_widgets, node_combo, qmrml_widgets, signals
from .pythonqt import loading_ui, qt

CTK: dict[str, Any] = {cls.__name__: cls for cls in (*ctk_widgets.WIDGETS, *ctk_numbers.WIDGETS)}
# Slicer's own parameterNodeWrapper asks for this one; it matches no widget here.
_NAMED_ONLY = ("qMRMLRangeWidget",)
_QMRML_WIDGETS = (*qmrml_widgets.WIDGETS, *node_combo.WIDGETS, *ctk_numbers.QMRML_WIDGETS)
QMRML: dict[str, Any] = {cls.__name__: cls for cls in _QMRML_WIDGETS}
IN_SLICER = {
    **QMRML,
    **{name: type(name, (), {}) for name in _NAMED_ONLY},
    "qSlicerScriptedLoadableModuleWidget": qmrml_widgets.qSlicerScriptedLoadableModuleWidget,
}
_STAND_INS = {**CTK, **QMRML}


def _ctk_module() -> types.ModuleType:
    """The module `ctk`. Slicer's own connectors ask it for more classes than we have; those match no widget and cannot
    be made."""

    class Ctk(types.ModuleType):
        def __getattr__(self, name: str) -> type:
            if not name.startswith("ctk"):
                raise AttributeError(name)

            def refuse(*_: object) -> None:
                raise LookupError(f"the harness has no stand-in for {name}")

            return type(name, (), {"__init__": refuse})

    module = Ctk("ctk")
    vars(module).update(CTK)
    return module


class QUiLoader(PlainUiLoader):
    """Loads .ui files with the stand-ins; an unknown class, signal or slot is an error."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._unknown: list[str] = []

    def createWidget(self, class_name: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        cls = _STAND_INS.get(class_name)
        if cls is None:
            # An error raised here would be lost in C++.
            if class_name.startswith(("ctk", "qMRML", "qSlicer")):
                self._unknown.append(class_name)
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: Any, parent: QWidget | None = None) -> QWidget:
        content, connections = _taken_apart(bytes(device.readAll().data()))
        buffer = QBuffer()
        buffer.setData(content)
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        with loading_ui():
            top = super().load(buffer, parent)
        if self._unknown:
            raise LookupError(f"the harness has no stand-in for {', '.join(self._unknown)}")
        for ends in connections:
            sender, receiver = (_named(top, ends[part]) for part in ("sender", "receiver"))
            signals.connect(sender, ends["signal"], receiver, ends["slot"])
        return top


@functools.cache
def _taken_apart(text: bytes) -> tuple[bytes, list[dict[str, str]]]:
    """A .ui file without what PySide6 cannot load, and its connections."""
    tree = ElementTree.fromstring(text)
    # PySide6 cannot connect signals whose types only Slicer knows.
    found = tree.findall("connections")
    for connections in found:
        tree.remove(connections)
    # Enumerations of C++ classes that only Slicer knows.
    for widget in tree.iter("widget"):
        for prop in widget.findall("property"):
            value = prop.findtext("set") or prop.findtext("enum") or ""
            if value.startswith(("ctk", "qMRML")):
                widget.remove(prop)
    parts = ("sender", "signal", "receiver", "slot")
    ends = [{part: each.findtext(part) or "" for part in parts} for each in itertools.chain(*found)]
    return ElementTree.tostring(tree), ends


def _named(top: QWidget, name: str) -> Any:
    found = top if top.property("objectName") == name else top.findChild(QObject, name)
    if found is None:
        raise LookupError(f"a connection in the .ui file names {name}, which is not in it")
    return found


qt.QUiLoader = QUiLoader
sys.modules["ctk"] = _ctk_module()
