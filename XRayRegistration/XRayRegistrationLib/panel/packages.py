"""The lines of the Inputs section about Python packages: what is missing, and a button to install it."""

from __future__ import annotations

from slicer.i18n import tr as _

from .. import dependencies
from .controls import Control, sentence, tell


class PackagesPart:
    """Says what is missing or would be faster; hidden while there is nothing to say."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._install = Control(ui.packagesButton)
        self._missing = True
        self._lines, self._faster, self._problem = None, False, ""
        ui.packagesButton.connect("clicked(bool)", self.onInstall)

    def isMissing(self):
        """Whether nothing can be registered for want of packages; looked up again only until everything is there."""
        if self._missing:
            self._missing = bool(dependencies.missing())
            self._lines = self._lines if self._missing else None
        return self._missing

    def refresh(self, now):
        """Show what there is to say."""
        missing = self.isMissing()
        if self._lines is None:
            self._faster = dependencies.canBeFaster()
            # When nothing is missing the first line says so.
            self._lines = dependencies.status()[0 if missing else 1 :]
        lines = [self._problem] if self._problem else self._lines
        tell(self.ui.packagesLabel, " ".join(lines))
        self.ui.packagesFrame.setVisible(bool(lines))
        self.ui.packagesButton.setVisible(missing or self._faster)
        self.ui.packagesButton.setText(_("Install") if missing else _("Install numba"))
        self._install.offer(now.busy())

    def onInstall(self):
        self._problem, self._lines = "", None
        try:
            if self.isMissing():
                dependencies.ensure()
            else:
                dependencies.installFaster()
        except Exception as error:
            self._problem = sentence(error)
        self._panel.refresh()
