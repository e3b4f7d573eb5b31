"""Working nodes, which selectors and the Data module do not list."""

from __future__ import annotations

from typing import Any

import slicer


def addHidden(className: str, name: str, save: bool = True) -> Any:
    """A new working node of a class, in the scene under a name of its own; `save` keeps it in saved scenes.

    What the user is placing stays what it is: Slicer takes every new markups node for the next to place points in.
    """
    selection = slicer.app.applicationLogic().GetSelectionNode()
    placing = selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(save)
    node = slicer.mrmlScene.AddNode(node)
    if (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()) != placing:
        selection.SetReferenceActivePlaceNodeClassName(placing[0])
        selection.SetReferenceActivePlaceNodeID(placing[1])
    return node
