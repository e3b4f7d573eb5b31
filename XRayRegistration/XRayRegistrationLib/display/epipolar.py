"""Epipolar lines: the line of a point of one X-ray in the others, and the 3D point from two clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from xrayreg.checks import InputError

from ..mrml import detector
from ..mrml import rig as rigs
from ..mrml.hidden import addHidden
from ..timing import Timer
from . import layout

if TYPE_CHECKING:
    from xrayreg.geometry import Camera

    from ..mrml.rig import Rig

# A point further off a detector than this share of an image's thickness was placed elsewhere.
_ON_DETECTOR = 0.1
_CLICK_COLOR = (1.0, 0.9, 0.3)
# Describes control points that stand for a click that was taken over.
_OURS = "marked"
_SPATIAL = "XRayRegistration.spatialPoints"


class EpipolarTool(VTKObservationMixin):
    """While it is active, a click in an X-ray draws the line of its ray in the others; a click there gives the point.

    say(text) is called with messages for the user, one sentence each.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        VTKObservationMixin.__init__(self)
        self._say = say
        self._pose: slicer.vtkMRMLLinearTransformNode | None = None
        self._clicks: slicer.vtkMRMLMarkupsFiducialNode | None = None
        # By the number of the view they are in.
        self._lines: dict[int, slicer.vtkMRMLMarkupsNode] = {}
        # Of the point that is being marked: (number of the view, (column, row)) for each click.
        self._marked: list[tuple[int, tuple[float, float]]] = []
        self._timer = Timer(self._readClicks)

    @property
    def active(self) -> bool:
        return self._pose is not None

    def start(self, rig: Rig) -> None:
        """Wait for clicks in the views of `rig`, two at least."""
        self.stop()
        self._pose = rig.pose
        views = [layout.sliceViewID(index) for index in range(rigs.MOST_VIEWS)]
        self._clicks = clicks = _markups("vtkMRMLMarkupsFiducialNode", _("X-ray clicks"), rig.pose, views, _CLICK_COLOR)
        self.addObserver(clicks, clicks.PointPositionDefinedEvent, self._onPlaced)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClosed)
        logic = slicer.modules.markups.logic()
        logic.SetActiveList(clicks)
        logic.StartPlaceMode(True)
        self._say(_("Click a point in one of the X-rays."))

    def stop(self) -> None:
        """Remove clicks and lines, and let the mouse be as it was; points in space stay."""
        if not self.active:
            return
        self.removeObservers()
        self._timer.stop()
        self._pose = None
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetPlaceModePersistence(False)
        interaction.SwitchToViewTransformMode()
        for node in (self._clicks, *self._lines.values()):
            rigs.removeNode(node)
        self._clicks, self._lines, self._marked = None, {}, []
        self._say("")

    def close(self) -> None:
        """Stop for good, and say nothing more."""
        self._say = _ignore
        self.stop()
        self._timer.close()

    def mark(self, index: int, column: float, row: float) -> np.ndarray | None:
        """Mark a point in the rig's view number `index`, from 0, at a pixel of the upright image.

        The first one draws its line in the other views. One in another view gives the point in space, which is put
        into the scene and returned, (3,) RAS [mm]. The next one starts anew.
        """
        rig = rigs.rigOf(self._pose)
        if rig is None:
            return None
        again = len(self._marked) != 1 or self._marked[0][0] == index
        self._marked = [*([] if again else self._marked), (index, (column, row))]
        self._showMarked(rig, self._clicks)
        if again:
            self._say(_("Click the same point in another X-ray; it lies on the line there."))
            return None
        return self._meet(rig)

    def _onPlaced(self, caller: Any, event: Any) -> None:
        # Who places the point is still at it.
        self._timer.start()

    def _onSceneClosed(self, caller: Any, event: Any) -> None:
        self.stop()

    def _readClicks(self) -> None:
        """Take over what was clicked since the last time: the control points that are not ours."""
        rig, clicks = rigs.rigOf(self._pose), self._clicks
        if rig is None or clicks is None or clicks.GetScene() is None:
            self.stop()
            return
        # A view may have been removed.
        self._marked = [click for click in self._marked if click[0] < len(rig.views)]
        numbers = [n for n in _definedPoints(clicks) if clicks.GetNthControlPointDescription(n) != _OURS]
        for place in [clicks.GetNthControlPointPositionWorld(n) for n in numbers]:
            found = _viewAt(rig, np.array(place))
            if found is None:
                self._showMarked(rig, clicks)
                self._say(_("That is not in an X-ray. Click a point in one of the X-rays."))
            else:
                self.mark(*found)

    def _showMarked(self, rig: Rig, clicks: Any) -> None:
        """Put a mark at each click into the list `clicks`, and the lines of the first one into the other views."""
        from xrayreg.geometry import epipolar_segment

        for n in reversed(_definedPoints(clicks)):
            clicks.RemoveNthControlPoint(n)
        for index, pixel in self._marked:
            number = clicks.AddControlPoint(*_onDetector(rig.views[index].camera, pixel))
            clicks.SetNthControlPointDescription(number, _OURS)
        # Without a click there is no view that it is in.
        first, clicked = self._marked[0] if self._marked else (-1, (0.0, 0.0))
        for index, view in enumerate(rig.views):
            ends = None
            if first not in (-1, index) and view.shown:
                ends = epipolar_segment(rig.views[first].camera, clicked, view.camera)
            self._showLine(rig, index, ends, first)

    def _showLine(self, rig: Rig, index: int, ends: np.ndarray | None, first: int) -> None:
        """Show a line between two pixels (2, 2), or none, in the rig's view number `index`, for a click in `first`."""
        line = self._lines.get(index)
        if ends is None:
            if line is not None:
                line.GetDisplayNode().SetVisibility(False)
            return
        if line is None or line.GetScene() is None:
            viewIDs = [layout.sliceViewID(index)]
            line = _markups("vtkMRMLMarkupsLineNode", _("Epipolar line"), rig.pose, viewIDs, layout.color(first))
            line.SetLocked(True)
            self._lines[index] = line
        line.RemoveAllControlPoints()
        for pixel in ends:
            number = line.AddControlPoint(*_onDetector(rig.views[index].camera, pixel))
            line.SetNthControlPointVisibility(number, False)
        line.GetDisplayNode().SetSelectedColor(*layout.color(first))
        line.GetDisplayNode().SetVisibility(True)

    def _meet(self, rig: Rig) -> np.ndarray | None:
        """The point in space of two clicks, or None where their rays give none."""
        from xrayreg.geometry import triangulate

        cameras = [rig.views[index].camera for index, _pixel in self._marked]
        try:
            place, gapMm = triangulate(cameras, [pixel for _index, pixel in self._marked])
        except InputError as error:
            self._say(str(error))
            return None
        ras = (np.linalg.inv(rigs.worldFromVolume(rig)) @ (*place, 1.0))[:3]
        node = _spatialPoints(rig.pose)
        # A new node would take the next click.
        slicer.modules.markups.logic().SetActiveList(self._clicks)
        number = node.AddControlPointWorld(*ras)
        node.SetNthControlPointLabel(number, _("P{number}").format(number=number + 1))
        node.SetNthControlPointDescription(number, _("rays {gap:.1f} mm apart").format(gap=gapMm))
        slicer.modules.markups.logic().JumpSlicesToLocation(*ras, False, 0)
        self._say(
            _(
                "{name}: the two rays pass each other at {gap:.1f} mm. Click the next point in one of the X-rays."
            ).format(name=node.GetNthControlPointLabel(number), gap=gapMm)
        )
        return ras


