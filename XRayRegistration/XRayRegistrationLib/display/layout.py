"""The layout: X-rays large at the left, each in a slice view of its own, beside the patient in 3D and in CT slices.

A rig's view number n (from 0) is shown in the slice view "XRay<n+1>", whichever of its views are shown. The 3D views
are our own as well, so that camera and decoration of the user's stay as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import qt
import slicer

from ..mrml import detector
from ..mrml.rig import MOST_VIEWS, rigOf

if TYPE_CHECKING:
    from xrayreg.geometry import Camera

    from ..mrml.rig import Rig, View
    from ..parameters import Parameters

THREED_VIEW, EYE_VIEW = "XRay3D", "XRayEye"
_CT_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
# One colour for each X-ray, for the bar of its view, its beam and its epipolar lines; suited to colour blindness.
COLORS = ("#7cc4f0", "#f2b25c", "#c9a6ff", "#8fdcc0")

# Any large number that no other module uses; 32 layouts from here on, one for each choice of views.
_FIRST_LAYOUT = 21760
# Views of one group follow each other when they are linked.
FIRST_GROUP = 2176
_PREVIOUS, _PATIENT, _FITTED = (f"XRayRegistration.{name}" for name in ("previousLayout", "shownVolume", "fitted"))
# A slice further off [mm, or entries of a rotation] than rounding takes it was moved by somebody.
_MOVED = 1e-6
# Longer side of a detector's texture in 3D.
_TEXTURE_PX = 640


def viewName(index: int) -> str:
    """Name of the slice view of a rig's view, counted from 0."""
    return f"XRay{index + 1}"


def sliceViewID(index: int) -> str:
    """Identifier of that slice view's node, which may not exist yet."""
    return f"vtkMRMLSliceNode{viewName(index)}"


def threeDViewID(name: str = THREED_VIEW) -> str:
    """Identifier of one of our 3D views' nodes, which may not exist yet."""
    return f"vtkMRMLViewNode{name}"


