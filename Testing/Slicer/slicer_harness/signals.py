"""Signals as PythonQt connects them (PythonQtSignalReceiver.cpp).

A plain function or bound method gets as many arguments as it takes, defaulted ones included; any other callable, and
one with *args, gets all. A connection by signature passes only what the signature names: `clicked()` passes nothing.
Connected callables are kept alive. An unknown signal, of which Slicer only logs a line, is an error here.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import shiboken6
from PySide6 import QtCore

# PySide6 chooses a signal's overload by the number of arguments of what is connected.
_FORWARD: tuple[Callable[[Any], Any], ...] = (
    lambda call: lambda: call(),
    lambda call: lambda a: call(a),
    lambda call: lambda a, b: call(a, b),
    lambda call: lambda a, b, c: call(a, b, c),
    lambda call: lambda a, b, c, d: call(a, b, c, d),
)


class _Connection(NamedTuple):
    name: str
    slot: Any
    made: Any


# By the sender's address in C++: its Python object may come and go.
_connections: dict[int, list[_Connection]] = {}
# By class, what the arguments of its methods are, by their names.
_methods: dict[tuple[type, str, int], dict[str, list[list[str]]]] = {}


class BoundSignal:
    """A signal of an object, as in obj.clicked."""

    def __init__(self, sender: Any, name: str, signal: Any) -> None:
        self._sender, self._name, self._signal = sender, name, signal

    def connect(self, slot: Any) -> bool:
        return _add(self._sender, self._name, self._signal, slot, _longest(self._sender, self._name))

    def disconnect(self, slot: Any = None) -> bool:
        return _remove(self._sender, self._name, slot)

    def emit(self, *arguments: Any) -> None:
        self._signal.emit(*arguments)


def connect(sender: Any, signature: str, receiver: Any, slot: str = "") -> bool:
    """obj.connect("sig(type)", callable) or obj.connect("sig(type)", receiver, "slot(type)")"""
    normalized = _normalized(signature)
    name = _attribute(sender, normalized)
    kinds = _kinds(normalized)
    signal = getattr(sender, name)._signal
    if len([other for other in _overloads(sender, name) if len(other) == len(kinds)]) > 1:
        signal = signal[",".join(kinds)]
    return _add(sender, name, signal, _slot(receiver, slot) if slot else receiver, len(kinds))


def disconnect(sender: Any, signature: str, slot: Any = None) -> bool:
    """Whether there was such a connection."""
    return _remove(sender, _attribute(sender, _normalized(signature)), slot)


def _normalized(signature: str) -> str:
    # It takes text; its type hints say bytes.
    meta_object: Any = QtCore.QMetaObject
    return bytes(meta_object.normalizedSignature(signature).data()).decode()


def _kinds(normalized: str) -> list[str]:
    return [kind for kind in normalized.partition("(")[2].rstrip(")").split(",") if kind]


def _attribute(sender: Any, normalized: str) -> str:
    """The attribute that is the signal with this signature."""
    known = getattr(sender, "signatures", {})
    if normalized in known:
        return known[normalized]
    if sender.metaObject().indexOfSignal(normalized) < 0:
        raise ValueError(f"no such signal: {type(sender).__name__}::{normalized}")
    return normalized.partition("(")[0]


def _overloads(sender: Any, name: str) -> list[list[str]]:
    meta = sender.metaObject()
    # A C++ class that PySide6 does not know has the Python type of one that it does; PySide6 adds methods to a class.
    key = type(sender), meta.className(), meta.methodCount()
    if key not in _methods:
        _methods[key] = {}
        for number in range(meta.methodCount()):
            signature = bytes(meta.method(number).methodSignature().data()).decode()
            _methods[key].setdefault(signature.partition("(")[0], []).append(_kinds(signature))
    return _methods[key].get(name, [])


def _longest(sender: Any, name: str) -> int:
    return max(len(kinds) for kinds in _overloads(sender, name))


def _slot(receiver: Any, signature: str) -> Callable[..., Any]:
    """A receiver's slot, which takes as many arguments as its signature names."""
    normalized = _normalized(signature)
    called = getattr(receiver, normalized.partition("(")[0], None)
    native = type(receiver).__module__.startswith("PySide6")
    if not callable(called) or (native and receiver.metaObject().indexOfSlot(normalized) < 0):
        raise ValueError(f"no such slot: {type(receiver).__name__}::{signature}")
    return _FORWARD[len(_kinds(normalized))](called)


def _taken(slot: Any) -> int:
    """How many arguments PythonQt hands to a callable at most."""
    bound = isinstance(slot, types.MethodType)
    function = slot.__func__ if bound else slot
    if not isinstance(function, types.FunctionType) or function.__code__.co_flags & inspect.CO_VARARGS:
        return len(_FORWARD)
    return function.__code__.co_argcount - bound


def _add(sender: Any, name: str, signal: Any, slot: Any, given: int) -> bool:
    target = slot.emit if isinstance(slot, BoundSignal) else slot
    if not callable(target):
        raise TypeError(f"{target!r} cannot be called when {name} is emitted")
    made = signal.connect(_FORWARD[min(given, _taken(target))](target))
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        # A later object may get the same address.
        QtCore.QObject.destroyed.__get__(sender).connect(lambda: _connections.pop(address, None))
    _connections[address].append(_Connection(name, slot, made))
    return True


def _remove(sender: Any, name: str, slot: Any) -> bool:
    known = _connections.get(shiboken6.getCppPointer(sender)[0], [])
    removed = [made for made in known if made.name == name and (slot is None or made.slot == slot)]
    # PythonQt ends the first connection of a callable, or all when none is named.
    for connection in removed[: None if slot is None else 1]:
        QtCore.QObject.disconnect(connection.made)
        known.remove(connection)
    return bool(removed)
