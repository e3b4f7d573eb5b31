"""Double of parameterNodeWrapper: typed attributes kept in a parameter node and bound to widgets by their property
SlicerParameterName."""

from __future__ import annotations

import typing
from typing import Any

import slicer
import vtk

from .kinds import kind_of
from .limits import Default, first, split
from .packs import data_type, get_value, set_value

PROPERTY = "SlicerParameterName"


def parameterNodeWrapper(cls: Any = None) -> Any:
    """Class decorator."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    for name in hints:
        if name in _METHODS:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    kinds = {name: kind_of(declared) for name, declared in hints.items()}
    defaults = {name: _default(cls, name, hints[name], kinds[name]) for name in hints}

    def initialise(self: Any, node: Any, prefix: str | None = None) -> None:
        vars(self).update(parameterNode=node, _bindings={}, _next_tag=0, _showing=False)
        vars(self)["_names"] = {name: f"{prefix or ''}{name}" for name in hints}
        for name, kind in kinds.items():
            if not kind.is_in(node, self._names[name]):
                kind.write(node, self._names[name], defaults[name].value)

    for name, kind in kinds.items():
        setattr(cls, name, _parameter(name, kind, defaults[name]))
    cls.__init__ = initialise
    cls.allParameters = cls._hints = hints
    cls.dataType = staticmethod(lambda name: data_type(hints, name))
    cls.default = lambda self, name: defaults[name]
    for name, method in _METHODS.items():
        setattr(cls, name, method)
    return cls


def _default(cls: Any, name: str, declared: Any, kind: Any) -> Default:
    if name in vars(cls):
        return Default(vars(cls)[name])
    return first(split(declared)[1], Default) or Default(kind.default())


def _parameter(name: str, kind: Any, default: Default) -> property:
    def get(self: Any) -> Any:
        if not kind.is_in(self.parameterNode, self._names[name]):
            kind.write(self.parameterNode, self._names[name], default.value)
        return kind.read(self.parameterNode, self._names[name])

    return property(get, lambda self, value: kind.write(self.parameterNode, self._names[name], value))


def _connect_gui(self: Any, gui: Any) -> int:
    widgets = gui.findChildren(_widget_class()) if hasattr(gui, "isWidgetType") else list(vars(gui).values())
    named = {widget.property(PROPERTY): widget for widget in widgets if widget.property(PROPERTY)}
    return _connect_parameters(self, named)


def _widget_class() -> Any:
    import qt

    return qt.QWidget


def _connect_parameters(self: Any, widgets: dict[str, Any]) -> int:
    from .connectors import connector

    connectors = {name: connector(widget, self.dataType(name)) for name, widget in widgets.items()}
    tag = self._next_tag
    self._next_tag += 1
    connections = []
    for name, made in connectors.items():
        made.write(get_value(self, name))
        if made.signal:
            changed = _changed(self, name, made)
            getattr(made.widget, made.signal).connect(changed)
            connections.append((getattr(made.widget, made.signal), changed))
    observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: _show(self))
    self._bindings[tag] = (connectors, connections, observer)
    return tag


def _changed(self: Any, name: str, made: Any) -> Any:
    def changed() -> None:
        if not self._showing:
            with slicer.util.NodeModify(self):
                set_value(self, name, made.read())

    return changed


def _show(self: Any) -> None:
    if self._showing:
        return
    self._showing = True
    try:
        with slicer.util.NodeModify(self):
            for connectors, _, _ in self._bindings.values():
                for name, made in connectors.items():
                    made.write(get_value(self, name))
    finally:
        self._showing = False


def _disconnect_gui(self: Any, tag: int) -> None:
    if tag in self._bindings:
        _, connections, observer = self._bindings.pop(tag)
        for signal, changed in connections:
            signal.disconnect(changed)
        self.RemoveObserver(observer)


_METHODS: dict[str, Any] = {
    "connectGui": _connect_gui,
    "connectParametersToGui": _connect_parameters,
    "disconnectGui": _disconnect_gui,
    "getValue": get_value,
    "setValue": set_value,
    "isCached": lambda self, name: False,
    "StartModify": lambda self: self.parameterNode.StartModify(),
    "EndModify": lambda self, before: self.parameterNode.EndModify(before),
    "Modified": lambda self: self.parameterNode.Modified(),
    "AddObserver": lambda self, event, call, priority=0.0: self.parameterNode.AddObserver(event, call, priority),
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
}


def isParameterNodeWrapper(declared: Any) -> bool:
    return hasattr(declared, "connectParametersToGui")


FUNCTIONS = (parameterNodeWrapper, isParameterNodeWrapper)
