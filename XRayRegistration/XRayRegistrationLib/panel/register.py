"""The Register section: start, cancel, progress, and how far to trust what was found."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..mrml import outcome
from ..parameters import Start
from .choice import NetworkChoice, Purpose
from .controls import Control, Situation, say, widgetsIn
from .curve import SimilarityCurve

# Colours of the verdict's frame (red, green, blue), visible on light and on dark panels.
_ACCEPTED, _REFUSED, _STALE, _NEUTRAL = "46, 158, 79", "208, 64, 48", "214, 140, 20", "128, 128, 128"
_FRAME = "QFrame#verdictFrame {{ border-left: 4px solid rgb({color}); background-color: rgba({color}, 40); }}"


class RegisterSection:
    """Connects the widgets of the section with the panel; searches show their progress here too."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._now = Situation()
        self._frameColor = None
        self._progress = None
        self.curve = SimilarityCurve(ui.curveLabel)
        self._effort, self._start, self._register, self._cancel, self._undo = (
            Control(ui.effortSelector), Control(ui.startSelector), Control(ui.registerButton),
            Control(ui.cancelButton), Control(ui.undoButton),
        )  # fmt: skip
        purpose = Purpose("similarity", True, _("Choose a similarity"), _("Register without a trained similarity."))
        own = widgetsIn(ui.similarityContainer, "XRayRegistrationSimilarity.ui")
        self.similarity = NetworkChoice(panel, purpose, own)
        ui.registerButton.connect("clicked(bool)", self.onRegister)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.undoButton.connect("clicked(bool)", self.onUndo)

    def close(self):
        self.similarity.clear()
        self.curve.close()

    def clear(self):
        self.similarity.clear()
        self.curve.clear()
        self.say("", 0.0)

    def say(self, text, fraction=None):
        """Show a status line and, where one is given, the fraction done."""
        say(self.ui.statusLabel, text)
        if fraction is not None:
            self.ui.progressBar.setValue(round(100 * fraction))

    def refresh(self, now):
        """Show what can be started, and the verdict on the pose."""
        self._now = now
        for control in (self._effort, self._start):
            control.offer(now.busy())
        self.similarity.refresh(now)
        self._register.offer(
            now.incomplete() or _withoutImage(now.views) or self._withoutNetwork() or self.similarity.obstacle
        )
        self._cancel.offer("" if now.running else _("Nothing is running."))
        found = outcome.outcomeOf(now.rig) if now.rig else None
        self._undo.offer(now.busy() or ("" if found else _("Nothing has been registered yet.")))
        self.follow()

    def follow(self):
        """Show the verdict, or why it no longer counts."""
        now = self._now
        found = outcome.outcomeOf(now.rig) if now and now.rig else None
        if now is None or now.running:
            self._judge(_NEUTRAL, _("No verdict yet"), _("It follows at the end of the registration."))
        elif found is None:
            self._judge(_NEUTRAL, _("No verdict"), _("The pose shown has not been registered."))
        else:
            stale = outcome.staleness(now.itsRig, now.volume)
            if stale:
                self._judge(_STALE, _("Out of date"), stale)
            elif not found.judged:
                # Cancelled: there is something to undo, but nothing was judged.
                self._judge(_NEUTRAL, _("No verdict"), found.content["reason"])
            else:
                title = _("Accepted") if found.accepted else _("Not trusted")
                reason = found.verdict.removeprefix(title).lstrip(",: ")
                reason = reason[:1].upper() + reason[1:]
                # How sharp an optimum is says nothing while it may be the wrong one.
                if found.accepted:
                    self._judge(_ACCEPTED, title, reason, found.uncertainty)
                else:
                    self._judge(_REFUSED, title, reason)

    def startSearch(self):
        """Look for the pose all around."""
        self._begin(_("A search"), self._panel.logic.searchSteps())

    def onRegister(self):
        self._begin(_("A registration"), self._panel.logic.registrationSteps())

    def onCancel(self):
        self._panel.cancel()

    def onUndo(self):
        outcome.undo(self._now.itsRig)
        self.say(_("The C-arm stands where it stood before the registration."), 0.0)
        self._panel.refresh()

    def _begin(self, work, steps):
        self.curve.clear()
        self.say(_("Starting"), 0.0)
        self._panel.run(work, steps, self._onStep, self._onEnd)

    def _onStep(self, progress):
        # The same comes again while the window waits for news.
        if progress is self._progress:
            return
        self._progress = progress
        self.say(progress.message, progress.fraction)
        self.curve.add(progress)

    def _onEnd(self, problem):
        self._progress = None
        if problem:
            self.say(problem, 0.0)

    def _withoutNetwork(self):
        """Why there is nothing to start from; empty unless a network is wanted."""
        parameters = self._now.parameters
        if parameters is None or parameters.start is not Start.network:
            return ""
        if not parameters.network:
            return _("Choose a network in the section Initial pose, or another start.")
        return self._panel.pose.network.obstacle

    def _judge(self, color, title, reason, uncertainty=""):
        ui = self.ui
        ui.verdictTitleLabel.setText(f"<b>{title}</b>")
        say(ui.verdictLabel, reason)
        ui.uncertaintyLabel.setText(uncertainty)
        ui.uncertaintyLabel.setVisible(bool(uncertainty))
        # What lies below does not jump as soon as a slider is touched.
        ui.verdictFrame.setMinimumHeight(int(ui.verdictFrame.height) if color == _STALE else 0)
        if color != self._frameColor:
            self._frameColor = color
            ui.verdictFrame.setStyleSheet(_FRAME.format(color=color))


def _withoutImage(views):
    """Why nothing can be compared with some of the views; empty when all have their image."""
    names = [view.name for view in views if view.source is None]
    if not names:
        return ""
    return _("The image of {names} was removed from the scene; remove it from the list too.").format(
        names=", ".join(names)
    )
