"""The Geometry section: each number of an X-ray's projection with its origin, to be checked and corrected."""

from __future__ import annotations

import functools
from typing import Any

import qt
from slicer.i18n import tr as _

from ..mrml import geometryTable, importing
from .controls import (
    ASSUMED_COLOR,
    Control,
    Resized,
    Situation,
    cell,
    fillViewSelector,
    fitHeight,
    quiet,
    sentence,
    stretch,
    tell,
)

_NAME, _VALUE, _UNIT, _ORIGIN = range(4)


class GeometrySection:
    """Connects the widgets of the section with the panel."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._now = Situation()
        self._rows: tuple[geometryTable.GeometryRow, ...] = ()
        self._choices: dict[int, Any] = {}
        self._shown = None
        self._unfoldedFor = set()
        self._view, self._table, self._confirm = (
            Control(ui.geometryViewSelector), Control(ui.geometryTable), Control(ui.confirmButton)
        )  # fmt: skip
        stretch(ui.geometryTable, (_VALUE, _ORIGIN))
        self._resized = Resized(ui.geometryTable, self._fit)
        ui.geometryViewSelector.connect("currentIndexChanged(int)", self._panel.onViewChosen)
        ui.geometryTable.connect("cellChanged(int,int)", self.onCellChanged)
        ui.confirmButton.connect("clicked(bool)", self.onConfirm)

    def close(self):
        self._resized.close()

    def clear(self):
        self._shown = None
        self._unfoldedFor.clear()

    def refresh(self, now):
        """Show the geometry of the active view."""
        self._now = now
        fillViewSelector(self.ui.geometryViewSelector, now)
        self._view.offer("" if now.views else _("Add an X-ray first."))
        self._table.offer(now.busy() or ("" if now.view else _("Add an X-ray first.")))
        projection = now.view.projection if now.view else None
        self._confirm.offer(now.busy())
        self.ui.confirmButton.setVisible(bool(projection and projection.assumptions))
        content = (now.view.picture.GetID(), projection, now.busy()) if now.view else None
        if content != self._shown:
            self._shown = content
            if projection:
                self._rows = geometryTable.rows(projection)
                self._fill()
            self.ui.geometryTable.setVisible(projection is not None)
            tell(self.ui.geometryMessageLabel, _remarks(projection) if projection else "")
        self._unfoldForAssumptions()

    def _fill(self):
        table = self.ui.geometryTable
        with quiet(table):
            table.setRowCount(len(self._rows))
            for number, row in enumerate(self._rows):
                self._fillRow(number, row)
                if row.choices:
                    self._fillChoices(number, row)
        self._fit()

    def _fit(self):
        fitHeight(self.ui.geometryTable)

    def _fillRow(self, number, row):
        table = self.ui.geometryTable
        color = ASSUMED_COLOR if row.assumed else ""
        text = "" if row.choices else row.text
        table.setItem(number, _NAME, cell(row.name, row.hint))
        table.setItem(number, _VALUE, cell(text, row.hint, color, row.editable and not row.choices))
        table.setItem(number, _UNIT, cell(row.unit, row.hint))
        table.setItem(number, _ORIGIN, cell(row.origin, "", color))

    def _fillChoices(self, number, row):
        """Let a row's value be chosen; all views have the same rows, so their widgets stay."""
        if number not in self._choices:
            choices = qt.QComboBox()
            choices.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
            choices.connect("currentIndexChanged(int)", functools.partial(self._onChoice, number))
            self.ui.geometryTable.setCellWidget(number, _VALUE, choices)
            self._choices[number] = choices
        choices = self._choices[number]
        with quiet(choices):
            choices.clear()
            choices.addItems(list(row.choices))
            choices.setCurrentIndex(row.choices.index(row.text))
        choices.setToolTip(row.hint)
        choices.setEnabled(row.editable)

    def onCellChanged(self, row, column):
        if column == _VALUE:
            self._set(int(row), str(self.ui.geometryTable.item(row, column).text()))

    def _onChoice(self, row, index):
        self._set(row, self._rows[row].choices[int(index)])

    def onConfirm(self):
        for number, row in enumerate(self._rows):
            if row.assumed:
                self._set(number, row.text)

    def _set(self, number, text):
        view, refusal = self._now.view, ""
        try:
            changed = geometryTable.setRow(view.projection, self._rows[number].key, text)
            importing.setGeometry(self._now.itsRig, view, changed)
        except Exception as error:
            refusal = sentence(error)
        # Shows the accepted number as the table writes it, or the old one again.
        self._shown = None
        self._panel.refresh()
        if refusal:
            tell(self.ui.geometryMessageLabel, refusal)

    def _unfoldForAssumptions(self):
        """Unfold the section once for each X-ray of which something is assumed; whoever folds it again wants it so."""
        for view in self._now.views:
            identifier = view.picture.GetID()
            if view.projection.assumptions and identifier not in self._unfoldedFor:
                self.ui.geometryCollapsibleButton.setProperty("collapsed", False)
            self._unfoldedFor.add(identifier)


def _remarks(projection):
    said = list(geometryTable.remarks(projection))
    assumed = projection.assumptions
    if assumed:
        said.append(
            _("Assumed: {names}. The overlay may fit at a wrong depth; a registration is not trusted.").format(
                names=", ".join(assumed)
            )
        )
    return "\n".join(said)
