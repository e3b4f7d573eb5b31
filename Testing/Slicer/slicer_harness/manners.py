"""What PySide6 takes and PythonQt refuses, read from a source text: rules that cannot be held while running."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

_NOT_IN_PYTHONQT = ("Signal", "Slot", "Property", "QtCore", "QtGui", "QtWidgets")


def broken(tree: ast.AST) -> Iterator[str]:
    """A sentence for each line that would fail in Slicer."""
    for node in ast.walk(tree):
        for said in (*_enumerations(node), *_keywords(node), *_names(node), *_texts(node)):
            yield f"line {getattr(node, 'lineno', 0)}: {said}"


def _dotted(node: ast.AST) -> list[str]:
    """The names of an expression such as qt.Qt.AlignLeft; empty for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*inner, node.attr] if isinstance(node, ast.Attribute) and inner else []


def _in_qt(names: list[str]) -> Any:
    """What a dotted name of the flat module qt means in PySide6; None when there is no such thing."""
    if not names or names[0] != "qt":
        return None
    found: Any = None
    for module in (QtCore, QtGui, QtWidgets):
        found = found or getattr(module, names[1] if names[1:] else "", None)
    for name in names[2:]:
        found = getattr(found, name, None)
    return found


def _enumerations(node: ast.AST) -> Iterator[str]:
    names = _dotted(node)
    owner = _in_qt(names[:-1]) if len(names) > 3 else None
    if isinstance(owner, type) and issubclass(owner, enum.Enum):
        yield f"{'.'.join(names)}: PythonQt knows {'.'.join([*names[:-2], names[-1]])} only"


def _keywords(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call) or not node.keywords:
        return
    names = _dotted(node.func)
    if len(names) > 1 and (names[0] in ("qt", "ctk") or (names[0] == "slicer" and names[1].startswith("q"))):
        yield f"{'.'.join(names)}(...=...): PythonQt takes no keyword arguments"


def _names(node: ast.AST) -> Iterator[str]:
    names = _dotted(node)
    if len(names) == 2 and names[0] == "qt" and names[1] in _NOT_IN_PYTHONQT:
        yield f"{'.'.join(names)} does not exist in PythonQt, or does not work there"


def _texts(node: ast.AST) -> Iterator[str]:
    is_translated = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"
    if is_translated and ([type(argument) for argument in node.args] != [ast.Constant] or node.keywords):
        yield "_() takes one plain text: what is put together is not found by translators"
