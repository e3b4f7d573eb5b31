"""What is known of trained networks and the CT that is shown: read once, for all lists of them."""

from __future__ import annotations

from pathlib import Path

from .. import networks
from ..jobs.job import StepJob
from ..mrml import backend
from .controls import sentence


class Survey:
    """Reads the cards of the networks that this computer knows, and finds out which were trained on the CT."""

    def __init__(self, panel):
        self._panel = panel
        self._job = None
        # What was found, and for what.
        self._found, self._foundFor = [], None

    @property
    def settled(self):
        """Whether all cards have been read."""
        return self._job is None or not self._job.running

    @property
    def found(self):
        """What is known of each network (networks.Network)."""
        return self._found

    def of(self, path):
        """What is known of the network in a file (networks.Network)."""
        found = [each for each in self._found if each.path == Path(path)]
        return found[0] if found else networks.Network(Path(path))

    def clear(self):
        """The scene is gone."""
        if self._job is not None:
            self._job.cancel()
        self._found, self._foundFor = [], None

    def close(self):
        """The module is unloaded."""
        self.clear()

    def refresh(self, now):
        """Read the cards and look at the CT, a piece at a time, unless that is done already.

        Not before there is an X-ray: then the overlay has loaded the libraries that take a while.
        """
        if now.incomplete() or self._panel.inputs.packages.isMissing():
            return
        paths = _paths(now.parameters)
        wanted = (backend.stateOf(now.volume), tuple(networks.stateOf(path) for path in paths))
        if wanted == self._foundFor:
            return
        self._foundFor = wanted
        if self._job is not None:
            self._job.cancel()
        if paths:
            self._job = StepJob(self._steps(now.volume, paths), _ignore, self._onDone, self._onFailed)
            self._job.start()
        else:
            self._found = []

    def _steps(self, volumeNode, paths):
        self._found = yield from networks.surveySteps(self._panel.logic.inputs, volumeNode, paths)

    def _onDone(self):
        self._panel.refresh()

    def _onFailed(self, error):
        self._panel.pose.say(sentence(error))


def _paths(parameters):
    """The files that may hold a network for this patient, each once."""
    paths = networks.known()
    chosen = [Path(path) for path in (parameters.network, parameters.similarity) if path]
    return [*(path for path in dict.fromkeys(chosen) if path not in paths and path.is_file()), *paths]


def _ignore(_step):
    """Nothing is shown while cards are read."""
