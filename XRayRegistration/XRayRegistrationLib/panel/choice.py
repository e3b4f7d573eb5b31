"""Choosing a trained network: a list of those for this CT, a button for another file, and what its card says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import qt
from slicer.i18n import tr as _

from .. import networks
from ..jobs import training
from .controls import Control, Situation, quiet, tell
from .dialogs import FileDialogs


@dataclass(frozen=True)
class Purpose:
    """What a network is chosen for.

    parameter: of the parameter node that holds its file, and what the names of the widgets begin with. similarity:
    whether it is to compare images, rather than to find poses. title: of the file dialog. without: the tooltip of
    choosing none.
    """

    parameter: str
    similarity: bool
    title: str
    without: str


class NetworkChoice:
    """Connects a selector, a browse button and a label for the card, which are in `ui`, with the panel."""

    def __init__(self, panel, purpose, ui):
        self._panel, self._purpose, self.ui = panel, purpose, ui
        self._list, browse, self._card = (
            getattr(ui, purpose.parameter + kind) for kind in ("Selector", "BrowseButton", "CardLabel")
        )
        self._now = Situation()
        self._shown: list[tuple[str, str]] | None = None
        self._dialogs = FileDialogs()
        self._selector, self._browse = Control(self._list), Control(browse)
        self._list.connect("currentIndexChanged(int)", self.onChosen)
        browse.connect("clicked(bool)", self.onBrowse)

    @property
    def chosen(self):
        """What is known of the network that is chosen (networks.Network); None without one."""
        path = "" if self._now.parameters is None else self._path()
        return self._panel.survey.of(path) if path else None

    @property
    def obstacle(self):
        """Why the network that is chosen cannot be used at all, a sentence; empty when it can, or there is none."""
        chosen = self.chosen
        if chosen is None:
            return ""
        if not chosen.path.is_file():
            return _("There is no file {path} any more.").format(path=chosen.path)
        return chosen.problem or chosen.misplaced(self._purpose.similarity)

    def clear(self):
        """The scene is gone, or the module is unloaded."""
        self._dialogs.close()
        self._shown = None

    def refresh(self, now):
        """Show the networks for this CT, and what the chosen one is."""
        self._now = now
        if now.parameters is not None:
            self._fill()
        for control in (self._selector, self._browse):
            control.offer(now.busy() or now.withoutCt())
        tell(self._card, self._told())

    def onChosen(self, index):
        if self._now.parameters is not None:
            self._keep(str(self._list.itemData(index) or ""))

    def onBrowse(self):
        filters = [_("Network (*{suffix})").format(suffix=training.SUFFIX), _("All files (*)")]
        self._dialogs.open(self._purpose.title, filters, self.choose)

    def choose(self, path):
        """Use the network in this file from now on."""
        networks.remember(path)
        self._keep(str(Path(str(path)).absolute()))
        self._panel.refresh()

    def _path(self):
        return getattr(self._now.parameters, self._purpose.parameter)

    def _keep(self, path):
        setattr(self._now.parameters, self._purpose.parameter, path)

    def _told(self):
        """The card of the network that is chosen, in words, or why there is none."""
        chosen = self.chosen
        if chosen is None or self.obstacle or chosen.card is None:
            return self.obstacle
        other = "" if chosen.fits or chosen.general else _("This CT is another one.")
        return " ".join([chosen.described, other]).strip()

    def _fill(self):
        selector, path = self._list, self._path()
        fitting = [each for each in self._panel.survey.found if each.fits or each.general]
        offered = [each.path for each in fitting if not each.misplaced(self._purpose.similarity)]
        if path and Path(path) not in offered:
            offered.append(Path(path))
        entries = [("", _("none")), *((str(each), each.stem) for each in offered)]
        with quiet(selector):
            if entries != self._shown:
                self._shown = entries
                selector.clear()
                for value, name in entries:
                    selector.addItem(name, value)
                for number, (value, _name) in enumerate(entries):
                    selector.setItemData(number, value or self._purpose.without, qt.Qt.ToolTipRole)
            selector.setCurrentIndex(int(selector.findData(path)))
