"""The part of the Initial pose section that places the C-arm by landmarks marked on the CT and on the X-rays."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..mrml import landmarks
from ..mrml.rig import View
from .controls import Control, Resized, Situation, cell, fitHeight, sentence, stretch

_NAME, _VIEW, _RESIDUAL = range(3)
# With more landmarks their table scrolls.
_MOST_ROWS = 12


class LandmarksPart(VTKObservationMixin):
    """Marking, solving, and how well it fits. `say(text)` shows a line.

    A point that is clicked on an X-ray gets the name of the next landmark that has no partner there.
    """

    def __init__(self, panel, say):
        VTKObservationMixin.__init__(self)
        self._panel = panel
        self._say = say
        self.ui = ui = panel.ui
        self._now = Situation()
        self._marking: View | None = None
        self._selector, self._markVolume, self._markXray, self._solve = (
            Control(ui.landmarksSelector), Control(ui.markVolumeButton), Control(ui.markXrayButton),
            Control(ui.solveButton),
        )  # fmt: skip
        stretch(ui.landmarksTable, (_NAME, _VIEW))
        # In a narrower panel long names take more lines.
        self._resized = Resized(ui.landmarksTable, self._fit)
        ui.markVolumeButton.connect("clicked(bool)", self.onMarkVolume)
        ui.markXrayButton.connect("clicked(bool)", self.onMarkXray)
        ui.solveButton.connect("clicked(bool)", self.onSolve)

    def close(self):
        self.removeObservers()
        self._resized.close()

    def clear(self):
        self.removeObservers()
        self._marking = None

    def refresh(self, now):
        """Show what can be marked and solved."""
        self._now = now
        node = self._listed
        if self._marking is not None and self._marking.picture.GetScene() is None:
            self.clear()
        without = "" if node else _("Choose or create a point list first.")
        empty = node is not None and not node.GetNumberOfControlPoints()
        unmarked = without or (_("Mark landmarks on the CT first.") if empty else "")
        self._selector.offer(now.busy())
        self._markVolume.offer(now.busy() or without)
        self._markXray.offer(now.incomplete() or unmarked)
        self._solve.offer(now.incomplete() or unmarked)

    def follow(self):
        """Show how far each landmark's projection lies from its mark now."""
        table, now, node = self.ui.landmarksTable, self._now, self._listed
        try:
            rows = landmarks.residuals(now.rig, node) if now.rig and node else []
        except Exception as error:
            rows = []
            self._say(sentence(error))
        table.setVisible(bool(rows))
        table.setRowCount(len(rows))
        for row, residual in enumerate(rows):
            table.setItem(row, _NAME, cell(residual.name))
            table.setItem(row, _VIEW, cell(residual.view))
            told = _("{mm:.1f} mm").format(mm=residual.mm)
            table.setItem(row, _RESIDUAL, cell(told, _("{px:.1f} pixels of the X-ray").format(px=residual.px)))
        self._fit()

    def _fit(self):
        fitHeight(self.ui.landmarksTable, _MOST_ROWS)

    def onMarkVolume(self):
        self.removeObservers()
        self._place(self._listed)
        self._say(_("Click the landmarks in the CT's slices or in 3D; a right click ends."))

    def onMarkXray(self):
        self.removeObservers()
        view = self._now.view
        node = landmarks.landmarksIn(self._now.itsRig, view, create=True)
        self._marking = view
        self.addObserver(node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._onMarked)
        self._place(node)
        self._sayNext(view)

    def onSolve(self):
        self._panel.run(_("The pose from landmarks"), self._solveSteps(), self._onStep, self._onEnd)

    def _solveSteps(self):
        fit = yield from self._panel.logic.landmarkSteps()
        said = [fit.reason]
        if fit.unpaired:
            said.append(_("Without a partner: {names}.").format(names=", ".join(fit.unpaired)))
        self._say(" ".join(said))

    def _onStep(self, message):
        if message:
            self._say(message)

    def _onEnd(self, problem):
        if problem:
            self._say(problem)

    @vtk.calldata_type(vtk.VTK_INT)
    def _onMarked(self, caller, event, index):
        view = self._marking
        if view is None:
            return
        waiting = self._unmarked(view, but=index)
        if waiting:
            caller.SetNthControlPointLabel(index, waiting[0])
        self._sayNext(view)

    @property
    def _listed(self):
        """The points on the CT, a markups node, or None without one."""
        return self._now.parameters.landmarks if self._now.parameters else None

    def _unmarked(self, view, but=None):
        """Names of the landmarks on the CT without partner in the X-ray of a view, `but` one point there."""
        node, marked = self._listed, landmarks.landmarksIn(self._now.itsRig, view)
        if node is None:
            return []
        there = {marked.GetNthControlPointLabel(n) for n in range(marked.GetNumberOfControlPoints()) if n != but}
        names = [node.GetNthControlPointLabel(n) for n in range(node.GetNumberOfControlPoints())]
        return [name for name in names if name not in there]

    def _sayNext(self, view):
        waiting = self._unmarked(view)
        if waiting:
            self._say(_("Click {landmark} in {view}.").format(landmark=waiting[0], view=view.name))
        else:
            self._say(_("All landmarks are marked in {view}.").format(view=view.name))
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def _place(self, node):
        """Let the next clicks in the views set points of a markups node, until Slicer's place mode is left."""
        logic = slicer.modules.markups.logic()
        logic.SetActiveList(node)
        logic.StartPlaceMode(True)
