"""PythonQt's manners on top of PySide6.

Slicer's Python talks to Qt through PythonQt, whose rules differ (PythonQtInstanceWrapper.cpp): Qt properties are plain
attributes, setters remain methods, unknown attributes cannot be made, enumerations are integers (set in __init__.py),
signals also connect by their C++ signature (signals.py), and objects that C++ has destroyed say so (lifetimes.py).
Importing this makes the flat module `qt` and teaches
PySide6 these rules. Errors raised in slots, which Qt only prints, are kept in `slot_errors`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import types
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from . import lifetimes, settings, signals, timers

# Any: these classes are changed here.
QObject: Any = QtCore.QObject
_QColor: Any = QtGui.QColor
slot_errors: list[BaseException] = []
# Classes that stand in for C++ ones, so that PythonQt's rules hold for their instances.
_stand_ins: set[type] = set()
_loading_ui = False
_NUMBERS = ("int", "double", "bool")
# Properties being read: for a virtual getter, Qt asks Python in turn whether it has a method of that name.
_reading: set[tuple[int, str]] = set()


def stand_in(cls: type) -> type:
    """Class decorator for widgets of CTK or qMRML. Their `signatures` maps those signals to attributes whose types only
    Slicer knows."""
    _stand_ins.add(cls)
    return cls


class QtProperty:
    """A Qt property as an attribute."""

    def __init__(self, name: str, writable: bool, type_name: str, static: Any = None) -> None:
        self.name, self.writable, self.type_name, self.static = name, writable, type_name, static

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.static or self
        key = (id(instance), self.name)
        if key in _reading:
            return None
        _reading.add(key)
        try:
            value = instance.property(self.name)
        finally:
            _reading.discard(key)
        return tuple(value) if self.type_name == "QStringList" else value

    def __set__(self, instance: Any, value: Any) -> None:
        if not self.writable:
            raise AttributeError(f"property {self.name} of {type(instance).__name__} is not writable")
        is_text = isinstance(value, str)
        mismatch = is_text if self.type_name in _NUMBERS else self.type_name == "QString" and not is_text
        # PySide6 takes no tuple for a QStringList; PythonQt takes any sequence but text, which it would take apart.
        if self.type_name == "QStringList":
            mismatch, value = is_text, list(value)
        # Nor a Python subclass of one of Qt's value types, such as Slicer's ObservedQColor.
        if isinstance(value, QtGui.QColor):
            value = value.toRgb()
        if mismatch or not instance.setProperty(self.name, value):
            raise AttributeError(
                f"property {self.name} of {type(instance).__name__} is a {self.type_name} and takes no "
                f"{type(value).__name__}"
            )


def _install() -> types.ModuleType:
    """Patch PySide6 and return the module `qt`."""
    _keep_singletons()
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
    QObject.__bool__ = lambda self: shiboken6.isValid(self)
    QObject.delete = lambda self: shiboken6.delete(self)
    QObject.__getattr__ = _get_missing
    original = QObject.__getattribute__
    # PySide6 finds these two before it looks into the class.
    special = {"connect": signals.connect, "disconnect": signals.disconnect}
    is_valid, signal = shiboken6.isValid, QtCore.SignalInstance

    def get_attribute(self: Any, name: str) -> Any:
        # Nothing is done as often in the tests as this.
        if name[0] != "_":
            if not is_valid(self):
                return lifetimes.of_destroyed(self, name, original)
            if name in special:
                return types.MethodType(special[name], self)
        value = original(self, name)
        kind = type(value)
        if kind is signal:
            return signals.BoundSignal(self, name, value)
        # A property that a stand-in defines: PySide6 hands out what its getter returns.
        return tuple(value) if kind is list and isinstance(_found(self, name), QtCore.Property) else value

    QObject.__getattribute__ = get_attribute
    _accept_integers_as_enums()
    settings.install()
    timers.install()
    sys.excepthook = _keep_error
    sys.modules["qt"] = qt
    return qt


def _keep_singletons() -> None:
    """PySide6 6.12 gives away None, True and False without owning them, which before Python 3.12 ends the process."""
    if sys.version_info < (3, 12):
        for kept in (None, True, False):
            ctypes.c_ssize_t.from_address(id(kept)).value += 1 << 40


class loading_ui:
    """While a .ui file is loaded, PySide6 keeps the children as attributes of their window.

    Nothing is collected meanwhile: widgets that end inside QUiLoader.createWidget take the process with them.
    """

    def __enter__(self) -> None:
        global _loading_ui
        _loading_ui = True
        gc.disable()

    def __exit__(self, *_: object) -> None:
        global _loading_ui
        _loading_ui = False
        gc.enable()


def _add_properties(cls: type) -> None:
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    for number in range(meta.propertyOffset(), meta.propertyCount()):
        described = meta.property(number)
        # QTimer.singleShot is a property of a timer and a static method of the class.
        static = lifetimes.keeping(cls.singleShot) if described.name() == "singleShot" else None  # type: ignore[attr-defined]
        setattr(cls, described.name(), _described(described, static))


def _described(meta_property: QtCore.QMetaProperty, static: Any = None) -> QtProperty:
    return QtProperty(meta_property.name(), meta_property.isWritable(), meta_property.typeName(), static)


def _accept_integers_as_enums() -> None:
    """Slicer's own code calls QColor.name(1)."""
    original = _QColor.name

    def name(self: QtGui.QColor, style: int = 0) -> str:
        return original(self, QtGui.QColor.NameFormat(style))

    _QColor.name = name


def _found(self: Any, name: str) -> Any:
    return next((cls.__dict__[name] for cls in type(self).__mro__ if name in cls.__dict__), None)


def _set_attribute(self: Any, name: str, value: Any) -> None:
    # PySide6 caches bound signals in the instance.
    if name.startswith("_") or _loading_ui or isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value
        return
    if not shiboken6.isValid(self):
        raise ValueError(f"Trying to set property '{name}' on a destroyed {type(self).__name__} object")
    found = _found(self, name)
    if isinstance(found, QtProperty | property):
        found.__set__(self, value)
    elif isinstance(found, QtCore.Property):
        meta = self.metaObject()
        _described(meta.property(meta.indexOfProperty(name))).__set__(self, value)
    elif not (type(self).__module__.startswith("PySide6") or type(self) in _stand_ins):
        self.__dict__[name] = value
    elif found is not None:
        raise AttributeError(f"{name} of {type(self).__name__} cannot be overwritten")
    elif name in [bytes(entry).decode() for entry in self.dynamicPropertyNames()]:
        self.setProperty(name, value)
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


def _keep_error(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    slot_errors.append(error)
    sys.__excepthook__(kind, error, trace)


qt: Any = _install()
