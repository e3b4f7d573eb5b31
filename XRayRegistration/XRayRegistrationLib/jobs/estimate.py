"""The pose that a trained network gives for the X-rays, as Slicer shows it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from .. import dependencies, networks
from ..mrml import backend, posing, rig
from .registration import RegistrationProgress

if TYPE_CHECKING:
    from ..mrml.backend import Inputs
    from ..parameters import Parameters


def estimateSteps(inputs: Inputs, parameters: Parameters) -> Generator[RegistrationProgress, None, None]:
    """Yield progress while the network of `parameters` predicts a pose, and move the C-arm there.

    inputs: mrml.backend.Inputs. Nothing is refined or judged. Raises InputError for inputs that cannot be used, and for
    a file that is not a network or was not trained for this CT; MissingPackages; NodesRemoved.
    """
    yield RegistrationProgress(0.0, _("Looking for the Python packages"), "packages")
    dependencies.ensure()
    theRig = backend.requireRig(parameters)
    file = backend.requireNetwork(parameters)
    yield from _told(networks.requireKindSteps(inputs.worker, file, similarity=False), 0.0, _("Loading the libraries"))
    scene = yield from _told(inputs.sceneSteps(parameters), 0.2, _("Preparing the images"))
    asked = inputs.worker.askSteps("estimate", scene=scene.content(), init=str(file))
    found = yield from _told(asked, 0.8, _("Asking the network"))
    theRig.requireAll()
    rig.setWorldFromVolume(theRig, np.array(found["world_from_volume"]))
    posing.markPosed(theRig)
    done = _("The C-arm stands where the network sees it; it was not refined.")
    yield RegistrationProgress(1.0, " ".join([done, *found["notes"]]), "done")


def _told(
    steps: Generator[Any, None, Any], fraction: float, message: str
) -> Generator[RegistrationProgress, None, Any]:
    """Yield progress for each step; returns what they return."""
    while True:
        try:
            news = next(steps)
        except StopIteration as done:
            return done.value
        yield RegistrationProgress(fraction, news or message, "prepare")
