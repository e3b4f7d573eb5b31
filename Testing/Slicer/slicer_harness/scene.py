"""The scene and what lives beside it: application logic and displayable managers, in the order that matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

from .views import SLICE_MANAGERS, VIEW_MANAGERS


def make(folder: str) -> Any:
    """An empty scene that keeps its temporary files in `folder`."""
    scene = slicer.vtkMRMLScene()
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(Path(folder, "cache")))
    Path(folder, "cache").mkdir(exist_ok=True)
    files = slicer.vtkDataIOManager()
    files.SetCacheManager(cache)
    cache.SetMRMLScene(scene)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(files)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    return scene


def start_logics(scene: Any) -> tuple[Any, Any, Any]:
    """The application logic and the factories of displayable managers for slice and 3D views."""
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    # Colours, slice orientations and managers must be there before a view is made.
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slices = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    views = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    for factory, names in ((slices, SLICE_MANAGERS), (views, VIEW_MANAGERS)):
        factory.SetMRMLApplicationLogic(logic)
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
    return logic, slices, views
