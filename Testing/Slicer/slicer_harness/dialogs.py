"""Dialogs that wait for a user, answered by tests.

A test puts the answer, or a function that gives it from the call's arguments, under the method's name:
`app.answers["getOpenFileName"] = path`. A dialog that nobody answers is an error instead of a wait without end.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets

_FILES = ("getOpenFileName", "getSaveFileName", "getExistingDirectory", "getOpenFileNames")
_INPUTS = ("getText", "getItem", "getInt", "getDouble", "getMultiLineText")
_MESSAGES = ("question", "information", "warning", "critical")


def install() -> dict[str, Any]:
    """Replace the dialogs; returns the table of answers."""
    answers: dict[str, Any] = {}

    def answer(name: str, what: str) -> Any:
        def ask(*arguments: Any, **named: Any) -> Any:
            if name not in answers:
                raise LookupError(f'{what} waits for a user; put an answer into app.answers["{name}"]')
            given = answers[name]
            return given(*arguments, **named) if callable(given) else given

        return ask

    # PythonQt gives the path alone, not the chosen filter with it.
    for cls, names in (
        (QtWidgets.QFileDialog, _FILES),
        (QtWidgets.QInputDialog, _INPUTS),
        (QtWidgets.QMessageBox, _MESSAGES),
    ):
        for name in names:
            setattr(cls, name, staticmethod(answer(name, f"{cls.__name__}.{name}")))
    for dialog in (QtWidgets.QDialog, QtWidgets.QMessageBox, QtWidgets.QFileDialog, QtWidgets.QProgressDialog):
        for name in ("exec", "exec_"):
            setattr(dialog, name, answer("exec", f"{dialog.__name__}.{name}()"))
    return answers
