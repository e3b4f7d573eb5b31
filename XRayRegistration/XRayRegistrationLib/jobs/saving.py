"""Saving of a result in short steps: pictures and a report in a folder, images in the scene."""

from __future__ import annotations

from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from .. import dependencies
from ..display import copies, pictures
from ..mrml import results
from ..mrml.rig import rigOf
from .registration import RegistrationProgress

if TYPE_CHECKING:
    from ..mrml.backend import Inputs, SentScene
    from ..parameters import Parameters

# Share of the work that converting the scene's nodes is.
_READING = 0.1


def reportSteps(
    inputs: Inputs, parameters: Parameters, parent: Any
) -> Generator[RegistrationProgress | None, None, None]:
    """Yield progress while pictures and a report of the pose shown are written, all of them or none.

    They get a folder of their own inside the folder `parent`; the last message has a link to it (HTML).
    inputs: mrml.backend.Inputs. Raises MissingPackages, and InputError for a
    folder that cannot be written to and for inputs that cannot be used.
    """
    yield RegistrationProgress(0.0, _("Looking for the Python packages"), "packages")
    dependencies.ensureForReports()
    from xrayreg.io import require_output

    theRig = rigOf(parameters.pose)
    name = parameters.volume.GetName()
    standing = results.standingOf(theRig, parameters.volume)
    folder = Path(parent).absolute() / results.folderName(standing, name)
    require_output(folder)
    # Before anything else can move the C-arm: numbers and pictures are of one pose.
    content, screenshots = results.contentOf(theRig, standing), pictures.screenshots(theRig)
    scene = yield from _told(inputs.sceneSteps(parameters))
    worker = inputs.worker
    steps = worker.askSteps(
        "report",
        scene=scene.content(),
        folder=str(folder),
        result=content,
        title=standing.named(_("X-ray registration: {name}").format(name=name)),
        before=None if not standing.found else np.asarray(standing.found.before).tolist(),
        screenshots=[
            {"caption": shot.caption, "stem": shot.stem, "picture": worker.put(shot.pixels)} for shot in screenshots
        ],
    )
    progress = RegistrationProgress(_READING, _("Preparing the pictures"), "write")
    for news in steps:
        if news is not None:
            progress = RegistrationProgress(_READING + (1 - _READING) * news["fraction"], news["message"], "write")
        # A pause without news is one too.
        yield progress
    link = f'<a href="{folder.as_uri()}">{escape(str(folder))}</a>'
    yield RegistrationProgress(1.0, _("Saved in {folder}").format(folder=link), "done")


def copySteps(inputs: Inputs, parameters: Parameters) -> Generator[RegistrationProgress | None, None, None]:
    """Yield progress while X-ray, DRR, edges and segments of each view are put into a folder of the subject hierarchy.

    inputs: mrml.backend.Inputs. Raises InputError for inputs that cannot be used.
    """
    yield RegistrationProgress(0.0, _("Looking for the Python packages"), "packages")
    dependencies.ensure()
    theRig = rigOf(parameters.pose)
    standing = results.standingOf(theRig, parameters.volume)
    scene = yield from _told(inputs.sceneSteps(parameters))
    for fraction, message in copies.copySteps(inputs.worker, theRig, scene, parameters, standing):
        yield RegistrationProgress(_READING + (1 - _READING) * fraction, message, "write")
    yield RegistrationProgress(1.0, _("The folder is in the module Data."), "done")


def _told(steps: Generator[Any, None, Any]) -> Generator[RegistrationProgress, None, SentScene]:
    """Yield progress for each of the steps that convert nodes; returns what they return."""
    while True:
        try:
            message = next(steps)
        except StopIteration as done:
            return done.value
        yield RegistrationProgress(0.0, message or _("Reading the images"), "prepare")
