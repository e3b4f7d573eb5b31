"""The Results section: the pose as a transform, images in the scene, pictures and a report in a folder."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..jobs import saving
from ..mrml import results
from .controls import Control, Situation, quiet, sentence, widgetsIn
from .dialogs import FileDialogs

_FOLDER_SETTING = "XRayRegistration/resultsFolder"


class ResultsSection:
    """Connects the widgets of the section, which it brings along, with the panel."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = widgetsIn(panel.ui.resultsContainer, "XRayRegistrationResults.ui")
        self._now = Situation()
        self._dialogs = FileDialogs()
        self._direction, self._create, self._save = (
            Control(ui.directionSelector), Control(ui.createTransformButton), Control(ui.saveTransformButton)
        )  # fmt: skip
        self._copies, self._folder, self._report = (
            Control(ui.createCopiesButton), Control(ui.folderButton), Control(ui.saveReportButton)
        )  # fmt: skip
        folder = slicer.util.settingsValue(_FOLDER_SETTING, "") or _documents()
        ui.folderButton.setProperty("directory", folder)
        self._folder.hold(str(folder))
        ui.folderButton.connect("directoryChanged(QString)", self.onFolder)
        ui.createTransformButton.connect("clicked(bool)", self.onCreateTransform)
        ui.saveTransformButton.connect("clicked(bool)", self.onSaveTransform)
        ui.createCopiesButton.connect("clicked(bool)", self.onCreateCopies)
        ui.saveReportButton.connect("clicked(bool)", self.onSaveReport)

    def close(self):
        self._dialogs.close()

    def clear(self):
        self._dialogs.close()
        self._say("")

    def refresh(self, now):
        """Show what can be kept of the pose that is shown."""
        self._now = now
        obstacle = now.incomplete()
        for control in (self._direction, self._create, self._save, self._copies, self._folder, self._report):
            control.offer(obstacle)
        titles = [] if obstacle else [direction.title for direction in results.directionsOf(now.rig)]
        selector = self.ui.directionSelector
        if titles and titles != [selector.itemText(n) for n in range(int(selector.count))]:
            chosen = int(selector.currentIndex)
            with quiet(selector):
                selector.clear()
                selector.addItems(titles)
                selector.setCurrentIndex(chosen if 0 <= chosen < len(titles) else 0)

    def follow(self):
        """Nothing here depends on where the C-arm stands."""

    def onFolder(self, folder):
        qt.QSettings().setValue(_FOLDER_SETTING, str(folder))
        self._folder.hold(str(folder))

    def onCreateTransform(self):
        now = self._now
        try:
            standing = results.standingOf(now.itsRig, now.volume)
            node = results.createTransform(self._chosen(), standing, now.volume.GetName())
        except Exception as error:
            self._say(sentence(error))
        else:
            self._say(_("The pose is in the transform {name} now.").format(name=node.GetName()))

    def onSaveTransform(self):
        title = self._chosen().title
        standing = results.standingOf(self._now.itsRig, self._now.volume)
        name = standing.named(f"{results.shortened(title)} {results.shortened(self._now.volume.GetName())}")
        filters = [_("ITK transform (*.tfm)"), _("ITK transform (*.h5)")]
        suggested = Path(str(self.ui.folderButton.directory), name + results.POSE_SUFFIXES[0])
        self._dialogs.save(_("Save: {title}").format(title=title), filters, self.saveTransform, suggested)

    def saveTransform(self, path):
        """Write the pose to a transform file."""
        try:
            written = results.writeTransform(self._chosen(), str(path))
        except Exception as error:
            self._say(sentence(error))
        else:
            self._say(_("Saved as {path}").format(path=written))

    def onCreateCopies(self):
        steps = saving.copySteps(self._panel.logic.inputs, self._now.itsParameters)
        self._panel.run(_("Making the result folder"), steps, self._onStep, self._onEnd)

    def onSaveReport(self):
        parent = str(self.ui.folderButton.directory)
        steps = saving.reportSteps(self._panel.logic.inputs, self._now.itsParameters, parent)
        self._panel.run(_("Saving the report"), steps, self._onStep, self._onEnd)

    def _chosen(self):
        return results.directionsOf(self._now.itsRig)[max(0, int(self.ui.directionSelector.currentIndex))]

    def _onStep(self, progress):
        self._say(progress.message, progress.fraction)

    def _onEnd(self, problem):
        self._say(problem or str(self.ui.resultsMessageLabel.text))

    def _say(self, text, fraction=None):
        # Somebody may copy a path from here, so nothing is put into it: what does not fit is in the tooltip.
        self.ui.resultsMessageLabel.setText(text)
        self.ui.resultsMessageLabel.setToolTip(text)
        self.ui.resultsProgressBar.setVisible(fraction is not None)
        if fraction is not None:
            self.ui.resultsProgressBar.setValue(round(100 * fraction))


def _documents():
    """Where people keep their files."""
    return str(qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation) or Path.home())
