"""The Review section: how X-ray, DRR and what is reprojected are laid over each other."""

from __future__ import annotations

import numpy as np
from slicer.i18n import tr as _

from ..display import layout
from ..display.epipolar import EpipolarTool
from ..mrml import outcome, rig
from .controls import Control, Situation, quiet, say


class ReviewSection:
    """Connects the widgets of the section with the panel; most of them are bound to the parameter node."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._now = Situation()
        self._comparedTo: np.ndarray | None = None
        self._tool = EpipolarTool(self.say)
        self._layout = Control(ui.showLayoutButton)
        self._drr = [
            Control(widget)
            for widget in (
                ui.drrOpacitySlider, ui.comparisonSelector, ui.showEdgesCheckBox, ui.edgeColorButton, ui.edgeWidthSlider
            )
        ]  # fmt: skip
        self._segments = [Control(ui.showSegmentsCheckBox), Control(ui.segmentFillSlider)]
        self._others = [
            Control(ui.showLandmarksCheckBox),
            Control(ui.showCarmCheckBox),
            Control(ui.showXrayEyeCheckBox),
        ]
        self._before, self._epipolar = Control(ui.beforeButton), Control(ui.epipolarButton)
        ui.showLayoutButton.connect("clicked(bool)", self.onShowLayout)
        ui.beforeButton.connect("toggled(bool)", self.onBefore)
        ui.epipolarButton.connect("toggled(bool)", self.onEpipolar)

    def close(self):
        self._tool.close()

    def clear(self):
        self._tool.stop()
        for button in (self.ui.beforeButton, self.ui.epipolarButton):
            with quiet(button):
                button.setChecked(False)
        self.say("")

    def say(self, text):
        # Its line stays: the overlay says here what it is doing whenever something has to be prepared.
        say(self.ui.reviewMessageLabel, text)

    def refresh(self, now):
        """Show what there is to review."""
        self._now = now
        withoutXray = "" if now.views else _("Add an X-ray first.")
        withoutVolume = withoutXray or ("" if now.volume else _("Select a CT first."))
        segmentation = now.parameters.segmentation if now.parameters else None
        for control in (self._layout, *self._others):
            control.offer(withoutXray)
        for control in self._drr:
            control.offer(withoutVolume)
        for control in self._segments:
            control.offer(withoutVolume or ("" if segmentation else _("Select a segmentation first.")))
        found = outcome.outcomeOf(now.rig) if now.rig else None
        self._before.offer(withoutVolume or now.busy() or ("" if found else _("Nothing has been registered yet.")))
        self._epipolar.offer("" if len(now.views) > 1 else _("Epipolar lines need two X-rays or more."))
        self._putOut(self.ui.beforeButton)
        self._putOut(self.ui.epipolarButton)
        self._showLayoutText()
        if not self._tool.active:
            self.say(self._panel.live.obstacle)

    def follow(self):
        """Put the pose before away as soon as the C-arm moves: the overlay shows where it stands now."""
        if not self.ui.beforeButton.checked:
            return
        if self._comparedTo is None or not np.array_equal(self._comparedTo, rig.worldFromVolume(self._now.itsRig)):
            self.ui.beforeButton.setChecked(False)

    def onShowLayout(self):
        if layout.isShown():
            layout.restorePrevious()
        else:
            self._panel.showXrays()
        self._showLayoutText()

    def onBefore(self, checked):
        found = outcome.outcomeOf(self._now.itsRig) if checked else None
        self._comparedTo = rig.worldFromVolume(self._now.itsRig) if found else None
        self._panel.live.showPose(found.before if found else None)

    def onEpipolar(self, checked):
        if checked:
            self._tool.start(self._now.itsRig)
        else:
            self._tool.stop()

    def _showLayoutText(self):
        shown = layout.isShown()
        self.ui.showLayoutButton.setText(_("Back to the previous layout") if shown else _("Show X-ray layout"))

    def _putOut(self, button):
        """Switch a tool off that is offered no longer."""
        if button.checked and not button.enabled:
            button.setChecked(False)
