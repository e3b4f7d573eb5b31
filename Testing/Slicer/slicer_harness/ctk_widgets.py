"""Stand-ins for CTK's sections, buttons and path widgets.

They have CTK's properties, slots and signals (names and rules after commontk/CTK, Libs/Widgets) and nothing else in
camelCase: what C++ offers without making it a slot is not there in PythonQt either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Property, QDir, QRect, QRegularExpression, QSettings, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap, QRegularExpressionValidator
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QStyleOptionGroupBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .folding import Folding
from .pythonqt import stand_in
from .values import stored


@stand_in
class ctkCollapsibleButton(Folding, QAbstractButton):
    """A section with a title bar that folds it."""

    contentsCollapsed = Signal(bool)
    collapsedHeight = stored(int, "collapsedHeight", 14, "updateGeometry")
    flat = stored(bool, "flat", False, "update")

    def __init__(self, *arguments: Any) -> None:
        title, parent = _title_and_parent(arguments)
        super().__init__(parent)
        self._prepare_folding()
        self.setText(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._title_px(), 0, 0)
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, checked: bool) -> None:
        self._fold(not checked)
        self.contentsCollapsed.emit(not checked)

    collapsed = Property(
        bool,
        lambda self: not self.isChecked(),
        lambda self, folded: self.setChecked(not folded),
        notify=contentsCollapsed,
    )

    def hitButton(self, point: Any) -> bool:
        return point.y() < self._title_px()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        bar = QStyleOptionButton()
        bar.initFrom(self)
        bar.rect = QRect(0, 0, self.property("width"), self._title_px())
        bar.state |= QStyle.StateFlag.State_Sunken if self.isDown() else QStyle.StateFlag.State_Raised
        style = self.style()
        style.drawControl(QStyle.ControlElement.CE_PushButtonBevel, bar, painter, self)
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(6, (self._title_px() - 10) // 2, 10, 10)
        style.drawPrimitive(_arrow(self.isChecked()), arrow, painter, self)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        text = bar.rect.adjusted(24, 0, -6, 0)
        style.drawItemText(painter, text, left, self.property("palette"), self.isEnabled(), self.property("text"))
        painter.end()


@stand_in
class ctkCollapsibleGroupBox(Folding, QGroupBox):
    """A group box that folds; it is checked when it is open."""

    collapsedHeight = stored(int, "collapsedHeight", 14, "updateGeometry")

    def __init__(self, *arguments: Any) -> None:
        title, parent = _title_and_parent(arguments)
        super().__init__(parent)
        self._prepare_folding()
        self.setTitle(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self._fold(not checked))

    def paintEvent(self, event: Any) -> None:
        """As every group box, but with an arrow for the check mark."""
        painter, box, arrow = QStylePainter(self), QStyleOptionGroupBox(), QStyleOption()
        self.initStyleOption(box)
        arrow.initFrom(self)
        check = QStyle.SubControl.SC_GroupBoxCheckBox
        control = QStyle.ComplexControl.CC_GroupBox
        arrow.rect = self.style().subControlRect(control, box, check, self).adjusted(2, 2, -2, -2)
        box.subControls &= ~check
        painter.drawComplexControl(control, box)
        painter.drawPrimitive(_arrow(self.isChecked()), arrow)
        painter.end()

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, folded: self.setChecked(not folded))


@stand_in
class ctkPathLineEdit(QWidget):
    """A line for a path, a button to browse and a history. As in CTK, a path that the name filters do not accept, the
    empty one included, is shown but not told by a signal."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    label = stored(str, "label", "")
    showHistoryButton = stored(bool, "showHistoryButton", True)
    _LONGEST_HISTORY = 5

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name_filters: list[str] = []
        self._key, self._valid = "", False
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._combo, self._browse = QComboBox(self), QToolButton(self)
        self._combo.setEditable(True)
        self._combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._combo.setMinimumContentsLength(8)
        self._line = self._combo.lineEdit()
        self._validator = QRegularExpressionValidator(self)
        self._line.setValidator(self._validator)
        self._browse.setText("...")
        self._browse.setToolTip("Open a dialog")
        layout.addWidget(self._combo)
        layout.addWidget(self._browse)
        self._accept([])
        self._line.textChanged.connect(self._on_text)
        self._browse.clicked.connect(lambda: self.browse())

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)

    currentPath = Property(str, lambda self: self._line.property("text"), setCurrentPath)

    def browse(self) -> None:
        path = QFileDialog.getOpenFileName(self, "Open a file", self.property("currentPath"))
        if path:
            self.setCurrentPath(path)

    def comboBox(self) -> QComboBox:
        return self._combo

    def retrieveHistory(self) -> None:
        path = self.property("currentPath")
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems(self._history()[: self._LONGEST_HISTORY])
        self._combo.blockSignals(False)
        if path:
            self.setCurrentPath(path)
        elif self._combo.property("count"):
            self._combo.setCurrentIndex(0)

    def addCurrentPathToHistory(self) -> None:
        path = self.property("currentPath")
        if path:
            QSettings().setValue(self._settings_key(), [path, *(old for old in self._history() if old != path)])
            self.retrieveHistory()

    def _settings_key(self) -> str:
        return "ctkPathLineEdit/" + (self._key or self.property("objectName"))

    def _history(self) -> list[str]:
        kept = QSettings().value(self._settings_key()) or []
        return [kept] if isinstance(kept, str) else list(kept)

    def _set_key(self, key: str) -> None:
        self._key = key
        self.retrieveHistory()

    def _accept(self, filters: list[str]) -> None:
        self._name_filters = list(filters)
        wildcards = [part.strip("()") for text in filters for part in text.split() if "*." in part]
        # The last letter of an extension may be missing; CTK writes it so.
        patterns = [rf".*\.{wildcard.partition('*.')[2]}?" for wildcard in wildcards]
        self._validator.setRegularExpression(QRegularExpression(f"({'|'.join(patterns)})" if patterns else ".+"))

    def _on_text(self, _text: str) -> None:
        before, self._valid = self._valid, self._line.hasAcceptableInput()
        if self._valid:
            self.currentPathChanged.emit(self.property("currentPath"))
        if self._valid != before:
            self.validInputChanged.emit(self._valid)

    nameFilters = Property("QStringList", lambda self: self._name_filters, _accept)
    settingKey = Property(str, lambda self: self._key, _set_key)
    showBrowseButton = Property(
        bool, lambda self: not self._browse.isHidden(), lambda self, shown: self._browse.setVisible(shown)
    )


