"""PythonQt's manners on top of PySide6.

Slicer's Python talks to Qt through PythonQt, whose rules differ (PythonQtInstanceWrapper.cpp): Qt properties are plain
attributes, setters remain methods, unknown attributes cannot be made, and signals also connect by their C++ signature.
`install` makes the flat module `qt` and teaches PySide6 these rules. Errors raised in slots, which Qt only prints, are
kept in `slot_errors`.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

# Any: these classes are changed here.
QObject: Any = QtCore.QObject
_QColor: Any = QtGui.QColor
slot_errors: list[BaseException] = []
# Classes that stand in for C++ ones, so that PythonQt's rules hold for their instances.
_stand_ins: set[type] = set()
_loading_ui = False


def stand_in(cls: type) -> type:
    """Class decorator for widgets of CTK or qMRML."""
    _stand_ins.add(cls)
    return cls


class QtProperty:
    """A Qt property as an attribute."""

    def __init__(self, name: str, writable: bool, type_name: str) -> None:
        self.name, self.writable, self.type_name = name, writable, type_name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.property(self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        if not self.writable:
            raise AttributeError(f"property {self.name} of {type(instance).__name__} is not writable")
        is_text = isinstance(value, str)
        mismatch = (
            is_text if self.type_name in ("int", "double", "bool") else self.type_name == "QString" and not is_text
        )
        if mismatch or not instance.setProperty(self.name, value):
            raise AttributeError(
                f"property {self.name} of {type(instance).__name__} is a {self.type_name} and takes no "
                f"{type(value).__name__}"
            )


def install() -> types.ModuleType:
    """Patch PySide6 and return the module `qt`; once, before any module under test is imported."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    qt = types.ModuleType("qt")
    for module in (QtCore, QtGui, QtUiTools, QtWidgets):
        # PySide6 makes its classes when they are first asked for.
        for name in dir(module):
            if name.startswith("_"):
                continue
            value = getattr(module, name)
            setattr(qt, name, value)
            if isinstance(value, type) and issubclass(value, QObject):
                _add_properties(value)
                cls: Any = value
                # Every Shiboken type has a slot of its own for this.
                cls.__setattr__ = _set_attribute
    QObject.name = QtProperty("objectName", True, "QString")
    QObject.className = lambda self: type(self).__name__
    QObject.__getattr__ = _get_missing
    original = QObject.__getattribute__
    # PySide6 finds these two before it looks into the class.
    special = {"connect": _connect, "disconnect": _disconnect}

    def get_attribute(self: Any, name: str) -> Any:
        return types.MethodType(special[name], self) if name in special else original(self, name)

    QObject.__getattribute__ = get_attribute
    _accept_integers_as_enums()
    sys.excepthook = _keep_error
    sys.modules["qt"] = qt
    return qt


class loading_ui:
    """While a .ui file is loaded, PySide6 keeps the children as attributes of their window."""

    def __enter__(self) -> None:
        global _loading_ui
        _loading_ui = True

    def __exit__(self, *_: object) -> None:
        global _loading_ui
        _loading_ui = False


def _add_properties(cls: type) -> None:
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    for number in range(meta.propertyOffset(), meta.propertyCount()):
        described = meta.property(number)
        setattr(cls, described.name(), QtProperty(described.name(), described.isWritable(), described.typeName()))


def _accept_integers_as_enums() -> None:
    """PythonQt's enums are integers; Slicer's own code calls QColor.name(1)."""
    original = _QColor.name
    formats = list(QtGui.QColor.NameFormat)

    def name(self: QtGui.QColor, style: int | QtGui.QColor.NameFormat = 0) -> str:
        return original(self, formats[style] if isinstance(style, int) else style)

    _QColor.name = name


def _set_attribute(self: Any, name: str, value: Any) -> None:
    # PySide6 caches bound signals in the instance.
    if name.startswith("_") or _loading_ui or isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value
        return
    found = next((cls.__dict__[name] for cls in type(self).__mro__ if name in cls.__dict__), None)
    if isinstance(found, QtProperty | property):
        found.__set__(self, value)
    elif isinstance(found, QtCore.Property):
        self.setProperty(name, value)
    elif not (type(self).__module__.startswith("PySide6") or type(self) in _stand_ins):
        self.__dict__[name] = value
    elif found is not None:
        raise AttributeError(f"{name} of {type(self).__name__} cannot be overwritten")
    else:
        raise AttributeError(f"{type(self).__name__} has no {name}, and C++ objects get no new attributes")


def _get_missing(self: Any, name: str) -> Any:
    if not name.startswith("_") and shiboken6.isValid(self):
        if name in [bytes(entry).decode() for entry in self.dynamicPropertyNames()]:
            return self.property(name)
        for child in self.children():
            if child.property("objectName") == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


def _signal(self: Any, signature: str) -> Any:
    signal = getattr(self, signature.partition("(")[0].strip(), None)
    # It takes text; its type hints say bytes.
    meta_object: Any = QtCore.QMetaObject
    normalized = bytes(meta_object.normalizedSignature(signature).data()).decode()
    declared = self.metaObject().indexOfSignal(normalized) >= 0 or normalized in getattr(self, "signatures", ())
    if not (declared and isinstance(signal, QtCore.SignalInstance)):
        raise ValueError(f"no such signal: {type(self).__name__}::{signature}")
    return signal


def _connect(self: Any, signature: str, slot: Any) -> bool:
    _signal(self, signature).connect(slot)
    return True


def _disconnect(self: Any, signature: str, slot: Any) -> bool:
    return bool(_signal(self, signature).disconnect(slot))


def _keep_error(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    slot_errors.append(error)
    sys.__excepthook__(kind, error, trace)