def color(index: int) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, of a rig's view, counted from 0."""
    red, green, blue = (int(COLORS[index][start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def register() -> None:
    """Make the layouts known to Slicer, so that saved scenes that use them open as they were."""
    layouts = _layoutNode()
    if layouts is None:
        return
    for number in range(1 << (MOST_VIEWS + 1)):
        shown = [index for index in range(MOST_VIEWS) if number >> (index + 1) & 1]
        description = _description(shown, bool(number & 1))
        if layouts.IsLayoutDescription(_FIRST_LAYOUT + number):
            layouts.SetLayoutDescription(_FIRST_LAYOUT + number, description)
        else:
            layouts.AddLayoutDescription(_FIRST_LAYOUT + number, description)


def isShown() -> bool:
    """Whether one of our layouts is on the screen."""
    layouts = _layoutNode()
    return layouts is not None and _isOurs(layouts.GetViewArrangement())


def showLayout(rig: Rig, parameters: Parameters) -> None:
    """Switch to the layout for the views of `rig` that are shown, and fill its views.

    Called again, it follows what was changed in the rig or in the choice of views. Does nothing where Slicer has no
    window, or no view is shown.
    """
    from . import carm, overlay

    layouts = _layoutNode()
    shown = [index for index, view in enumerate(rig.views) if view.shown]
    if layouts is None or not shown:
        return
    before = layouts.GetViewArrangement()
    wanted = _FIRST_LAYOUT + sum(2 << index for index in shown) + bool(parameters.showXrayEye)
    if not layouts.IsLayoutDescription(wanted):
        register()
    if not _isOurs(before):
        layouts.SetAttribute(_PREVIOUS, str(before))
    if before != wanted:
        slicer.app.layoutManager().setLayout(wanted)
    overlay.attach(rig)
    overlay.applyAppearance(parameters, rig)
    volumeID = parameters.volume.GetID() if parameters.volume else ""
    if volumeID and (not _isOurs(before) or layouts.GetAttribute(_PATIENT) != volumeID):
        layouts.SetAttribute(_PATIENT, volumeID)
        _showPatient(volumeID)
    followPose(rig)
    isNew = carm.show(rig, parameters)
    if isNew or before != wanted:
        poseID = rig.pose.GetID() if isNew else ""
        _fitAnew(poseID, volumeID)
        # The views get their sizes when Slicer comes to drawing them. Slicer never frees what is called then, so that
        # no node may be in it.
        qt.QTimer.singleShot(0, partial(_fitAnew, poseID, volumeID))


def restorePrevious() -> None:
    """Switch back to the layout that was shown before ours."""
    layouts = _layoutNode()
    if layouts is not None and _isOurs(layouts.GetViewArrangement()):
        # 0 is no layout at all.
        previous = int(layouts.GetAttribute(_PREVIOUS) or 0)
        slicer.app.layoutManager().setLayout(previous or layouts.SlicerLayoutFourUpView)


def sliceLogicOf(index: int) -> Any:
    """The slice logic of a rig's view, counted from 0, or None while it has no view."""
    return slicer.app.applicationLogic().GetSliceLogicByLayoutName(viewName(index))


def viewNodeOf(name: str = THREED_VIEW) -> Any:
    """The node of one of our 3D views, or None while it does not exist."""
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLViewNode")


def sliceLogicsOf(rig: Rig) -> Generator[tuple[int, View, Any], None, None]:
    """The views of a rig that are in slice views now: (index, view, slice logic) each."""
    for index, view in enumerate(rig.views):
        logic = sliceLogicOf(index)
        if logic is None or logic.GetSliceCompositeNode() is None:
            continue
        if logic.GetSliceCompositeNode().GetBackgroundVolumeID() == view.picture.GetID():
            yield index, view, logic


def shownPx(index: int, camera: Camera) -> float | None:
    """Longer side of a whole X-ray [pixels of the screen] in the slice view of the rig's view `index`; None without."""
    logic = sliceLogicOf(index)
    width, height, _slices = logic.GetSliceNode().GetDimensions() if logic else (0, 0, 0)
    shown = min(width / camera.width, height / camera.height) * max(camera.width, camera.height)
    return shown if shown > 1 else None


def followPose(rig: Rig) -> None:
    """Put each X-ray's slice view where its detector is now: never mirrored, and where nobody can scroll it away."""
    for _index, view, logic in sliceLogicsOf(rig):
        sliceNode, wanted = logic.GetSliceNode(), detector.rasFromSlice(view.picture)
        if np.abs(slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS()) - wanted).max() > _MOVED:
            wasModifying = sliceNode.StartModify()
            sliceNode.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(wanted))
            sliceNode.UpdateMatrices()
            sliceNode.EndModify(wasModifying)
        _fit(logic, view.picture)


def threeDAspect(name: str = THREED_VIEW) -> float:
    """Width over height of one of our 3D views; 1 while it is not on the screen."""
    layoutManager = slicer.app.layoutManager()
    viewNode = viewNodeOf(name)
    # By its node: Slicer puts "View" before the names of 3D views.
    widget = layoutManager.viewWidget(viewNode) if layoutManager and viewNode else None
    width, height = widget.threeDView().renderWindow().GetSize() if widget else (1, 1)
    return width / height if width > 1 and height > 1 else 1.0


def _fitAnew(poseID: str, volumeID: str) -> None:
    """Fit the X-rays and CT slices to the sizes that their views have now.

    poseID: of the rig to look at in the C-arm's 3D view, with the volume `volumeID`; empty leaves that view as it is.
    """
    from . import carm

    pose = slicer.mrmlScene.GetNodeByID(poseID) if poseID else None
    if pose is not None:
        carm.lookFromTheSide(rigOf(pose), slicer.mrmlScene.GetNodeByID(volumeID) if volumeID else None)
    names = [viewName(index) for index in range(MOST_VIEWS)] if isShown() else []
    for name in (*names, *_CT_VIEWS):
        logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName(name)
        if logic is not None and logic.GetSliceCompositeNode().GetBackgroundVolumeID():
            logic.FitSliceToBackground()


def _showPatient(volumeID: str) -> None:
    """Show the CT in the CT slices, along the patient's axes and through its middle, where they show something else."""
    for name, orientation in _CT_VIEWS.items():
        logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName(name)
        if logic is None or logic.GetSliceCompositeNode().GetBackgroundVolumeID() == volumeID:
            continue
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeID)
        logic.GetSliceNode().SetOrientation(orientation)
        logic.FitSliceToBackground()


