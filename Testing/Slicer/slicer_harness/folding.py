"""Hiding and showing the contents of CTK's folding widgets."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QWidget

# CTK's own name for it: whether somebody hid the child, apart from the folding.
_WANTED = "visibilityToParent"
_LARGEST_PX = 16777215
_SHOWN_OR_HIDDEN = (QEvent.Type.ShowToParent, QEvent.Type.HideToParent)


class Folding:
    """Mixed into a widget: folded, its children are hidden; unfolded, those come back that nobody hid."""

    def _title_px(self: Any) -> int:
        return self.fontMetrics().height() + 8

    def _prepare_folding(self: Any) -> None:
        self._folded = self._forcing = False

    def _fold(self: Any, folded: bool) -> None:
        if folded == self._folded:
            return
        self._folded = folded
        for child in self.children():
            self._follow(child)
        self.setMaximumHeight(self._title_px() + self.property("collapsedHeight") if folded else _LARGEST_PX)
        self.updateGeometry()

    def _follow(self: Any, child: Any) -> None:
        # Before the first show, hiding a child would look as if somebody had hidden it.
        if not isinstance(child, QWidget) or not self.testAttribute(Qt.WidgetAttribute.WA_WState_Created):
            return
        wanted = child.property(_WANTED) is not False
        self._forcing = True
        child.setVisible(wanted and not self._folded)
        if wanted:
            child.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
        self._forcing = False

    def childEvent(self: Any, event: Any) -> None:
        child = event.child()
        if event.type() == QEvent.Type.ChildAdded and isinstance(child, QWidget):
            explicit = child.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
            if explicit and child.isHidden():
                child.setProperty(_WANTED, False)
            child.installEventFilter(self)
        super().childEvent(event)  # type: ignore[misc]

    def eventFilter(self: Any, child: Any, event: Any) -> bool:
        kind = event.type()
        if kind in _SHOWN_OR_HIDDEN and not self._forcing and isinstance(child, QWidget) and child.parent() is self:
            child.setProperty(_WANTED, kind == QEvent.Type.ShowToParent)
            if kind == QEvent.Type.ShowToParent:
                self._follow(child)
        return False

    def showEvent(self: Any, event: Any) -> None:
        super().showEvent(event)  # type: ignore[misc]
        for child in self.children():
            self._follow(child)
