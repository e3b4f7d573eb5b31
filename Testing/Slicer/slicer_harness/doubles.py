"""Small doubles of the Python files that Slicer brings along and slicer-core lacks, reduced to what the module uses.

Each behaves as the original does for that use; the tests run against the originals too when SLICER_SRC names a
checkout of Slicer.
"""

from __future__ import annotations

import copy
import enum
import os
import sys
import types
import typing
import unittest
from collections.abc import Callable, Iterable
from typing import Any


def install() -> None:
    """Make the doubles importable under the originals' names."""
    import slicer

    contents: dict[str, dict[str, Any]] = {
        "i18n": {"tr": lambda text: text, "translate": lambda context, text: text},
        "ScriptedLoadableModule": {cls.__name__: cls for cls in _BASES},
        "parameterNodeWrapper": {"parameterNodeWrapper": parameterNodeWrapper},
    }
    for name, content in contents.items():
        module = types.ModuleType(f"slicer.{name}")
        vars(module).update(content)
        sys.modules[module.__name__] = module
        setattr(slicer, name, module)


class ScriptedLoadableModule:
    """The module itself."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    """Base of the panel."""

    def __init__(self, parent: Any = None) -> None:
        import slicer

        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setup(self) -> None:
        """Nothing: the original adds buttons for developers."""

    def cleanup(self) -> None:
        """For subclasses."""

    def resourcePath(self, name: str) -> str:
        import slicer

        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", name)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        import slicer

        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Base of the logic: one parameter node for each module and scene."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        import slicer

        found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if found:
            return found
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(self.moduleName)
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of the self-test."""


_BASES = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest)


class _Kind(typing.NamedTuple):
    """How one kind of value is kept in a parameter node and shown in a widget; a node is kept as a reference."""

    store: Callable[[Any], str]
    load: Callable[[str], Any]
    signal: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def _kind(declared: Any) -> _Kind:
    import qt

    if declared is bool:
        return _Kind(str, lambda text: text == "True", "toggled", lambda w: w.checked, lambda w, v: w.setChecked(v))
    if declared is qt.QColor:
        return _Kind(
            lambda value: value.name(1), qt.QColor, "colorChanged", lambda w: w.color, lambda w, v: w.setColor(v)
        )
    if issubclass(declared, enum.Enum):
        members = list(declared)
        return _Kind(
            lambda value: value.name,
            lambda text: declared[text],
            "currentIndexChanged",
            lambda w: members[w.currentIndex],
            lambda w, v: w.setCurrentIndex(members.index(v)),
        )
    return _Kind(str, str, "textChanged", lambda w: w.text, lambda w, v: w.setText(v))


def parameterNodeWrapper(cls: type) -> type:
    """Class decorator: typed attributes kept in a parameter node and bound to widgets by SlicerParameterName."""
    import slicer

    types_by_name = typing.get_type_hints(cls)
    defaults = {name: vars(cls).get(name) for name in types_by_name}
    for name, declared in types_by_name.items():
        is_node = issubclass(declared, slicer.vtkMRMLNode)
        setattr(cls, name, _node_property(name, declared) if is_node else _value_property(name, declared))

    def initialise(self: Any, node: Any) -> None:
        self.parameterNode = node
        self._bindings = {}
        for name, default in defaults.items():
            if default is not None and not node.HasParameter(name):
                setattr(self, name, copy.copy(default))

    methods = {
        "__init__": initialise,
        "connectGui": lambda self, ui: _connect_gui(self, vars(ui).values(), types_by_name),
        "disconnectGui": _disconnect_gui,
        "AddObserver": lambda self, event, call, priority=0.0: self.parameterNode.AddObserver(event, call, priority),
        "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    }
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def _node_property(name: str, declared: Any) -> property:
    def set_node(self: Any, node: Any) -> None:
        if node is not None and not isinstance(node, declared):
            raise TypeError(f"{name} takes a {declared.__name__}")
        self.parameterNode.SetNodeReferenceID(name, node.GetID() if node else None)

    return property(lambda self: self.parameterNode.GetNodeReference(name), set_node)


def _value_property(name: str, declared: type) -> property:
    kind = _kind(declared)

    def set_value(self: Any, value: Any) -> None:
        if not isinstance(value, declared):
            raise TypeError(f"{name} takes a {declared.__name__}")
        self.parameterNode.SetParameter(name, kind.store(value))

    return property(lambda self: kind.load(self.parameterNode.GetParameter(name)), set_value)


def _connect_gui(self: Any, candidates: Iterable[Any], types_by_name: dict[str, Any]) -> int:
    import vtk

    connected = []
    for widget in candidates:
        name = widget.property("SlicerParameterName")
        if not name:
            continue
        kind = _kind(types_by_name[name])
        if issubclass(types_by_name[name], enum.Enum):
            widget.clear()
            widget.addItems([member.label() for member in types_by_name[name]])
        kind.write(widget, getattr(self, name))

        def changed(*_: object, name: str = name, widget: Any = widget, kind: _Kind = kind) -> None:
            setattr(self, name, kind.read(widget))

        getattr(widget, kind.signal).connect(changed)
        connected.append((widget, name, kind, changed))

    def update(caller: Any, event: str) -> None:
        for widget, name, kind, _ in connected:
            kind.write(widget, getattr(self, name))

    tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, update)
    self._bindings[tag] = connected
    return tag


def _disconnect_gui(self: Any, tag: int) -> None:
    for widget, _, kind, changed in self._bindings.pop(tag, ()):
        getattr(widget, kind.signal).disconnect(changed)
    self.parameterNode.RemoveObserver(tag)
