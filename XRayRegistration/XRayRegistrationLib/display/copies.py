"""Images of a result as visible nodes: a folder of the subject hierarchy with copies for each view."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..mrml import detector, results
from ..mrml.rig import removeNode
from ..mrml.segments import labelsOf
from . import silhouettes

if TYPE_CHECKING:
    from ..mrml.backend import SentScene, SentXray
    from ..mrml.results import Standing
    from ..mrml.rig import Rig, View
    from ..parameters import Parameters
    from ..worker.client import Handle, Worker

# Width of the copied edges in an image whose longer side has 1000 pixels; at least one pixel.
_EDGE_WIDTH_PX = 2.0


@dataclass(frozen=True)
class _Shown:
    """The part of a view's interface that the silhouettes need."""

    projection: object
    segments: object


def copySteps(
    worker: Worker, theRig: Rig, scene: SentScene, parameters: Parameters, standing: Standing
) -> Generator[tuple[float, str], None, int]:
    """Make the folder for the pose that is shown; yield (fraction, message) before each part that takes long.

    worker: worker.client.Worker. scene: mrml.backend.SentScene. standing: mrml.results.Standing.
    X-ray, DRR and edges have the resolution of the X-ray. All stand under a transform of their own, which does not
    follow the C-arm. Returns the folder's item; if it is cancelled, nothing remains in the scene.
    """
    name = parameters.volume.GetName()
    made = []
    try:
        yield 0.0, _("Preparing the DRR")
        carmToPatient = results.directionsOf(theRig)[0]
        carm = results.createTransform(carmToPatient, standing, name)
        made.append(carm)
        asked = worker.askSteps("anatomy", volume=scene.volume.handle.number, structures=list(scene.structures))
        answer = yield from _quietly(asked)
        anatomy, drawable = worker.keep(answer["anatomy"]), answer["labels"]
        for number, (view, xray) in enumerate(zip(theRig.views, scene.xrays, strict=True)):
            pose = view.camera.camera_from_world @ np.linalg.inv(carmToPatient.matrix)
            copy = _Copy(worker, view, xray, pose, carm, made)
            for share, message in copy.imageSteps(anatomy, parameters.edgeColor):
                yield (number + share) / len(scene.xrays), message
            if drawable and parameters.segmentation is not None:
                for _step in copy.segmentSteps(anatomy, drawable, parameters.segmentation):
                    yield (number + 0.9) / len(scene.xrays), _("Drawing the segments")
    except BaseException:
        for node in reversed(made):
            removeNode(node)
        raise
    return _folderWith(made, standing.named(_("X-ray registration: {name}").format(name=name)))


class _Copy:
    """Makes the nodes of one view, under the transform `carm`, and adds them to the list `made`.

    pose: camera_from_volume (4, 4) [mm].
    """

    def __init__(
        self,
        worker: Worker,
        view: View,
        xray: SentXray,
        pose: Any,
        carm: slicer.vtkMRMLLinearTransformNode,
        made: list[slicer.vtkMRMLLinearTransformNode],
    ) -> None:
        self._worker, self._view, self._xray, self._pose = worker, view, xray, pose
        self._carm, self._made = carm, made

    def imageSteps(self, anatomy: Any, edgeColor: Any) -> Generator[tuple[float, str], None, None]:
        name, camera = self._view.name, self._view.camera
        asked = self._worker.askSteps(
            "images",
            anatomy=anatomy.number,
            xray=self._xray.handle.number,
            pose=np.asarray(self._pose).tolist(),
            width_px=max(1.0, _EDGE_WIDTH_PX * max(camera.width, camera.height) / 1000),
        )
        share, message = 0.0, _("Copying {view}").format(view=name)
        messages = {"drr": _("Rendering the DRR of {view}"), "edges": _("Finding the edges of {view}")}
        while True:
            try:
                news = next(asked)
            except StopIteration as end:
                answer = end.value
                break
            if news is not None:
                share, message = share + 0.3, messages[news["part"]].format(view=name)
            yield share, message
        grey, drr, edges = (self._worker.take(answer[part]) for part in ("xray", "drr", "edges"))
        self._image("vtkMRMLScalarVolumeNode", _("{view}: X-ray").format(view=name), grey)
        self._image("vtkMRMLScalarVolumeNode", _("{view}: DRR").format(view=name), drr)
        title = _("{view}: DRR edges").format(view=name)
        node = self._image("vtkMRMLLabelMapVolumeNode", title, edges.astype(np.uint8))
        node.GetDisplayNode().SetAndObserveColorNodeID(self._table(title, edgeColor).GetID())

    def segmentSteps(
        self, anatomy: Handle, drawable: list[int], segmentationNode: slicer.vtkMRMLSegmentationNode
    ) -> Generator[Any, None, None]:
        node = self._node("vtkMRMLSegmentationNode", _("{view}: segments").format(view=self._view.name))
        # Slice views show all segmentations, this one would lie over the live one.
        node.GetDisplayNode().SetVisibility(False)
        shown = _Shown(self._view.projection, node)
        labels = labelsOf(segmentationNode)
        yield from silhouettes.silhouetteSteps(
            self._worker, shown, anatomy, drawable, labels, segmentationNode, self._pose, fully=True
        )

    def _image(self, className: str, title: str, pixels: np.ndarray) -> slicer.vtkMRMLVolumeNode:
        node = self._node(className, title)
        detector.fillImage(node, pixels, self._view.camera)
        if className == "vtkMRMLScalarVolumeNode":
            display = node.GetDisplayNode()
            display.SetAutoWindowLevel(False)
            display.SetWindowLevelMinMax(float(pixels.min()), float(max(pixels.max(), pixels.min() + 1)))
        return node

    def _node(self, className: str, title: str) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(title))
        self._made.append(node)
        node.SetAndObserveTransformNodeID(self._carm.GetID())
        node.CreateDefaultDisplayNodes()
        return node

    def _table(self, title: str, color: Any) -> Any:
        """Colours in which 1 is drawn and 0 is not."""
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", _("{title}: colors").format(title=title))
        self._made.append(table)
        table.SetTypeToUser()
        table.SetNumberOfColors(2)
        table.SetColor(0, _("background"), 0.0, 0.0, 0.0, 0.0)
        table.SetColor(1, _("edge"), color.redF(), color.greenF(), color.blueF(), 1.0)
        return table


def _quietly(pieces: Generator[Any, None, Any]) -> Generator[tuple[float, str], None, dict[str, Any]]:
    """Pieces of work as steps; returns what they make."""
    while True:
        try:
            next(pieces)
        except StopIteration as done:
            return done.value
        yield 0.0, _("Preparing the DRR")


def _folderWith(nodes: list[Any], title: str) -> int:
    """A new folder of the subject hierarchy with these nodes in it."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    root = hierarchy.GetSceneItemID()
    folder = hierarchy.CreateFolderItem(root, hierarchy.GenerateUniqueItemName(title))
    for node in nodes:
        if node.IsA("vtkMRMLColorTableNode"):
            continue
        # Slicer's window makes items for nodes as they are added; without it they have none.
        item = hierarchy.GetItemByDataNode(node)
        if item == hierarchy.GetInvalidItemID():
            hierarchy.CreateItem(folder, node)
        else:
            hierarchy.SetItemParent(item, folder)
    return folder
