"""What a registration found, kept with the C-arm's pose: verdict, uncertainty, and the way back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import posing, rig, sources

if TYPE_CHECKING:
    from ..mrml.rig import Rig

_OUTCOME, _VOLUME = "XRayRegistration.outcome", "XRayRegistration.registeredVolume"
# Entries of two poses that differ by less are equal: scene files keep fewer digits than nodes.
_SAME = 1e-4
# How many registrations can be undone one after the other.
_MOST_UNDOS = 10
# An expected error above this [mm] is not informative.
_OPEN_MM = 1000.0


@dataclass(frozen=True)
class Outcome:
    """A registration's result as it is kept in the scene.

    content: of `xrayreg.registration.results.Registration.as_dict`. before: the pose world_from_volume (4, 4) [mm]
    before it.
    assumed: assumptions that were not measured, as text. errorMm: mTRE [mm] against a reference, if there is one.
    """

    content: dict
    before: np.ndarray
    assumed: tuple = ()
    errorMm: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the pose may be trusted; never where the geometry is assumed."""
        return bool(self.content["accepted"]) and not self.assumed

    @property
    def judged(self) -> bool:
        """Whether there is a verdict; not where a registration was cancelled."""
        return bool(self.content.get("uncertainty"))

    @property
    def worldFromVolume(self) -> np.ndarray:
        """The pose (4, 4) [mm] that was found."""
        return np.array(self.content["world_from_volume"])

    @property
    def verdict(self) -> str:
        """The verdict as a sentence."""
        reason = self.content["reason"]
        if self.assumed:
            assumed = _("Not trusted, because nobody measured {what}: correct the geometry. Otherwise: {reason}")
            sentence = assumed.format(what=_(" and ").join(self.assumed), reason=_lowered(reason))
        else:
            sentence = _("Accepted: {reason}") if self.accepted else _("Not trusted: {reason}")
            sentence = sentence.format(reason=_lowered(reason))
        if self.errorMm is not None:
            against = _("Against the case's reference the error is {error:.2f} mm (mTRE).").format(error=self.errorMm)
            sentence = f"{sentence} {against}"
        return sentence

    @property
    def uncertainty(self) -> str:
        """How far off the pose may be, as a sentence in millimetres and degrees; empty unless the pose is accepted."""
        if not (self.accepted and self.judged):
            return ""
        told = self.content["uncertainty"]
        numbers = [told["target_mm"], told["target_in_plane_mm"], told["target_depth_mm"]]
        if any(number is None or not number < _OPEN_MM for number in numbers):
            return _("Uncertainty: the images leave the pose open.")
        return _(
            "Uncertainty: {all:.2f} mm expected at the anatomy ({plane:.2f} mm along the detector, {depth:.2f} mm in "
            "depth); the C-arm's angles to about {degrees:.2f}°."
        ).format(all=numbers[0], plane=numbers[1], depth=numbers[2], degrees=max(told["rotation_deg"]))


def outcomeOf(theRig: Rig) -> Outcome | None:
    """The outcome of the last registration that was not undone, or None."""
    kept = _kept(theRig)
    if not kept:
        return None
    return Outcome(kept["content"], np.array(kept["before"]), tuple(kept["assumed"]), kept["errorMm"])


def store(theRig: Rig, outcome: Outcome, volumeNode: slicer.vtkMRMLScalarVolumeNode, wasPosed: bool) -> None:
    """Keep an outcome with the rig, the one before it behind it. wasPosed: whether somebody chose the pose before."""
    earlier = _kept(theRig)
    content = {
        "content": outcome.content,
        "before": np.asarray(outcome.before).tolist(),
        "assumed": list(outcome.assumed),
        "errorMm": outcome.errorMm,
        "wasPosed": bool(wasPosed),
        "geometry": _geometry(theRig),
        "earlier": _shortened(earlier, _MOST_UNDOS - 1),
    }
    theRig.pose.SetAttribute(_OUTCOME, json.dumps(_finite(content)))
    theRig.pose.SetNodeReferenceID(_VOLUME, volumeNode.GetID())


def staleness(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None) -> str:
    """Why the outcome no longer describes what is shown, a sentence; empty while it does or there is none."""
    kept = _kept(theRig)
    if not kept:
        return ""
    registered = theRig.pose.GetNodeReference(_VOLUME)
    if volumeNode is not None and registered is not volumeNode:
        return _("Another CT has been chosen since the registration.")
    if kept["geometry"] != _geometry(theRig):
        return _("X-rays or their geometry have been changed since the registration.")
    if not np.allclose(kept["content"]["world_from_volume"], rig.worldFromVolume(theRig), atol=_SAME):
        return _("The C-arm has been moved since the registration.")
    return ""


def isStale(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None) -> bool:
    """Whether the outcome no longer describes what is shown."""
    return bool(staleness(theRig, volumeNode))


def undo(theRig: Rig) -> bool:
    """Move the C-arm back to where it stood before the last registration, and bring back the outcome before it.

    Returns whether there was one.
    """
    kept = _kept(theRig)
    if not kept:
        return False
    rig.setWorldFromVolume(theRig, np.array(kept["before"]))
    posing.markPosed(theRig, kept["wasPosed"])
    theRig.pose.SetAttribute(_OUTCOME, json.dumps(kept["earlier"]) if kept["earlier"] else None)
    return True


def forget(theRig: Rig) -> None:
    """Drop the outcome and those before it."""
    theRig.pose.SetAttribute(_OUTCOME, None)


def _kept(theRig: Rig) -> dict[str, Any] | None:
    text = theRig.pose.GetAttribute(_OUTCOME)
    return json.loads(text) if text else None


def _geometry(theRig: Rig) -> list[dict[str, Any]]:
    """What a pose depends on besides the images themselves, as plain values: geometry, and frames of image runs."""
    names = ("sid_mm", "pixel_mm", "size", "principal_px", "skew_px", "camera_from_world", "quarter_turns", "mirrored")
    described = [
        {
            "frame": sources.frameOf(view.source) if view.source is not None else None,
            **{name: vars(view.projection)[name] for name in names},
        }
        for view in theRig.views
    ]
    return json.loads(json.dumps(described))


def _shortened(kept: dict[str, Any] | None, most: int) -> dict[str, Any] | None:
    """The chain of earlier outcomes with at most `most` links."""
    if kept is None or most == 0:
        return None
    return {**kept, "earlier": _shortened(kept["earlier"], most - 1)}


def _finite(value: Any) -> Any:
    """Without NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
