"""Files: slicer.app.coreIOManager(), which reads with the modules' logics and writes with storage nodes, and a DICOM
database that a test fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LABELMAP, _SINGLE_FILE = 1, 4
# By the ending of a file; the first that fits.
_TYPES = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".seq.nrrd": "SequenceFile",
    ".mrk.json": "MarkupsFile",
    ".fcsv": "MarkupsFile",
    ".ctbl": "ColorTableFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".ply": "ModelFile",
    ".obj": "ModelFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
}
_BY_CLASS = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLSequenceNode": "SequenceFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLVolumeNode": "VolumeFile",
}


class DicomDatabase:
    """slicer.dicomDatabase; a test puts the files in: `files[sop_instance_uid] = path`."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.isOpen = True

    def fileForInstance(self, uid: str) -> str:
        return str(self.files.get(uid, ""))

    def instanceForFile(self, path: str) -> str:
        return next((uid for uid, file in self.files.items() if str(file) == path), "")

    def instanceValue(self, uid: str, tag: str) -> str:
        return self.fileValue(self.fileForInstance(uid), tag) if uid in self.files else ""

    def fileValue(self, path: str, tag: str) -> str:
        import pydicom

        group, element = (int(part, 16) for part in tag.split(","))
        found = pydicom.dcmread(path, stop_before_pixels=True).get((group, element))
        if found is None:
            return ""
        several = isinstance(found.value, list | pydicom.multival.MultiValue)
        return "\\".join(map(str, found.value)) if several else str(found.value)


class IOManager:
    """slicer.app.coreIOManager()"""

    def __init__(self, app: Any) -> None:
        self._app = app

    def fileType(self, path: str) -> str:
        return next((kind for ending, kind in _TYPES.items() if str(path).lower().endswith(ending)), "VolumeFile")

    def fileWriterFileType(self, node: Any, extension: str = "") -> str:
        return next((kind for name, kind in _BY_CLASS.items() if node.IsA(name)), "NoFile")

    def registeredFileReaderCount(self, kind: str) -> int:
        return int(kind in (*_TYPES.values(), "VolumeFile"))

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not Path(path).exists():
            return False
        if kind == "SceneFile":
            return self.loadScene(path, properties.get("clear", False), messages)
        node = self._read(kind, path, properties)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        scene = self._app.scene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear, messages))
        scene.SetURL(path)
        return bool(scene.Connect(messages) if clear else scene.Import(messages))

    def _read(self, kind: str, path: str, properties: dict[str, Any]) -> Any:
        logic, scene = self._app.application_logic.GetModuleLogic, self._app.scene
        name = properties.get("name") or Path(path).name.partition(".")[0]
        if kind == "VolumeFile":
            options = _LABELMAP * bool(properties.get("labelmap")) + _SINGLE_FILE * bool(properties.get("singleFile"))
            node = logic("Volumes").AddArchetypeVolume(path, name, options)
            if node is not None and properties.get("show", True):
                selection = self._app.application_logic.GetSelectionNode()
                selection.SetActiveVolumeID(node.GetID())
                self._app.application_logic.PropagateVolumeSelection()
            return node
        if kind == "SegmentationFile":
            return logic("Segmentations").LoadSegmentationFromFile(path, properties.get("autoOpacities", True), name)
        if kind == "MarkupsFile":
            return scene.GetNodeByID(logic("Markups").LoadMarkups(path, name) or "")
        if kind == "ModelFile":
            return logic("Models").AddModel(path)
        if kind == "TransformFile":
            return logic("Transforms").AddTransform(path, scene)
        if kind == "ColorTableFile":
            return logic("Colors").LoadColorFile(path, name)
        if kind == "TableFile":
            return logic("Tables").AddTable(path, name)
        return logic("Sequences").AddSequence(path)

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            self._app.scene.SetURL(path)
            self._app.scene.SetRootDirectory(str(Path(path).parent))
            return bool(self._app.scene.WriteToMRB(path) if path.endswith(".mrb") else self._app.scene.Commit(path))
        node = self._app.scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(bool(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))
