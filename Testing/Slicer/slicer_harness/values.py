"""Qt properties of stand-ins that are only kept."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property


def stored(kind: Any, name: str, default: Any, then: str = "") -> Any:
    """A Qt property kept in the instance; `then` names a method to call after a change."""
    key = "_kept_" + name

    def get(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def set_(self: Any, value: Any) -> None:
        if value != get(self):
            self.__dict__[key] = value
            if then:
                getattr(self, then)()

    return Property(kind, get, set_)
