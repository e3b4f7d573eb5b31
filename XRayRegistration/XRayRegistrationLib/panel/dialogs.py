"""File dialogs that stop nothing else; each place that opens them has one at a time."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


class FileDialogs:
    """Opens one file dialog after the other; each is deleted when it is closed, at the latest by the next one."""

    def __init__(self):
        self._dialog = None

    def open(self, title, filters, onChosen, folder=None):
        """Let the user choose a file that is there. onChosen(path) follows; `folder` is where to look first."""
        dialog = self._make(title, filters, onChosen, folder)
        dialog.setFileMode(qt.QFileDialog.ExistingFile)
        dialog.open()

    def save(self, title, filters, onChosen, suggested=None, overwriting=True):
        """Let the user name a file to write. suggested: its path. overwriting: whether to ask before it is replaced."""
        folder = None if suggested is None else Path(suggested).parent
        dialog = self._make(title, filters, onChosen, folder if folder is None or folder.is_dir() else Path.home())
        dialog.setAcceptMode(qt.QFileDialog.AcceptSave)
        dialog.setOption(qt.QFileDialog.DontConfirmOverwrite, not overwriting)
        if suggested is not None:
            dialog.selectFile(Path(suggested).name)
        dialog.open()

    def close(self):
        """Close the dialog that is open, where there is one; nothing is chosen."""
        # A deleted one counts as none.
        if self._dialog:
            self._dialog.close()
            self._dialog.deleteLater()
        self._dialog = None

    def _make(self, title, filters, onChosen, folder):
        self.close()
        self._dialog = dialog = qt.QFileDialog(slicer.util.mainWindow())
        # Otherwise the window would keep it, and all that is connected to it, until Slicer quits.
        dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
        dialog.setWindowTitle(title)
        dialog.setNameFilters(filters)
        if folder is not None:
            dialog.setDirectory(str(folder))
        dialog.connect("fileSelected(QString)", onChosen)
        return dialog
