"""Reactions of the live overlay to changes in the scene."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import slicer
import vtk

from . import layout, points

if TYPE_CHECKING:
    from ..mrml.rig import Rig
    from ..parameters import Parameters

_MODIFIED = vtk.vtkCommand.ModifiedEvent
_MOVED = slicer.vtkMRMLTransformableNode.TransformModifiedEvent


class Reaction(enum.Enum):
    """look: at everything again. draw: what moves with the C-arm. drawPoints: landmarks and plans. stop: the scene is
    being closed."""

    look = enum.auto()
    draw = enum.auto()
    drawPoints = enum.auto()
    stop = enum.auto()


def reactions(parameters: Parameters, rig: Rig | None) -> dict[tuple[Any, ...], Reaction]:
    """The reaction by (node, event), of all that parameters and rig (or None) name."""
    scene = slicer.mrmlScene
    found: dict[tuple[Any, ...], Reaction] = {
        (scene, scene.NodeAddedEvent): Reaction.look,
        (scene, scene.NodeRemovedEvent): Reaction.look,
        (scene, scene.EndBatchProcessEvent): Reaction.look,
        (scene, scene.StartCloseEvent): Reaction.stop,
        (parameters.parameterNode, _MODIFIED): Reaction.look,
    }
    if rig is not None:
        found.update(_ofRig(rig))
        found.update(_ofPatient(parameters))
        found.update(_ofMarkups(rig))
    return found


def _ofRig(rig: Rig) -> dict[tuple[Any, ...], Reaction]:
    found: dict[tuple[Any, ...], Reaction] = {(rig.pose, _MODIFIED): Reaction.look, (rig.pose, _MOVED): Reaction.draw}
    for index, view in enumerate(rig.views):
        found[view.picture, _MODIFIED] = Reaction.look
        if view.source is not None:
            # Another frame of a sequence is another image in the same node.
            for event in (_MODIFIED, view.source.ImageDataModifiedEvent):
                found[view.source, event] = Reaction.look
        logic = layout.sliceLogicOf(index)
        if logic is not None and logic.GetSliceNode() is not None:
            # Scrolled or turned, it has to go back to its detector.
            found[logic.GetSliceNode(), _MODIFIED] = Reaction.draw
    return found


def _ofPatient(parameters: Parameters) -> dict[Any, Any]:
    found: dict[tuple[Any, ...], Reaction] = {}
    volume, node = parameters.volume, parameters.segmentation
    if volume is not None:
        for event in (_MODIFIED, _MOVED, volume.ImageDataModifiedEvent):
            found[volume, event] = Reaction.look
    if node is not None:
        segmentation = node.GetSegmentation()
        found[node, _MOVED] = Reaction.look
        for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SourceRepresentationModified"):
            found[segmentation, getattr(segmentation, name)] = Reaction.look
        if node.GetDisplayNode() is not None:
            found[node.GetDisplayNode(), _MODIFIED] = Reaction.look
    return found


def _ofMarkups(rig: Rig) -> dict[Any, Any]:
    found: dict[tuple[Any, ...], Reaction] = {}
    for node in points.candidates(rig.pose):
        for event in (_MODIFIED, _MOVED, node.PointModifiedEvent, node.PointAddedEvent, node.PointRemovedEvent):
            found[node, event] = Reaction.drawPoints
        if node.GetDisplayNode() is not None:
            found[node.GetDisplayNode(), _MODIFIED] = Reaction.drawPoints
    return found
