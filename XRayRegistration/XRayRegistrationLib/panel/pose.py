"""The Initial pose section: the C-arm in the terms of a clinician, two-way with its transform node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from slicer.i18n import tr as _

from ..mrml import posing, projections
from .controls import Control, Situation, fillViewSelector, quiet, sentence, tell
from .landmarks import LandmarksPart
from .network import NetworkPart

# Sliders and the numbers of xrayreg.geometry.Placement that they set.
_SLIDERS = {
    "primarySlider": "primary_deg",
    "secondarySlider": "secondary_deg",
    "rollSlider": "roll_deg",
    "rightSlider": "right_mm",
    "upSlider": "up_mm",
    "sourceSlider": "sod_mm",
}
_PRESETS = {
    "apButton": "ap",
    "paButton": "pa",
    "leftLateralButton": "left_lateral",
    "rightLateralButton": "right_lateral",
}
# Poses whose entries differ by less stand at the same place: a slider's rounding must not move the C-arm.
_SAME = 1e-6
_DIGITS = 6
# Angles that a full turn changes into others of the same pose. Their sliders reach a quarter turn beyond AP and its
# mirror image, so that nobody who slides about a textbook view meets an end.
_TURNING = ("primary_deg", "roll_deg")
# What the slider for the source shows while there is nothing to show.
_USUAL_SOD_MM = 700.0
# By how much a slider's range grows at a time when the C-arm stands beyond its end [mm].
_RANGE_STEP_MM = 100.0


class PoseSection:
    """Connects the widgets of the section with the panel."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._now = Situation()
        # What the sliders stand for, with all digits, and the values they were given for it.
        self._placement, self._shown = None, {}
        # The view to which they belong: another one's angles start anew.
        self._placed = None
        self._view = Control(ui.poseViewSelector)
        self._sliders = {field: Control(getattr(ui, name)) for name, field in _SLIDERS.items()}
        self._presets = {view: Control(getattr(ui, name)) for name, view in _PRESETS.items()}
        self._reset, self._dicom, self._search = (
            Control(ui.resetButton), Control(ui.dicomAnglesButton), Control(ui.searchButton)
        )  # fmt: skip
        self.network = NetworkPart(panel, self.say)
        self._landmarks = LandmarksPart(panel, self.say)
        ui.poseViewSelector.connect("currentIndexChanged(int)", panel.onViewChosen)
        for name in _SLIDERS:
            getattr(ui, name).connect("valueChanged(double)", self.onSlider)
        ui.apButton.connect("clicked(bool)", self.onAp)
        ui.paButton.connect("clicked(bool)", self.onPa)
        ui.leftLateralButton.connect("clicked(bool)", self.onLeftLateral)
        ui.rightLateralButton.connect("clicked(bool)", self.onRightLateral)
        ui.resetButton.connect("clicked(bool)", self.onReset)
        ui.dicomAnglesButton.connect("clicked(bool)", self.onDicomAngles)
        ui.searchButton.connect("clicked(bool)", self.onSearch)

    def close(self):
        self._landmarks.close()
        self.network.clear()

    def clear(self):
        self.say("")
        self._placement = None
        for name in _SLIDERS:
            slider = getattr(self.ui, name)
            with quiet(slider):
                slider.setValue(_USUAL_SOD_MM if name == "sourceSlider" else 0.0)
        self.network.clear()
        self._landmarks.clear()

    def say(self, text):
        tell(self.ui.poseMessageLabel, text)

    def refresh(self, now):
        """Show the pose and what can be done about it."""
        self._now = now
        view = now.view.picture.GetID() if now.view else None
        if view != self._placed:
            self._placed, self._placement = view, None
        fillViewSelector(self.ui.poseViewSelector, now)
        self._view.offer("" if now.views else _("Add an X-ray first."))
        obstacle = now.incomplete()
        for control in (*self._sliders.values(), *self._presets.values(), self._reset, self._search):
            control.offer(obstacle)
        self._dicom.offer(obstacle or _withoutAngles(now.view))
        self.network.refresh(now)
        self._landmarks.refresh(now)
        self.follow()

    def follow(self):
        """Let the sliders follow the transform, unless it stands where they say already."""
        now = self._now
        if now is None:
            return
        self._landmarks.follow()
        if now.volume is None or now.view is None:
            return
        try:
            placement = posing.placement(now.itsRig, now.view, now.volume)
        except Exception as error:
            self.say(sentence(error))
            return
        if self._placement is None:
            self._show(placement)
        elif not _standAlike(self._placement, placement):
            self._show(self._continued(placement))

    def _continued(self, placement):
        """A placement with those of its equivalent angles that lie nearest to what the sliders show, so none leaps."""
        return replace(placement, **{field: self._nearest(getattr(placement, field), field) for field in _TURNING})

    def _nearest(self, degrees, field):
        slider = self._sliders[field].widget
        near = degrees + 360.0 * round((getattr(self._placement, field) - degrees) / 360.0)
        if near > slider.maximum:
            return near - 360.0
        return near + 360.0 if near < slider.minimum else near

    def _show(self, placement):
        self._placement = placement
        for field, control in self._sliders.items():
            # Rounding's -1e-14 would show as -0.0.
            slider, value = control.widget, round(getattr(placement, field), _DIGITS) + 0.0
            with quiet(slider):
                if field.endswith("_mm"):
                    _makeRoom(slider, value)
                slider.setValue(value)
            self._shown[field] = float(slider.value)

    def onSlider(self, _value):
        now = self._now
        if self._placement is None or now.incomplete():
            return
        values = {field: float(control.widget.value) for field, control in self._sliders.items()}
        moved = {field: value for field, value in values.items() if value != self._shown[field]}
        try:
            # Somebody may have moved the C-arm since the sliders were set.
            standing = posing.placement(now.itsRig, now.view, now.volume)
            known = self._placement if _standAlike(self._placement, standing) else self._continued(standing)
            self._placement, self._shown = replace(known, **moved), values
            posing.setPlacement(now.itsRig, now.view, now.volume, self._placement)
        except Exception as error:
            self.say(sentence(error))
        else:
            self.say("")

    def onAp(self):
        self._attempt(posing.toNominal, "ap")

    def onPa(self):
        self._attempt(posing.toNominal, "pa")

    def onLeftLateral(self):
        self._attempt(posing.toNominal, "left_lateral")

    def onRightLateral(self):
        self._attempt(posing.toNominal, "right_lateral")

    def onDicomAngles(self):
        now = self._now
        steps = projections.followFrameSteps(self._panel.logic.inputs.worker, now.itsRig, now.view)
        self._panel.run(_("Reading the angles"), steps, _ignore, self._onAngles)

    def _onAngles(self, problem):
        if problem:
            self.say(problem)
        else:
            self._attempt(posing.toDicomAngles)

    def onReset(self):
        self._attempt(lambda rig, _view, volume: posing.reset(rig, volume))

    def onSearch(self):
        self._panel.register.startSearch()

    def _attempt(self, move, *arguments):
        """Move the C-arm for the active view, or say why that cannot be.

        A textbook pose has its textbook angles, wherever the sliders stood.
        """
        said, self._placement = "", None
        try:
            move(self._now.rig, self._now.view, self._now.volume, *arguments)
        except Exception as error:
            said = sentence(error)
        self.say("")
        self.follow()
        if said:
            self.say(said)


def _ignore(_step):
    """Nothing is shown while angles are read."""


def _withoutAngles(view):
    """Why the C-arm cannot be set to the angles of a view's file; empty when it can."""
    if posing.hasAngles(view):
        return ""
    return _("The angles of {view} are not known; they can be entered in the section Geometry.").format(view=view.name)


def _standAlike(one, other):
    """Whether two placements are the same pose; beside a half turn or along the patient their numbers may differ."""
    from xrayreg.geometry import camera_from_placement

    first, second = (camera_from_placement(placement, np.zeros(3)) for placement in (one, other))
    return np.allclose(first, second, atol=_SAME)


def _makeRoom(slider, value):
    """Move the end of a slider outwards until a value lies within."""
    if value > slider.maximum:
        slider.maximum = _RANGE_STEP_MM * float(np.ceil(value / _RANGE_STEP_MM))
    if value < slider.minimum:
        slider.minimum = _RANGE_STEP_MM * float(np.floor(value / _RANGE_STEP_MM))