def _fit(logic: Any, picture: Any) -> None:
    """Fit a slice view to a picture that it did not show before, or that has another size now."""
    sliceNode, (columns, rows, _slices) = logic.GetSliceNode(), picture.GetImageData().GetDimensions()
    width, height = (float(f"{n * mm:.6g}") for n, mm in zip((columns, rows), picture.GetSpacing(), strict=False))
    key = f"{picture.GetID()} {width} x {height}"
    if sliceNode.GetAttribute(_FITTED) == key:
        return
    sliceNode.SetAttribute(_FITTED, key)
    # In 3D stands the whole detector, however far one looks into its slice view. Slicer's own mode for that takes the
    # image's thickness for its height.
    sliceNode.SetSliceResolutionMode(sliceNode.SliceResolutionCustom)
    pixels = _TEXTURE_PX / max(width, height)
    sliceNode.SetUVWOrigin(0.0, 0.0, 0.0)
    sliceNode.SetUVWExtentsAndDimensions(
        [width, height, 1.0], [max(2, round(pixels * width)), max(2, round(pixels * height)), 1]
    )
    logic.FitSliceToBackground()


def _layoutNode() -> Any:
    """Slicer's layout node, or None where it has no window."""
    layoutManager = slicer.app.layoutManager()
    return layoutManager.layoutLogic().GetLayoutNode() if layoutManager else None


def _isOurs(number: int) -> bool:
    return _FIRST_LAYOUT <= number < _FIRST_LAYOUT + (1 << (MOST_VIEWS + 1))


def _description(shown: list[int], withEye: bool) -> str:
    """The layout's XML for the views in `shown` (numbers from 0)."""
    xrays = [_sliceView(index) for index in shown]
    slices = [(220, f'<view class="vtkMRMLSliceNode" singletontag="{name}"/>') for name in _CT_VIEWS]
    spatial = [(400, _threeDView(THREED_VIEW))] + [(400, _threeDView(EYE_VIEW))] * withEye
    if len(xrays) == 2:
        # Beside each other, as biplane machines show them, over the whole width.
        top = _split("horizontal", [(500, view) for view in xrays])
        return _split("vertical", [(600, top), (400, _split("horizontal", [*spatial, *slices]))])
    rows = [xrays] if len(xrays) < 2 else [xrays[:2], xrays[2:]]
    left = _split("vertical", [(500, _split("horizontal", [(500, view) for view in row])) for row in rows])
    right = _split("vertical", [*spatial, (260, _split("horizontal", slices))])
    return _split("horizontal", [(620, left), (380, right)])


def _split(direction: str, parts: Any) -> str:
    items = "".join(f'<item splitSize="{size}">{part}</item>' for size, part in parts)
    return f'<layout type="{direction}" split="true">{items}</layout>'


def _sliceView(index: int) -> str:
    """The X-rays' views are linked to nothing, and so have groups of their own."""
    values = {"orientation": "Axial", "viewlabel": f"X{index + 1}", "viewcolor": COLORS[index]}
    values["viewgroup"] = str(FIRST_GROUP + index)
    properties = "".join(f'<property name="{n}" action="default">{value}</property>' for n, value in values.items())
    return f'<view class="vtkMRMLSliceNode" singletontag="{viewName(index)}">{properties}</view>'


def _threeDView(name: str) -> str:
    return f'<view class="vtkMRMLViewNode" singletontag="{name}"/>'
