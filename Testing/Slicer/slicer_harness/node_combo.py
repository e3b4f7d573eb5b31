"""Stand-in for qMRMLNodeComboBox: which nodes it lists and when it tells of a change, after qMRMLNodeComboBox.cxx and
qMRMLSortFilterProxyModel.cxx. The choice itself is Qt's own combo box, as in Slicer, so that the current entry moves as
there when nodes come and go."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import shiboken6
import vtk
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QSizePolicy, QWidget

from .pythonqt import stand_in
from .values import stored

_ID, _ACTION = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


@stand_in
class qMRMLNodeComboBox(QWidget):
    """Lists the scene's nodes of some types."""

    currentNodeChanged = Signal(object)
    _currentNodeValid = Signal(bool)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)
    signatures: ClassVar[dict[str, str]] = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_currentNodeValid",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAddedByUserAction(vtkMRMLNode*)": "nodeAddedByUserAction",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }
    showHidden = stored(bool, "showHidden", False, "_sync")
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, "_sync")
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], "_sync")
    noneEnabled = stored(bool, "noneEnabled", False, "_sync_none")
    noneDisplay = stored(str, "noneDisplay", "None", "_sync_none")
    addEnabled = stored(bool, "addEnabled", True, "_sync_actions")
    removeEnabled = stored(bool, "removeEnabled", True, "_sync_actions")
    editEnabled = stored(bool, "editEnabled", False, "_sync_actions")
    renameEnabled = stored(bool, "renameEnabled", False, "_sync_actions")
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "Singleton")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node_types: list[str] = []
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._base_names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._requested, self._switching = "", False
        self._scene_tags: list[int] = []
        self._observed: dict[str, tuple[Any, int]] = {}
        self._combo = QComboBox(self)
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._combo.setMinimumContentsLength(10)
        self._combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        # Slicer listens to currentTextChanged, which until Qt 5 told of every new index, and of a renamed entry.
        self._combo.connect("currentIndexChanged(int)", lambda: self._emit())
        self._combo.connect("activated(int)", self._on_activated)
        self.setEnabled(False)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        was_valid, before = self.nodeCount() > 0, self.property("currentNodeID")
        self._switching = True
        self.forget_scene()
        self._scene = scene
        if scene is not None:
            changed = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._scene_tags = [scene.AddObserver(event, self._weakly("_sync")) for event in changed]
            self._scene_tags.append(
                scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._weakly("_on_removal", vtk.VTK_OBJECT))
            )
        self._sync_none()
        self._sync()
        self._sync_actions()
        self._switching = False
        first = self.nodeFromIndex(0) if self.nodeCount() and not self.property("noneEnabled") else None
        wanted = before if was_valid else self._requested or (first.GetID() if first else "")
        self._requested = ""
        self._select(wanted)
        self.setEnabled(scene is not None)

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: Any = None) -> None:
        value = None if attributeValue is None else str(attributeValue)
        self._attributes[nodeType] = (attributeName, value)
        self._sync()

    def removeAttribute(self, nodeType: str, attributeName: str) -> None:
        self._attributes.pop(nodeType, None)
        self._sync()

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        self._labels[nodeType] = label
        self._sync_actions()

    def nodeTypeLabel(self, nodeType: str) -> str:
        known = self._scene.GetTypeDisplayNameByClassName(nodeType) if self._scene is not None and nodeType else ""
        return self._labels.get(nodeType) or known or "node"

    def nodeCount(self) -> int:
        return len(self._listed())

    def nodeFromIndex(self, index: int) -> Any:
        listed = self._listed()
        return self._scene.GetNodeByID(listed[index]) if 0 <= index < len(listed) else None

    def currentNode(self) -> Any:
        chosen = self._combo.itemData(self._combo.property("currentIndex"), _ID)
        return self._scene.GetNodeByID(chosen) if chosen and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID: str) -> None:
        if self._scene is None:
            self._requested = nodeID or ""
        self._select(nodeID or "")

    def setCurrentNodeIndex(self, index: int) -> None:
        index = -1 if index >= self.nodeCount() else index
        self._combo.setCurrentIndex(index + self.property("noneEnabled"))

    def addNode(self, nodeType: str = "") -> Any:
        nodeType = nodeType or next(iter(self._node_types), "")
        if nodeType not in self._node_types:
            return None
        base = self._base_names.get(nodeType) or self.nodeTypeLabel(nodeType)
        node = self._scene.CreateNodeByClass(nodeType)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(base))
        for name, value in [self._attributes[kind] for kind in (nodeType,) if kind in self._attributes]:
            node.SetAttribute(name, value)
        node = self._scene.AddNode(node)
        if self.property("selectNodeUponCreation"):
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            name, accepted = QInputDialog.getText(self, "Rename", "New name:", text=node.GetName())
            if accepted and name:
                node.SetName(name)
                self.currentNodeRenamed.emit(name)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def choose_action(self, beginning: str) -> None:
        """For tests: click the entry below the nodes that begins so, such as "Create new"."""
        rows = [row for row in range(self._combo.property("count")) if self._combo.itemData(row, _ACTION)]
        row = next(row for row in rows if self._combo.itemText(row).startswith(beginning))
        self._on_activated(row)

    currentNodeID = Property(
        str,
        lambda self: self.currentNode().GetID() if self.currentNode() is not None else "",
        setCurrentNodeID,
        notify=currentNodeIDChanged,
    )

    def _set_node_types(self, types_: list[str]) -> None:
        self._node_types = [kind for kind in types_ if kind]
        self._sync()
        self._sync_actions()

    nodeTypes = Property("QStringList", lambda self: self._node_types, _set_node_types)

    def _set_base_name(self, name: str) -> None:
        self._base_names.update(dict.fromkeys(self._node_types, name))

    baseName = Property(str, lambda self: self._base_names.get(next(iter(self._node_types), ""), ""), _set_base_name)

    def _listed(self) -> list[str]:
        data = (self._combo.itemData(row, _ID) for row in range(self._combo.property("count")))
        return [identifier for identifier in data if identifier]

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.property("showHidden"):
            return False
        if not self._node_types:
            return True
        for kind in self._node_types:
            if not node.IsA(kind) or (not self.property("showChildNodeTypes") and node.GetClassName() != kind):
                continue
            hidden = self.property("hideChildNodeTypes") if self.property("showChildNodeTypes") else ()
            if any(node.IsA(child) for child in hidden):
                return False
            name, value = self._attributes.get(kind, ("", None))
            found = node.GetAttribute(name) if name else None
            return not name or (found is not None and value in (None, found))
        return False

    def _candidates(self) -> list[Any]:
        if self._scene is None:
            return []
        scene, kinds = self._scene, self._node_types or ["vtkMRMLNode"]
        if len(kinds) == 1:
            return [scene.GetNthNodeByClass(n, kinds[0]) for n in range(scene.GetNumberOfNodesByClass(kinds[0]))]
        nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
        return [node for node in nodes if any(node.IsA(kind) for kind in kinds)]

    def _sync(self, leaving: Any = None) -> None:
        """Let the entries follow the scene, with as few insertions and removals as possible."""
        candidates = [node for node in self._candidates() if node is not leaving]
        wanted = {node.GetID(): node for node in candidates if self._accepts(node)}
        self._observe(candidates)
        for identifier in [identifier for identifier in self._listed() if identifier not in wanted]:
            if leaving is not None:
                self.nodeAboutToBeRemoved.emit(leaving)
            self._combo.removeItem(self._combo.findData(identifier, _ID))
        for place, (identifier, node) in enumerate(wanted.items(), int(self.property("noneEnabled"))):
            row = self._combo.findData(identifier, _ID)
            if row < 0:
                self._combo.insertItem(place, node.GetName() or "")
                self._combo.setItemData(place, identifier, _ID)
                if not self._switching:
                    self.nodeAdded.emit(node)
            elif self._combo.itemText(row) != (node.GetName() or ""):
                self._combo.setItemText(row, node.GetName() or "")
                if row == self._combo.property("currentIndex"):
                    self._emit()
        if self.currentNode() is None and not self._switching:
            self._select("")

    def _on_removal(self, node: Any) -> None:
        if node is not None and node.GetID() in self._listed():
            self._sync(leaving=node)

    def _observe(self, nodes: list[Any]) -> None:
        kept = {node.GetID(): node for node in nodes}
        for identifier in [identifier for identifier in self._observed if identifier not in kept]:
            node, tag = self._observed.pop(identifier)
            node.RemoveObserver(tag)
        for identifier, node in kept.items():
            if identifier not in self._observed:
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._weakly("_sync"))
                self._observed[identifier] = (node, tag)

    def forget_scene(self) -> None:
        """Follow the scene no longer, and say nothing of it."""
        self._observe([])
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene_tags = []

    def _weakly(self, method: str, data: int | None = None) -> Callable[..., None]:
        """An observer that does not keep the widget alive."""
        reference = weakref.ref(self)

        def call(_caller: Any, _event: str, *arguments: Any) -> None:
            widget = reference()
            if widget is not None and shiboken6.isValid(widget):
                getattr(widget, method)(*arguments)

        if data is not None:
            call.CallDataType = data  # type: ignore[attr-defined]
        return call

    def _sync_none(self) -> None:
        has_none = self._combo.itemData(0, _ACTION) == "NONE"
        if has_none and not self.property("noneEnabled"):
            self._combo.removeItem(0)
        elif not has_none and self.property("noneEnabled"):
            self._combo.insertItem(0, "")
            self._combo.setItemData(0, "NONE", _ACTION)
        if self.property("noneEnabled"):
            self._combo.setItemText(0, self.property("noneDisplay"))

    def _sync_actions(self) -> None:
        chosen = self._combo.property("currentIndex")
        fixed = len(self._listed()) + int(self.property("noneEnabled"))
        self._switching, before = True, self._switching
        while self._combo.property("count") > fixed:
            self._combo.removeItem(self._combo.property("count") - 1)
        label = self.nodeTypeLabel(self._node_types[0] if len(self._node_types) == 1 else "")
        entries = [("RENAME", f"Rename current {label}")] if self.property("renameEnabled") else []
        entries += [("EDIT", f"Edit current {label}")] if self.property("editEnabled") else []
        if self.property("addEnabled"):
            entries += [(f"CREATE/{kind}", f"Create new {self.nodeTypeLabel(kind)}") for kind in self._node_types]
        entries += [("DELETE", f"Delete current {label}")] if self.property("removeEnabled") else []
        if entries and self._scene is not None:
            self._combo.insertSeparator(self._combo.property("count"))
            for action, text in entries:
                self._combo.addItem(text)
                self._combo.setItemData(self._combo.property("count") - 1, action, _ACTION)
        self._combo.setCurrentIndex(chosen)
        self._combo.setPlaceholderText(f"Select a {self.nodeTypeLabel(next(iter(self._node_types), ''))}")
        self._switching = before

    def _select(self, identifier: str) -> None:
        row = self._combo.findData(identifier, _ID) if identifier else -1
        self._combo.setCurrentIndex(row if row >= 0 else 0 if self.property("noneEnabled") else -1)

    def _emit(self) -> None:
        if self._switching:
            return
        node, row = self.currentNode(), self._combo.property("currentIndex")
        none = 0 if self.property("noneEnabled") else -1
        if node is None and row != none:
            # An entry below the nodes became current because the current node left.
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self._currentNodeValid.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _on_activated(self, row: int) -> None:
        action = self._combo.itemData(row, _ACTION)
        if not action or action == "NONE":
            self.nodeActivated.emit(self.currentNode())
        elif action.startswith("CREATE/"):
            node = self.addNode(action.partition("/")[2])
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)
        elif action == "DELETE":
            self.removeCurrentNode()
        else:
            {"RENAME": self.renameCurrentNode, "EDIT": self.editCurrentNode}[action]()


WIDGETS = (qMRMLNodeComboBox,)
