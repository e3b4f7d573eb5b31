"""The lines of the Initial pose section about trained networks: choosing one, and the pose that it sees."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from .. import networks
from ..jobs import training
from ..jobs.job import StepJob
from ..scene import backend
from .controls import Control, quiet, sentence, tell, widgetsIn
from .dialogs import FileDialogs


class NetworkPart:
    """Connects the widgets of the part, which it brings along; `say` shows a line in the section."""

    def __init__(self, panel, say):
        self._panel, self._say = panel, say
        self.ui = ui = widgetsIn(panel.ui.networkContainer, "XRayRegistrationNetwork.ui")
        self._now = self._job = None
        self._dialogs = FileDialogs()
        # What is known of the networks in the list, what that was found for, and what the list shows.
        self._known, self._knownFor, self._shown = [], None, None
        self._selector, self._browse, self._button = (
            Control(ui.networkSelector), Control(ui.networkBrowseButton), Control(ui.fromNetworkButton)
        )  # fmt: skip
        ui.networkSelector.connect("currentIndexChanged(int)", self.onChosen)
        ui.networkBrowseButton.connect("clicked(bool)", self.onBrowse)
        ui.fromNetworkButton.connect("clicked(bool)", self.onFromNetwork)

    @property
    def settled(self):
        """Whether all cards have been read."""
        return self._job is None or not self._job.running

    def clear(self):
        """The scene is gone, or the module is unloaded."""
        self._dialogs.close()
        if self._job is not None:
            self._job.cancel()
        self._known, self._knownFor, self._shown = [], None, None

    def refresh(self, now):
        """Show the networks for this CT, and whether the chosen one can be asked."""
        self._now = now
        parameters = now.parameters
        if parameters is not None:
            self._survey()
            self._fill()
        chosen = self._chosen()
        self._selector.offer(now.busy() or now.withoutCt())
        self._browse.offer(now.busy() or now.withoutCt())
        self._button.offer(now.incomplete() or _obstacle(parameters, chosen))
        told = "" if chosen is None else _told(chosen)
        tell(self.ui.networkCardLabel, told)

    def onChosen(self, index):
        if self._now.parameters is not None:
            self._now.parameters.network = str(self.ui.networkSelector.itemData(index) or "")

    def onBrowse(self):
        filters = [_("Network (*{suffix})").format(suffix=training.SUFFIX), _("All files (*)")]
        self._dialogs.open(_("Choose a network"), filters, self.choose)

    def choose(self, path):
        """Start from the network in this file from now on."""
        networks.remember(path)
        self._now.parameters.network = str(Path(str(path)).absolute())
        self._panel.refresh()

    def onFromNetwork(self):
        self._panel.run(_("Asking the network"), self._panel.logic.estimateSteps(), self._onStep, self._onEnd)

    def _onStep(self, progress):
        self._say(progress.message)

    def _onEnd(self, problem):
        if problem:
            self._say(problem)

    def _survey(self):
        """Read the cards and look at the CT, a piece at a time, unless that is done already.

        Not before there is an X-ray: then the overlay has loaded the libraries that take a while.
        """
        now = self._now
        if now.incomplete() or self._panel.inputs.packages.isMissing():
            return
        paths = _paths(now.parameters)
        wanted = (backend.stateOf(now.volume), tuple(networks.stateOf(path) for path in paths))
        if wanted == self._knownFor:
            return
        self._knownFor = wanted
        if self._job is not None:
            self._job.cancel()
        if paths:
            steps = self._surveySteps(now.volume, paths)
            self._job = StepJob(steps, _ignore, self._onSurveyed, self._onUnsurveyed)
            self._job.start()
        else:
            self._known = []

    def _surveySteps(self, volumeNode, paths):
        self._known = yield from networks.surveySteps(self._panel.logic.inputs, volumeNode, paths)

    def _onSurveyed(self):
        self._panel.refresh()

    def _onUnsurveyed(self, error):
        self._say(sentence(error))

    def _fill(self):
        parameters, selector = self._now.parameters, self.ui.networkSelector
        offered = [each.path for each in self._known if each.fits or each.general]
        chosen = Path(parameters.network) if parameters.network else None
        if chosen is not None and chosen not in offered:
            offered.append(chosen)
        entries = [("", _("none")), *((str(path), path.stem) for path in offered)]
        with quiet(selector):
            if entries != self._shown:
                self._shown = entries
                selector.clear()
                for path, name in entries:
                    selector.addItem(name, path)
                for number, (path, _name) in enumerate(entries):
                    selector.setItemData(number, path or _("Start without a network."), qt.Qt.ToolTipRole)
            selector.setCurrentIndex(int(selector.findData(parameters.network)))

    def _chosen(self):
        """What is known of the network that is chosen (networks.Network); None without one."""
        path = self._now.parameters.network if self._now.parameters is not None else ""
        if not path:
            return None
        found = [each for each in self._known if each.path == Path(path)]
        return found[0] if found else networks.Network(Path(path))


def _paths(parameters):
    """The files that may hold a network for this patient, each once."""
    paths = networks.known()
    chosen = Path(parameters.network) if parameters.network else None
    return paths if chosen is None or chosen in paths or not chosen.is_file() else [chosen, *paths]


def _obstacle(parameters, chosen):
    """Why the chosen network cannot be asked; empty when it can."""
    if chosen is None:
        return _("Choose a network first, or train one in the section above.")
    if not chosen.path.is_file():
        return _("There is no file {path} any more.").format(path=chosen.path)
    if chosen.problem:
        return chosen.problem
    if chosen.card is not None and not chosen.fits and not chosen.general:
        return _("This network was trained on another CT, or on this one turned or resampled.")
    return ""


def _told(network):
    """The card of a network in words, or why there is none."""
    if not network.path.is_file():
        return _("There is no file {path} any more.").format(path=network.path)
    if network.problem or network.card is None:
        return network.problem
    other = "" if network.fits or network.general else _("This CT is another one.")
    return " ".join([network.described, other]).strip()


def _ignore(_step):
    """Nothing is shown while cards are read."""