@stand_in
class ctkDirectoryButton(QWidget):
    """A button that shows a folder and lets choose another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = stored(str, "caption", "")
    elideMode = stored(Qt.TextElideMode, "elideMode", Qt.TextElideMode.ElideNone, "_allow_shrinking")

    def __init__(self, *arguments: Any) -> None:
        folder, parent = _title_and_parent(arguments)
        super().__init__(parent)
        self._text = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._button = QPushButton(self)
        self._button.setIcon(self.style().standardIcon(QStyle.StandardPixmap.SP_DirIcon))
        self._button.clicked.connect(lambda: self.browse())
        layout.addWidget(self._button)
        self._directory = QDir(folder or ".").absolutePath()
        self._show()

    def _set_directory(self, path: str) -> None:
        chosen = QDir(path).absolutePath()
        changed = chosen != self._directory
        self._directory = chosen
        self._show()
        self.directorySelected.emit(chosen)
        if changed:
            self.directoryChanged.emit(chosen)

    def _set_text(self, text: str) -> None:
        self._text = text
        self._show()

    def _show(self) -> None:
        self._button.setText(self._text or self._directory)

    def _allow_shrinking(self) -> None:
        """As ctkDirectoryButton::setElideMode; the stand-in then cuts the text off instead of eliding it."""
        policy = QSizePolicy.Policy
        none = self.property("elideMode") == Qt.TextElideMode.ElideNone
        self._button.setSizePolicy(policy.Minimum if none else policy.Preferred, policy.Fixed)

    def browse(self) -> str:
        path = QFileDialog.getExistingDirectory(self, self.property("caption"), self._directory)
        if path:
            self._set_directory(path)
        return path

    directory = Property(str, lambda self: self._directory, _set_directory, notify=directoryChanged)
    text = Property(str, lambda self: self._text, _set_text)


@stand_in
class ctkColorPickerButton(QPushButton):
    """A button that shows a colour; the dialog behind it is Slicer's affair."""

    colorChanged = Signal(QColor)
    colorNameChanged = Signal(str)

    def __init__(self, *arguments: Any) -> None:
        text, parent = _title_and_parent(arguments)
        super().__init__(text, parent)
        self._color, self._color_name, self._named = QColor(0, 0, 0), "", True
        self._show()

    def setColor(self, color: QColor) -> None:
        if color != self._color:
            self._color = QColor(color)
            self._show()
            self.colorChanged.emit(self._color)

    def setDisplayColorName(self, shown: bool) -> None:
        self._named = shown
        self.update()

    def _set_color_name(self, name: str) -> None:
        if name != self._color_name:
            self._color_name = name
            self.update()
            self.colorNameChanged.emit(name)

    def _show(self) -> None:
        patch = QPixmap(16, 16)
        patch.fill(self._color)
        self.setIcon(QIcon(patch))

    def paintEvent(self, event: Any) -> None:
        painter, option = QStylePainter(self), QStyleOptionButton()
        self.initStyleOption(option)
        if self._named:
            option.text = self._color_name or self._color.name()
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        painter.end()

    color = Property(QColor, lambda self: self._color, setColor, notify=colorChanged)
    colorName = Property(str, lambda self: self._color_name, _set_color_name, notify=colorNameChanged)
    displayColorName = Property(bool, lambda self: self._named, setDisplayColorName)


