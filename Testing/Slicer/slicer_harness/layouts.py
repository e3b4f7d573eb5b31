"""slicer.app.layoutManager(): Slicer's own layout logic decides which views there are; here they are made and shown."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal

from .pythonqt import stand_in
from .view_widgets import SliceWidget, ThreeDWidget
from .views import SliceView, ThreeDView, View


@stand_in
class qSlicerLayoutManager(QObject):
    """Makes a view for every view node; `slices` by name and `views` are for tests."""

    layoutChanged = Signal(int)

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app
        self._widgets: dict[str, SliceWidget | ThreeDWidget] = {}
        self._paused = 0
        self._logic = slicer.vtkMRMLLayoutLogic()
        scene = app.scene
        scene.AddObserver(scene.NodeAddedEvent, _with_node(self._on_node_added))
        scene.AddObserver(scene.NodeRemovedEvent, _with_node(self._on_node_removed))
        self._logic.SetMRMLScene(scene)
        scene.AddObserver(scene.EndBatchProcessEvent, lambda *_: self._on_batch_end())
        # After the logic, which observes with a higher priority.
        self._node = self._logic.GetLayoutNode()
        self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._on_layout())
        self._on_batch_end()

    def _on_node_added(self, node: Any) -> None:
        if not self._app.scene.IsBatchProcessing():
            self._add(node)

    def _add(self, node: Any) -> None:
        if node.GetID() in self._widgets or getattr(node, "GetParentLayoutNode", lambda: None)() is not None:
            return
        if node.IsA("vtkMRMLSliceNode"):
            self._widgets[node.GetID()] = SliceWidget(SliceView(self._app, node))
        elif node.IsA("vtkMRMLViewNode"):
            self._widgets[node.GetID()] = ThreeDWidget(ThreeDView(self._app, node))

    def _on_node_removed(self, node: Any) -> None:
        if node.IsA("vtkMRMLAbstractViewNode"):
            self._widgets.pop(node.GetID(), None)

    def _on_batch_end(self) -> None:
        for number in range(self._app.scene.GetNumberOfNodesByClass("vtkMRMLAbstractViewNode")):
            self._add(self._app.scene.GetNthNodeByClass(number, "vtkMRMLAbstractViewNode"))
        for view in self.slices.values():
            view.tell_size()
        self._on_layout()

    def _on_layout(self) -> None:
        if self._app.scene.IsBatchProcessing():
            return
        shown = self._logic.GetViewNodes()
        identifiers = {shown.GetItemAsObject(number).GetID() for number in range(shown.GetNumberOfItems())}
        for identifier, widget in self._widgets.items():
            widget.mrmlAbstractViewNode().SetMappedInLayout(identifier in identifiers)
        self.layoutChanged.emit(self._node.GetViewArrangement())

    @property
    def slices(self) -> dict[str, SliceView]:
        """The slice views by their names."""
        return {view.node.GetName(): view for view in self._views() if isinstance(view, SliceView)}

    @property
    def views(self) -> list[ThreeDView]:
        """The 3D views."""
        return [view for view in self._views() if isinstance(view, ThreeDView)]

    def _views(self) -> list[View]:
        return [widget._view for widget in self._widgets.values()]

    def view_of(self, node: Any) -> View:
        """The view of a view node."""
        return self._widgets[node.GetID()]._view

    def layoutLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._app.scene

    def mrmlSliceLogics(self) -> Any:
        return self._app.application_logic.GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        return self._app.application_logic.GetViewLogics()

    def setLayout(self, layout: int) -> None:
        if layout == self._node.GetViewArrangement():
            return
        known = self._node.IsLayoutDescription(layout)
        self._node.RemoveAllMaximizedViewNodes()
        self._node.SetViewArrangement(layout if known else slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)

    def sliceViewNames(self) -> tuple[str, ...]:
        """All, those out of sight as well; a tuple, as PythonQt makes of every list."""
        return tuple(self.slices)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._named(name, SliceWidget)

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        if isinstance(which, str):
            return self._named(which, ThreeDWidget)
        widgets = [widget for widget in self._widgets.values() if isinstance(widget, ThreeDWidget)]
        return widgets[which] if 0 <= which < len(widgets) else None

    def _named(self, name: str, kind: type) -> Any:
        found = (widget for widget in self._widgets.values() if isinstance(widget, kind))
        return next((widget for widget in found if widget.mrmlAbstractViewNode().GetName() == name), None)

    def viewWidget(self, node: Any) -> SliceWidget | ThreeDWidget | None:
        return self._widgets.get(node.GetID()) if node is not None else None

    def viewWidgets(self) -> tuple[SliceWidget | ThreeDWidget, ...]:
        return tuple(self._widgets.values())

    def activeMRMLThreeDViewNode(self) -> Any:
        return self.views[0].node if self.views else None

    def resetSliceViews(self) -> None:
        for view in self.slices.values():
            view.logic.FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._widgets.values():
            if isinstance(widget, ThreeDWidget):
                widget.threeDView().resetFocalPoint()
                widget.threeDView().resetCamera()

    def addMaximizedViewNode(self, node: Any) -> None:
        self._node.AddMaximizedViewNode(node)

    def removeMaximizedViewNode(self, node: Any) -> None:
        self._node.RemoveMaximizedViewNode(node)

    def removeAllMaximizedViewNodes(self) -> None:
        self._node.RemoveAllMaximizedViewNodes()

    def setRenderPaused(self, paused: bool) -> None:
        """Counted only: nothing is drawn before a test looks."""
        self._paused = max(0, self._paused + (1 if paused else -1))

    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    layout = Property(int, lambda self: self._node.GetViewArrangement(), setLayout, notify=layoutChanged)
    threeDViewCount = Property(int, lambda self: len(self.views))
    tableViewCount = Property(int, lambda self: 0)
    plotViewCount = Property(int, lambda self: 0)


def _with_node(call: Any) -> Any:
    """An observer that is handed the node of a scene's event."""

    def observe(_caller: Any, _event: str, node: Any) -> None:
        call(node)

    observe.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
    return observe
