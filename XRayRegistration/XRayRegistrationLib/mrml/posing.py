"""Where the C-arm stands: the isocentre, textbook and DICOM poses, and the six numbers that a clinician sets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import projections, rig
from .world import worldFromIndex

if TYPE_CHECKING:
    from xrayreg.geometry import Placement

    from ..mrml.rig import Rig, View

_POSED, _PLACED, _FIRST = (f"XRayRegistration.{name}" for name in ("posed", "placed", "firstPose"))
# Entries of two poses that differ by less are equal: scene files keep fewer digits than nodes.
_SAME = 1e-4
# An assumed SID is a multiple of this [mm].
_SID_STEP_MM = 50.0


def isocentre(volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> np.ndarray:
    """The middle of a CT in RAS world, (3,) [mm]; raises InputError for one without image or bent by a transform."""
    image = None if volumeNode is None else volumeNode.GetImageData()
    if volumeNode is None or image is None:
        name = "" if volumeNode is None else f" {volumeNode.GetName()}"
        raise InputError(f"CT{name}", expected=_("an image"), found=_("none"), remedy=_("choose or load a CT"))
    middle = (np.array(image.GetDimensions()) - 1) / 2
    return (worldFromIndex(volumeNode, "CT") @ (*middle, 1.0))[:3]


def putDetectorsBehind(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Draw detectors without calibrated distance behind the patient; the overlay is not affected.

    Such a camera fits a detector at any distance. One that was entered by hand stays where it is.
    """
    from xrayreg.geometry.projection import ASSUMED, BY_HAND

    for view in theRig.views:
        projection = view.projection
        if not projection.scale_is_open or projection.origins["SID"] == BY_HAND:
            continue
        sid = _sidBehind(rig.cameraFromVolume(theRig, view), volumeNode)
        if sid is not None:
            rig.setProjection(view, projection.rescaled(sid, f"{ASSUMED}: detector behind the patient"))


def isPosed(theRig: Rig) -> bool:
    """Whether the user or DICOM chose the pose; an unchanged first placement does not count."""
    if theRig.pose.GetAttribute(_POSED):
        return True
    placed = theRig.pose.GetAttribute(_PLACED)
    return placed is not None and not np.allclose(json.loads(placed), rig.worldFromVolume(theRig), atol=_SAME)


def markPosed(theRig: Rig, posed: bool = True) -> None:
    """Note that the pose now is one to start from, or (False) that it is only a place to show the X-ray at."""
    theRig.pose.SetAttribute(_POSED, "yes" if posed else None)
    placed = None if posed else json.dumps(rig.worldFromVolume(theRig).tolist())
    theRig.pose.SetAttribute(_PLACED, placed)


def placeAtFirst(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a rig a first pose: by the angles of its first view where they are known, else an AP view of the CT."""
    view = theRig.views[0]
    if hasAngles(view):
        toDicomAngles(theRig, view, volumeNode)
        return
    _toNominal(theRig, view, volumeNode, "ap")
    markPosed(theRig, False)


def rememberFirst(theRig: Rig) -> None:
    """Note the pose now as the one to which `reset` goes back."""
    theRig.pose.SetAttribute(_FIRST, json.dumps(rig.worldFromVolume(theRig).tolist()))


def reset(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Move the C-arm back to where it stood at first: the pose that a case brought, else as `placeAtFirst` does."""
    first = theRig.pose.GetAttribute(_FIRST)
    if first:
        rig.setWorldFromVolume(theRig, np.array(json.loads(first)))
        markPosed(theRig)
    else:
        placeAtFirst(theRig, volumeNode)


def toNominal(theRig: Rig, view: View, volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str) -> None:
    """Move the C-arm so that `view` is a textbook one of the CT: "ap", "pa", "left_lateral" or "right_lateral"."""
    _toNominal(theRig, view, volumeNode, name)
    markPosed(theRig)


def hasAngles(view: View) -> bool:
    """Whether the C-arm's angles of a view are known."""
    projection = view.projection
    return projection.primary_deg is not None and projection.secondary_deg is not None


def toDicomAngles(theRig: Rig, view: View, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Move the C-arm to the angles that are known of `view`, the CT's middle on the central ray.

    The angles are read as for a patient lying head first supine. Raises InputError where they are not known.
    """
    from xrayreg.geometry import Placement

    projection = view.projection
    primary, secondary = projection.primary_deg, projection.secondary_deg
    if primary is None or secondary is None:
        raise InputError(
            _("C-arm angles of {view}").format(view=view.name),
            expected=_("primary and secondary angle"),
            found=_("none"),
            remedy=_("enter them in the geometry table"),
        )
    sodMm = projections.sodMm(projection)
    placement = Placement(primary, secondary, 0.0, 0.0, 0.0, sodMm)
    setPlacement(theRig, view, volumeNode, placement)


def placement(theRig: Rig, view: View, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Placement:
    """The pose as a clinician sets it (xrayreg.geometry.Placement), for one view and about the CT's middle.

    Raises InputError where the CT's middle is not in front of the source, or a transform above the C-arm scales it.
    """
    from xrayreg.geometry import placement_of

    return placement_of(rig.cameraFromVolume(theRig, view), isocentre(volumeNode))


def setPlacement(theRig: Rig, view: View, volumeNode: slicer.vtkMRMLScalarVolumeNode, wanted: Placement) -> None:
    """Move the C-arm so that `view` stands at a placement (xrayreg.geometry.Placement) about the CT's middle."""
    from xrayreg.geometry import camera_from_placement

    rig.setCameraFromVolume(theRig, view, camera_from_placement(wanted, isocentre(volumeNode)))
    markPosed(theRig)


def _toNominal(theRig: Rig, view: View, volumeNode: slicer.vtkMRMLScalarVolumeNode, name: Any) -> None:
    from xrayreg.geometry import nominal_pose

    pose = nominal_pose(name, isocentre(volumeNode), projections.sodMm(view.projection))
    rig.setCameraFromVolume(theRig, view, pose)


def _sidBehind(cameraFromVolume: np.ndarray, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> float | None:
    """A usual C-arm's SID [mm] about a CT, beyond all its corners; None where its middle is behind the source."""
    from xrayreg.geometry.carm import SOD_SHARE

    middle = (cameraFromVolume @ (*isocentre(volumeNode), 1.0))[2]
    if middle <= 0:
        return None
    last = np.array(volumeNode.GetImageData().GetDimensions()) - 0.5
    corners = np.stack([*np.meshgrid(*((-0.5, end) for end in last), indexing="ij"), np.ones((2, 2, 2))], -1)
    depths = corners @ (cameraFromVolume @ worldFromIndex(volumeNode, "CT"))[2]
    usual = _SID_STEP_MM * np.round(middle / SOD_SHARE / _SID_STEP_MM)
    return float(max(usual, _SID_STEP_MM * (np.floor(depths.max() / _SID_STEP_MM) + 1)))
