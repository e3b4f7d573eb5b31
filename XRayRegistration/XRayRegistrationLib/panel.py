"""The panel's behaviour: what its buttons start, what its lines say, and why a button is disabled."""

import logging
from pathlib import Path

from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import bridge, display
from .bridge import CaseNodes, NodesRemoved
from .dependencies import MissingPackages
from .job import StepJob

# What a user can mend; anything else is a fault of ours and goes to the log as well.
_USER_ERRORS = (InputError, MissingPackages, NodesRemoved)


class Panel:
    """Connects the widgets of XRayRegistration.ui with a logic; `setParameters` says whose values they show."""

    def __init__(self, ui, logic):
        self.ui = ui
        self.logic = logic
        self.job = None
        self._parameters = None
        ui.caseSelector.connect("currentPathChanged(QString)", self.onCaseChanged)
        ui.registerButton.connect("clicked(bool)", self.onRegister)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.clear()

    @property
    def running(self):
        return self.job is not None and self.job.running

    def setParameters(self, parameters):
        self._parameters = parameters
        self.refresh()

    def clear(self):
        """Forget what was said about an earlier scene."""
        self._say(_("Choose a case, then register."), 0.0, "")
        self.refresh()

    def refresh(self):
        """Let widgets and views follow the parameters and the job."""
        self._refreshButtons()
        if self._parameters is None:
            return
        if self.ui.caseSelector.currentPath != self._parameters.casePath:
            self.ui.caseSelector.setCurrentPath(self._parameters.casePath)
        nodes = CaseNodes.of(self._parameters.pose)
        if nodes:
            color = self._parameters.edgeColor
            bridge.setEdgeColor(nodes, color.redF(), color.greenF(), color.blueF())
            display.showEdges(nodes, self._parameters.showEdges)

    def onCaseChanged(self, path):
        if self._parameters is not None:
            self._parameters.casePath = path

    def onRegister(self, _checked):
        self._say(_("Starting"), 0.0, "")
        steps = self.logic.registration(self._parameters)
        self.job = StepJob(steps, self._onStep, self._onDone, self._onFailed)
        self.job.start()
        self.refresh()

    def onCancel(self, _checked):
        self.cancel()

    def cancel(self):
        """End a running registration; the best pose so far stays, without a verdict."""
        if self.running:
            self.job.cancel()
            shown = self._parameters is not None and CaseNodes.of(self._parameters.pose)
            verdict = _("No verdict: the pose shown is the best one found before cancelling.") if shown else ""
            self._say(_("Cancelled"), 0.0, verdict)
            self.refresh()

    def _onStep(self, progress):
        self._say(progress.message, progress.fraction, progress.verdict)

    def _onDone(self):
        self.refresh()

    def _onFailed(self, error):
        if isinstance(error, _USER_ERRORS):
            message = str(error)
        else:
            logging.error("Registration failed", exc_info=error)
            message = _("Something unforeseen happened ({kind}: {error}). The application log has the details.").format(
                kind=type(error).__name__, error=error
            )
        self._say(message, 0.0, "")
        self.refresh()

    def _say(self, status, fraction, verdict):
        self.ui.statusLabel.setText(status)
        self.ui.progressBar.setValue(round(100 * fraction))
        self.ui.verdictLabel.setText(verdict)

    def _refreshButtons(self):
        obstacle = self._obstacle()
        self.ui.registerButton.setEnabled(not obstacle)
        self.ui.registerButton.setToolTip(obstacle or _("Find the pose of the C-arm in this case."))
        self.ui.cancelButton.setEnabled(self.running)
        self.ui.cancelButton.setToolTip(
            _("Stop, and keep the best pose so far.") if self.running else _("Nothing is running.")
        )
        for widget in (self.ui.caseSelector, self.ui.effortSelector, self.ui.startSelector):
            widget.setEnabled(not self.running)

    def _obstacle(self):
        """Why nothing can be registered now; empty when it can."""
        if self.running:
            return _("A registration is running; cancel it first.")
        if self._parameters is None:
            return _("The scene is being closed.")
        if not self._parameters.casePath:
            return _("Choose a case file (case.json) first.")
        if not Path(self._parameters.casePath).is_file():
            return _("There is no file at {path}.").format(path=self._parameters.casePath)
        return ""
