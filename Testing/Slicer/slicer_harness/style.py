"""How the panel looks: Qt's Fusion style in light colours with one font everywhere, so that pictures are alike."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from PySide6 import QtGui

_POINTS = 9
_WINDOW, _BASE, _BUTTON, _TEXT = "#f0f0f0", "#ffffff", "#f6f6f6", "#1a1a1a"
_FAINT, _HIGHLIGHT, _BORDER = "#9a9a9a", "#3d7eaa", "#b4b4b4"


def apply(application: Any) -> None:
    """Give the application this look."""
    application.setStyle("Fusion")
    application.setPalette(_palette())
    application.setFont(QtGui.QFont(_family(), _POINTS))


def _palette() -> QtGui.QPalette:
    role = QtGui.QPalette.ColorRole
    palette = QtGui.QPalette(QtGui.QColor(_BUTTON), QtGui.QColor(_WINDOW))
    colours = {
        role.Base: _BASE,
        role.AlternateBase: "#f7f7f7",
        role.Text: _TEXT,
        role.WindowText: _TEXT,
        role.ButtonText: _TEXT,
        role.Highlight: _HIGHLIGHT,
        role.HighlightedText: _BASE,
        role.Mid: _BORDER,
        role.PlaceholderText: _FAINT,
        role.ToolTipBase: "#ffffdc",
        role.ToolTipText: _TEXT,
    }
    for which, colour in colours.items():
        palette.setColor(which, QtGui.QColor(colour))
    palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role.Highlight, QtGui.QColor(_BORDER))
    for which in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, which, QtGui.QColor(_FAINT))
    return palette


def _family() -> str:
    """DejaVu Sans as matplotlib brings it along: off-screen there may be no other font."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        return QtGui.QFont().defaultFamily()
    fonts = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"
    for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf"):
        QtGui.QFontDatabase.addApplicationFont(str(fonts / name))
    return "DejaVu Sans"
