"""QSettings as PythonQt hands it over: lists come back as tuples, and a list of one as a tuple of one.

PythonQt gives Qt a list of variants, which even with a single entry is kept as a list; PySide6 gives it a list of
texts, and a single text is kept as a text.
"""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSettings

# File and key of the lists with one entry.
_lists_of_one: set[tuple[str, str]] = set()


def install() -> None:
    """Change the class for everybody."""
    native: Any = QSettings
    read, write = native.value, native.setValue

    def place(self: Any, key: str) -> tuple[str, str]:
        return self.fileName(), "/".join(part for part in (self.group(), key) if part)

    def set_value(self: Any, key: str, value: Any) -> None:
        is_list = isinstance(value, list | tuple)
        (_lists_of_one.add if is_list and len(value) == 1 else _lists_of_one.discard)(place(self, key))
        write(self, key, list(value) if is_list else value)

    def get_value(self: Any, key: str, *default: Any) -> Any:
        found = read(self, key, *default)
        if isinstance(found, str) and place(self, key) in _lists_of_one:
            return (found,)
        return tuple(found) if isinstance(found, list) else found

    native.setValue, native.value = set_value, get_value