def _viewAt(rig: Rig, place: np.ndarray) -> tuple[int, float, float] | None:
    """Number of the view on whose detector a RAS point lies, and its pixel: (number, column, row), or None."""
    for index, view in enumerate(rig.views):
        column, row, depth = (np.linalg.inv(detector.rasFromPixels(view.picture)) @ (*place, 1.0))[:3]
        columns, rows, _slices = view.picture.GetImageData().GetDimensions()
        if abs(depth) < _ON_DETECTOR and -0.5 <= column < columns - 0.5 and -0.5 <= row < rows - 0.5:
            return index, float(column), float(row)
    return None


def _onDetector(camera: Camera, pixel: np.ndarray | tuple[float, float]) -> np.ndarray:
    """Where a pixel (column, row) lies in the rig's world, (3,) [mm]."""
    return (detector.worldFromPixels(camera) @ (*pixel, 0.0, 1.0))[:3]


def _definedPoints(node: slicer.vtkMRMLMarkupsFiducialNode) -> list[int]:
    """Numbers of the control points that have been placed; while one is placed there is another under the mouse."""
    count = node.GetNumberOfControlPoints() if node is not None else 0
    return [n for n in range(count) if node.GetNthControlPointPositionStatus(n) == node.PositionDefined]


def _spatialPoints(pose: Any) -> slicer.vtkMRMLMarkupsFiducialNode:
    """The node for points in space, of the user's, made where there is none."""
    node = pose.GetNodeReference(_SPATIAL)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Points from X-rays"))
        node.CreateDefaultDisplayNodes()
        pose.SetNodeReferenceID(_SPATIAL, node.GetID())
    return node


def _markups(className: str, name: str, pose: Any, viewIDs: list[str], color: tuple[float, float, float]) -> Any:
    """A working node on the detectors, seen in some views only and not saved with the scene."""
    node = addHidden(className, name, save=False)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(pose.GetID())
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetViewNodeIDs(viewIDs)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetSelectedColor(*color)
    return node


def _ignore(_text: Any) -> None:
    """Discard messages once the tool is closed."""
