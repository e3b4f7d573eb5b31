"""How long Qt's objects and the callables given to them live in PythonQt (PythonQtInstanceWrapper.cpp).

An object that C++ has destroyed is false, and whatever is asked of it raises ValueError. What QTimer.singleShot was
given is never freed in Slicer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from . import timers

single_shots: list[Any] = []


def keeping(single_shot: Callable[..., Any]) -> Callable[..., Any]:
    """QTimer.singleShot as Slicer has it."""

    def keep_and_call(wait_ms: int, *arguments: Any) -> Any:
        single_shots.append(arguments[-1])
        if len(arguments) == 1 and callable(arguments[0]):
            arguments = (timers.shot(wait_ms, arguments[0]),)
        return single_shot(wait_ms, *arguments)

    return keep_and_call


def of_destroyed(instance: Any, name: str, original: Callable[[Any, str], Any]) -> Any:
    """An attribute of an object that was destroyed: what Python put there, or what raises ValueError."""
    owner = next((cls for cls in type(instance).__mro__ if name in vars(cls)), None)
    is_native = owner is None or owner.__module__.split(".")[0] in ("PySide6", "Shiboken")
    if name in vars(instance) or not is_native:
        return original(instance, name)
    described = type(instance).__name__
    # Of what the classes hold, methods are called and properties (pythonqt.QtProperty) are not.
    if owner is not None and hasattr(vars(owner)[name], "type_name"):
        raise ValueError(f"Trying to read property '{name}' from a destroyed {described} object")

    def refuse(*_: object) -> NoReturn:
        raise ValueError(f"Trying to call '{name}' on a destroyed {described} object")

    return refuse
