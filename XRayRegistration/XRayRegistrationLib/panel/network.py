"""The lines of the Initial pose section about trained networks: choosing one, and the pose that it sees."""

from __future__ import annotations

from slicer.i18n import tr as _

from .choice import NetworkChoice, Purpose
from .controls import Control, widgetsIn


class NetworkPart:
    """Connects the widgets of the part, which it brings along; `say` shows a line in the section."""

    def __init__(self, panel, say):
        self._panel, self._say = panel, say
        self.ui = ui = widgetsIn(panel.ui.networkContainer, "XRayRegistrationNetwork.ui")
        purpose = Purpose("network", False, _("Choose a network"), _("Start without a network."))
        self._choice = NetworkChoice(panel, purpose, ui)
        self._button = Control(ui.fromNetworkButton)
        ui.fromNetworkButton.connect("clicked(bool)", self.onFromNetwork)

    @property
    def obstacle(self):
        """Why the network that is chosen cannot be used at all, a sentence; empty when it can, or there is none."""
        return self._choice.obstacle

    def clear(self):
        """The scene is gone, or the module is unloaded."""
        self._choice.clear()

    def refresh(self, now):
        """Show the networks for this CT, and whether the chosen one can be asked."""
        self._choice.refresh(now)
        self._button.offer(now.incomplete() or self._notToBeAsked())

    def onFromNetwork(self):
        self._panel.run(_("Asking the network"), self._panel.logic.estimateSteps(), self._onStep, self._onEnd)

    def _onStep(self, progress):
        self._say(progress.message)

    def _onEnd(self, problem):
        if problem:
            self._say(problem)

    def _notToBeAsked(self):
        """Why the chosen network tells nothing of these X-rays; empty when it does."""
        chosen = self._choice.chosen
        if chosen is None:
            return _("Choose a network first, or train one in the section above.")
        if self._choice.obstacle:
            return self._choice.obstacle
        if chosen.card is not None and not chosen.fits and not chosen.general:
            return _("This network was trained on another CT, or on this one turned or resampled.")
        return ""
