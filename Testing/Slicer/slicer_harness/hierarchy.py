"""Slicer's subject hierarchy plugins give every node with data an item in the hierarchy; without them, this does
(qSlicerSubjectHierarchyPluginLogic.cxx)."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

# Those that some plugin of Slicer claims.
_KINDS = (
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
)


class _Follower:
    def __init__(self, scene: Any) -> None:
        self.scene = scene

    def hierarchy(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def add(self, node: Any) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        elif not self.scene.IsImporting() and _claimed(node) and not self.hierarchy().GetItemByDataNode(node):
            self.hierarchy().CreateItem(self.hierarchy().GetSceneItemID(), node)

    def remove(self, node: Any) -> None:
        if self.scene.IsClosing() or node is None or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        item = self.hierarchy().GetItemByDataNode(node)
        if item:
            self.hierarchy().RemoveItem(item, False, False)

    def resolve(self) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self.scene)
        for number in range(self.scene.GetNumberOfNodes()):
            node = self.scene.GetNthNode(number)
            if node is not None and not node.IsA("vtkMRMLSubjectHierarchyNode"):
                self.add(node)


def _claimed(node: Any) -> bool:
    return not node.GetHideFromEditors() and any(node.IsA(kind) for kind in _KINDS)


def follow(scene: Any) -> _Follower:
    """Keep the hierarchy of a scene in step with its nodes."""
    follower = _Follower(scene)
    for event, call in ((scene.NodeAddedEvent, follower.add), (scene.NodeAboutToBeRemovedEvent, follower.remove)):
        scene.AddObserver(event, _with_node(call))
    for event in (scene.EndImportEvent, scene.EndCloseEvent):
        scene.AddObserver(event, lambda *_: follower.resolve())
    return follower


def _with_node(call: Any) -> Any:
    def observe(_caller: Any, _event: str, node: Any) -> None:
        call(node)

    observe.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
    return observe
