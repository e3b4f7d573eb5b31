"""How values are shown in widgets and read from them (Base/Python/slicer/parameterNodeWrapper/guiConnectors.py): the
widget's exact class and the declared type decide, and what fits nothing is refused."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import ctk
import qt
import slicer

from .limits import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, first, split

_PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath)
_REAL = (
    *(qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget),
    *(ctk.ctkDoubleSlider, ctk.ctkDoubleSpinBox, slicer.qMRMLSpinBox),
)
_PATH_WIDGETS = {ctk.ctkPathLineEdit: "currentPath", ctk.ctkDirectoryButton: "directory"}
_SLIDERS = (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget)


class Connector(NamedTuple):
    """A widget that shows one parameter; `signal` is empty where the user cannot change it."""

    widget: Any
    signal: str
    read: Callable[[], Any]
    write: Callable[[Any], None]


def connector(widget: Any, declared: Any) -> Connector:
    """RuntimeError when the widget cannot show values of the declared type."""
    bare, annotations = split(declared)
    kind = type(widget)
    if bare is bool and kind in (qt.QCheckBox, ctk.ctkCheckBox):
        return _property(widget, "checked", "stateChanged")
    if bare is bool and kind is qt.QPushButton:
        widget.checkable = True
        return _property(widget, "checked", "toggled")
    if bare is int and kind in (qt.QSlider, qt.QSpinBox):
        return _whole(widget, annotations)
    if bare in (int, float) and kind in _REAL:
        return _real(widget, bare, annotations)
    if kind in (qt.QComboBox, ctk.ctkComboBox):
        return _choice(widget, bare, annotations)
    if bare is str and kind in (qt.QLineEdit, qt.QLabel):
        return _property(widget, "text", "textChanged" if kind is qt.QLineEdit else "")
    if bare is str and kind is qt.QTextEdit:
        return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    if bare in _PATHS and kind in _PATH_WIDGETS:
        plain = _property(widget, _PATH_WIDGETS[kind], f"{_PATH_WIDGETS[kind]}Changed")
        return plain._replace(read=lambda: bare(plain.read()), write=lambda value: plain.write(str(value)))
    if bare is qt.QColor and kind is ctk.ctkColorPickerButton:
        return _property(widget, "color", "colorChanged")
    classes = _node_classes(bare)
    if classes and kind is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [cls().GetClassName() for cls in classes]
        return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{declared}' to widget type '{kind}'")


def _property(widget: Any, name: str, signal: str) -> Connector:
    def write(value: Any) -> None:
        # Writing the text that is there already would move the cursor.
        if name != "text" or value != widget.text:
            setattr(widget, name, value)

    return Connector(widget, signal, lambda: getattr(widget, name), write)


def _bounds(annotations: tuple[Any, ...]) -> tuple[Any, Any]:
    within = first(annotations, WithinRange)
    if within is not None:
        return within.minimum, within.maximum
    low, high = first(annotations, Minimum), first(annotations, Maximum)
    return low and low.minimum, high and high.maximum


def _step(widget: Any, annotations: tuple[Any, ...]) -> None:
    step = first(annotations, SingleStep)
    if step is not None:
        widget.singleStep = step.value


def _whole(widget: Any, annotations: tuple[Any, ...]) -> Connector:
    low, high = _bounds(annotations)
    if type(widget) is qt.QSlider and None in (low, high):
        raise RuntimeError("Cannot have a connection to QSlider where the int type is unbounded.")
    _step(widget, annotations)
    widget.setMinimum(-(2**31) if low is None else low)
    widget.setMaximum(2**31 - 1 if high is None else high)
    return _property(widget, "value", "valueChanged")


def _real(widget: Any, bare: type, annotations: tuple[Any, ...]) -> Connector:
    low, high = _bounds(annotations)
    if type(widget) in _SLIDERS and None in (low, high):
        raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
    decimals = 0 if bare is int else first(annotations, Decimals) and first(annotations, Decimals).value
    if decimals is not None and type(widget) is not ctk.ctkDoubleSlider:
        widget.decimals = decimals
    _step(widget, annotations)
    widget.minimum = float("-inf") if low is None else low
    widget.maximum = float("inf") if high is None else high
    plain = _property(widget, "value", "valueChanged")
    return plain._replace(read=lambda: bare(plain.read()), write=lambda value: plain.write(bare(value)))


def _choice(widget: Any, bare: Any, annotations: tuple[Any, ...]) -> Connector:
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        label = getattr(bare, "label", lambda member: member.name)
        values: list[Any] = list(bare)
        texts = [label(member) for member in values]
    else:
        choice = first(annotations, Choice)
        if bare not in (int, float, str, bool) or choice is None:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        values = list(choice.choices)
        texts = [str(value) for value in values]
    widget.clear()
    for text in texts:
        widget.addItem(text)

    def write(value: Any) -> None:
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _node_classes(bare: Any) -> list[Any]:
    """The classes of a node type or of a union of node types and None; empty for anything else."""
    parts = typing.get_args(bare) if typing.get_origin(bare) in (typing.Union, types.UnionType) else (bare,)
    classes = [split(part)[0] for part in parts]
    nodes = [cls for cls in classes if isinstance(cls, type) and issubclass(cls, slicer.vtkMRMLNode)]
    return nodes if all(cls in nodes or cls is type(None) for cls in classes) else []
