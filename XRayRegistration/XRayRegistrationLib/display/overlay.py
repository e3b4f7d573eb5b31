"""The X-ray views' layers: the X-ray, over it the DRR, over that the DRR's edges, and how they are distinguished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..mrml import rig as rigs
from ..mrml.hidden import addHidden
from ..parameters import Comparison
from ..timing import Timer
from . import drawing, layout

if TYPE_CHECKING:
    from ..mrml.rig import Rig, View
    from ..parameters import Parameters

# Interval at which X-ray and DRR alternate [ms]: long enough to look, short enough to notice displacements.
_BLINK_MS = 600
# Outlines of segments [pixels of the screen].
_OUTLINE_PX = 2
_FULL = 255


def attach(rig: Rig) -> None:
    """Overlay each view's images in its slice view, and hide them in all other views."""
    colors = _edgeColors(rig)
    for index, view in enumerate(rig.views):
        _prepare(view, index, colors)
    for index in range(rigs.MOST_VIEWS):
        logic = layout.sliceLogicOf(index)
        if logic is not None and logic.GetSliceCompositeNode() is not None:
            isShown = index < len(rig.views) and rig.views[index].shown
            _fill(logic, rig.views[index] if isShown else None, index)


def applyAppearance(parameters: Parameters, rig: Rig) -> None:
    """Apply the module's appearance parameters to everything that is drawn; nothing is recomputed."""
    table, color = _edgeColors(rig), parameters.edgeColor
    _paint(table, color.redF(), color.greenF(), color.blueF())
    opacity = {Comparison.blend: parameters.drrOpacity, Comparison.checkerboard: 1.0}.get(parameters.comparison)
    for _index, view, logic in layout.sliceLogicsOf(rig):
        composite = logic.GetSliceCompositeNode()
        # Even an invisible layer takes time.
        composite.SetForegroundVolumeID(None if opacity == 0 else view.drr.GetID())
        # While they blink, a timer decides which is seen.
        if opacity is not None:
            composite.SetForegroundOpacity(float(opacity))
        composite.SetLabelOpacity(1.0 if parameters.showEdges else 0.0)
        logic.GetSliceNode().SetSliceVisible(bool(parameters.showCarm and view.shown))
    for view in rig.views:
        display = view.segments.GetDisplayNode()
        wasModifying = display.StartModify()
        display.SetVisibility(bool(parameters.showSegments and view.shown))
        display.SetOpacity2DFill(float(parameters.segmentFill))
        display.SetOpacity2DOutline(1.0)
        display.SetSliceIntersectionThickness(_OUTLINE_PX)
        display.EndModify(wasModifying)
        view.points.GetDisplayNode().SetVisibility(bool(parameters.showLandmarks and view.shown))
        view.beam.GetDisplayNode().SetVisibility(bool(parameters.showCarm and view.shown))


def showLagging(rig: Rig, lagging: bool) -> None:
    """Leave the segments out while they stand where the C-arm was before; they also take longest to show."""
    for view in rig.views:
        view.segments.GetDisplayNode().SetVisibility2D(not lagging)


class Blinker:
    """Shows X-ray and DRR in turn."""

    def __init__(self) -> None:
        self._rig: Rig | None = None
        self._timer = Timer(self._toggle, _BLINK_MS, once=False)

    def follow(self, rig: Rig | None) -> None:
        """Blink in the views of this rig; None stops."""
        self._rig = rig
        if rig is None:
            self._timer.stop()
        elif not self._timer.isActive():
            self._toggle()
            self._timer.start()

    def close(self) -> None:
        """Blink no more."""
        self.follow(None)
        self._timer.close()

    def _toggle(self) -> None:
        if self._rig is None:
            return
        composites = [logic.GetSliceCompositeNode() for _, _, logic in layout.sliceLogicsOf(self._rig)]
        opacity = 0.0 if any(composite.GetForegroundOpacity() > 0.5 for composite in composites) else 1.0
        for composite in composites:
            composite.SetForegroundOpacity(opacity)


def _prepare(view: View, index: int, colors: Any) -> None:
    """Set what does not change about the nodes of one view, the rig's number `index`."""
    drr = view.drr.GetDisplayNode()
    wasModifying = drr.StartModify()
    drr.SetAutoWindowLevel(False)
    drr.SetWindowLevelMinMax(drawing.BLACK, drawing.WHITE)
    # Where there is no DRR the X-ray shows.
    drr.SetThreshold(drawing.BLACK, drawing.WHITE)
    drr.SetApplyThreshold(True)
    drr.EndModify(wasModifying)
    view.edges.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    for node in (view.segments, view.points):
        _showOnlyIn(node.GetDisplayNode(), [layout.sliceViewID(index)])
    beam = view.beam.GetDisplayNode()
    beam.SetVisibility2D(False)
    beam.SetColor(*layout.color(index))
    beam.SetLineWidth(2)
    beam.SetLighting(False)
    # Seen from the source the beam is the border of the image; others would cross it.
    _showOnlyIn(beam, [layout.threeDViewID()])


def _fill(logic: Any, view: View | None, index: int) -> None:
    """Show a view, or nothing, in the slice view number `index`."""
    composite, sliceNode = logic.GetSliceCompositeNode(), logic.GetSliceNode()
    wasModifying = composite.StartModify()
    composite.SetLinkedControl(False)
    composite.SetHotLinkedControl(False)
    composite.SetDoPropagateVolumeSelection(False)
    composite.SetBackgroundVolumeID(view.picture.GetID() if view else None)
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(view.edges.GetID() if view else None)
    composite.EndModify(wasModifying)
    if view is None:
        sliceNode.SetSliceVisible(False)
        return
    sliceNode.SetLayoutLabel(view.name)
    sliceNode.SetLayoutColor(*layout.color(index))
    sliceNode.SetViewGroup(layout.FIRST_GROUP + index)


def _showOnlyIn(display: Any, viewIDs: list[str]) -> None:
    if list(display.GetViewNodeIDs() or ()) != viewIDs:
        display.SetViewNodeIDs(viewIDs)


def _edgeColors(rig: Rig) -> Any:
    """The rig's colour table of edges: each entry covers what lies below as far as its number says."""
    table = rig.pose.GetNodeReference(rigs.EDGE_COLORS)
    if table is None:
        table = addHidden("vtkMRMLColorTableNode", f"{rig.pose.GetName()} edges")
        table.SetTypeToUser()
        table.SetNumberOfColors(_FULL + 1)
        rig.pose.SetNodeReferenceID(rigs.EDGE_COLORS, table.GetID())
        _paint(table, 0.3, 1.0, 0.5)
    return table


def _paint(table: Any, red: float, green: float, blue: float) -> None:
    """Give every entry of a table of edges one colour."""
    full = [0.0] * 4
    table.GetColor(_FULL, full)
    if np.allclose(full[:3], (red, green, blue), atol=1e-3):
        return
    wasModifying = table.StartModify()
    for entry in range(_FULL + 1):
        table.SetColor(entry, str(entry), red, green, blue, entry / _FULL)
    table.EndModify(wasModifying)
