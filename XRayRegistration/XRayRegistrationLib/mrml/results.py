"""Export: the C-arm's pose as a transform, and the reliability of the pose that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError, require_rigid

from . import outcome, rig
from .outcome import Outcome

if TYPE_CHECKING:
    from ..mrml.rig import Rig

# The formats of transform files, the one to take first.
POSE_SUFFIXES = (".tfm", ".h5")
# Letters of a node's name in names of files; a letter may take four of the 255 bytes.
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Standing:
    """Reliability of the pose that is shown.

    found: where it belongs to the pose shown, else None. reason: a sentence about the pose.
    """

    found: Outcome | None
    reason: str

    @property
    def accepted(self) -> Any:
        return self.found is not None and self.found.accepted

    @property
    def mark(self) -> str:
        """The mark in the names of exported objects; empty for an accepted pose."""
        if self.found is None:
            return _("not judged")
        return "" if self.found.accepted else _("not trusted")

    def named(self, name: str) -> str:
        """A name with the mark behind it."""
        return f"{name} ({self.mark})" if self.mark else name


@dataclass(frozen=True, eq=False)
class Direction:
    """One way to write the pose down: what it takes where, and its matrix (4, 4) [mm]."""

    title: str
    matrix: np.ndarray


def standingOf(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Standing:
    """The Standing of the pose that is shown."""
    found = outcome.outcomeOf(theRig)
    if found is None:
        return Standing(None, _("The pose was set by hand; nothing has been registered."))
    stale = outcome.staleness(theRig, volumeNode)
    if stale:
        return Standing(None, _("{reason} The pose that is shown was not judged.").format(reason=stale))
    return Standing(found, found.verdict if found.assumed else found.content["reason"])


def directionsOf(theRig: Rig) -> tuple[Direction, ...]:
    """All Directions of a rig's pose; "C-arm" is the frame that its views share, "patient" Slicer's RAS world."""
    carmFromPatient = rig.worldFromVolume(theRig)
    perView = [
        Direction(_("Patient to camera of {view}").format(view=view.name), rig.cameraFromVolume(theRig, view))
        for view in theRig.views
    ]
    return (
        Direction(_("C-arm to patient"), np.linalg.inv(carmFromPatient)),
        Direction(_("Patient to C-arm"), carmFromPatient),
        *perView,
    )


def createTransform(direction: Direction, standing: Standing, name: str) -> slicer.vtkMRMLLinearTransformNode:
    """A new transform node that holds a Direction; it does not follow the C-arm any more.

    name: of what was registered. Raises InputError for a pose that is not rigid.
    """
    matrix = require_rigid(direction.matrix, _("pose"))
    title = standing.named(f"{direction.title}: {name}")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", slicer.mrmlScene.GenerateUniqueName(title))
    node.SetDescription(standing.reason)
    slicer.util.updateTransformMatrixFromArray(node, matrix)
    return node


def writeTransform(direction: Direction, path: Path | str) -> Path:
    """Write a Direction as a transform file for Slicer and ITK; returns its path, with ".tfm" where it has no suffix.

    Opened in Slicer it gives the node that `createTransform` makes. Raises InputError where it cannot be written.
    """
    from xrayreg.io import require_output, write_pose

    path = Path(path)
    path = path if path.suffix.lower() in POSE_SUFFIXES else path.with_name(path.name + POSE_SUFFIXES[0])
    require_output(path.parent)
    try:
        write_pose(path, direction.matrix)
    except OSError as error:
        raise InputError(
            _("transform file"),
            expected=_("a place that can be written to"),
            found=f"{path} ({error.strerror or error})",
            remedy=_("choose another folder"),
        ) from error
    return path


def folderName(standing: Standing, name: str) -> str:
    """The name of the folder in which pictures and report of a result are kept."""
    from xrayreg.io import safe_name

    return safe_name(standing.named(_("X-ray registration {name}").format(name=shortened(name))))


def shortened(name: str) -> str:
    """A node's name with no more letters than the name of a file has room for."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def contentOf(theRig: Rig, standing: Standing) -> dict[str, Any]:
    """The content of result.json for the pose that is shown (xrayreg.report.write_results)."""
    from xrayreg.reasons import ReasonCode

    found = standing.found
    if found is None:
        return _unjudgedContent(theRig, standing.reason, ReasonCode.UNJUDGED)
    if "views" not in found.content:
        # Cancelled: all that was kept is the pose.
        return _unjudgedContent(theRig, standing.reason, ReasonCode.INTERRUPTED)
    told = {"accepted": found.accepted, "reason": standing.reason}
    if found.content["accepted"] and not found.accepted:
        told["reason_code"] = ReasonCode.ASSUMED.value
    return {**found.content, **told}


def _unjudgedContent(theRig: Rig, reason: str, code: Any) -> dict[str, Any]:
    """The content of result.json for a pose on which there is no verdict."""
    views = [
        {"name": view.name, "camera_from_volume": rig.cameraFromVolume(theRig, view).tolist(), "similarity": None}
        for view in theRig.views
    ]
    return {
        "world_from_volume": rig.worldFromVolume(theRig).tolist(),
        "views": views,
        "accepted": False,
        "unjudged": True,
        "reason": reason,
        "reason_code": code.value,
        "quality": {},
        "uncertainty": {},
    }