@stand_in
class ctkMenuButton(QPushButton):
    """A button with a menu of its own at its right."""

    def __init__(self, *arguments: Any) -> None:
        text, parent = _title_and_parent(arguments)
        super().__init__(text, parent)


@stand_in
class ctkCheckBox(QCheckBox):
    """A check box whose indicator may be an icon."""

    indicatorIcon = stored(QIcon, "indicatorIcon", QIcon(), "update")
    indicatorIconSize = stored(QSize, "indicatorIconSize", QSize(), "update")


@stand_in
class ctkComboBox(QComboBox):
    """A combo box that shows a text where nothing is chosen."""

    forceDefault = stored(bool, "forceDefault", False)
    defaultText = Property(
        str, lambda self: self.property("placeholderText"), lambda self, text: self.setPlaceholderText(text)
    )


@stand_in
class ctkPushButton(QPushButton):
    """A button with alignments of its own, which do not matter here."""


def _arrow(is_open: bool) -> QStyle.PrimitiveElement:
    kinds = QStyle.PrimitiveElement
    return kinds.PE_IndicatorArrowDown if is_open else kinds.PE_IndicatorArrowRight


def _title_and_parent(arguments: tuple[Any, ...]) -> tuple[str, QWidget | None]:
    """CTK's constructors take (parent) or (text, parent)."""
    texts = [argument for argument in arguments if isinstance(argument, str | Path)]
    parents = [argument for argument in arguments if isinstance(argument, QWidget)]
    return str(texts[0]) if texts else "", parents[0] if parents else None


WIDGETS = (
    ctkCheckBox,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkColorPickerButton,
    ctkComboBox,
    ctkDirectoryButton,
    ctkMenuButton,
    ctkPathLineEdit,
    ctkPushButton,
)
