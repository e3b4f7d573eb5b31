"""X-rays, calibrations and whole cases brought into the scene."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import backend, landmarks, outcome, posing, projections, rig, segments, sources
from .world import worldFromIndex

if TYPE_CHECKING:
    from xrayreg.geometry import Projection

    from ..mrml.backend import Inputs
    from ..mrml.rig import Rig, View
    from ..parameters import Parameters
    from ..worker.client import Worker

# Directions of a picture in Slicer: columns to the right and rows downwards, as its readers give them.
_RAS_FROM_PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])


def addXraySteps(
    worker: Worker, theRig: Rig, sourceNode: slicer.vtkMRMLVolumeNode, name: str | None = None
) -> Generator[Any, None, Rig]:
    """Pause, and return the rig with one more X-ray, its geometry as its node and its file tell.

    worker: worker.client.Worker. Raises InputError for a node that is not one image, ValueError beyond the number of
    views that a rig has.
    """
    projection = yield from projections.projectionSteps(worker, sourceNode)
    projection.camera()
    grown = rig.addView(theRig, sourceNode, projection, name)
    projections.relate(grown)
    return grown


def removeXray(theRig: Rig, view: View) -> Rig:
    """The rig without one of its views and its landmarks; the user's X-ray stays in the scene."""
    landmarks.removeLandmarks(view)
    left = rig.removeView(theRig, view)
    projections.relate(left)
    return left


def setGeometry(theRig: Rig, view: View, projection: Projection) -> None:
    """Give a view its geometry (xrayreg.geometry.Projection); the other views and the landmarks follow.

    Raises InputError for numbers that make no camera, and changes nothing then.
    """
    rig.setProjection(view, projection)
    projections.relate(theRig)
    for each in theRig.views:
        landmarks.followGeometry(each)


def importCalibrationSteps(worker: Worker, theRig: Rig, view: View, path: Path | str) -> Generator[Any, None, None]:
    """Pause, and give a view the geometry in a calibration file (MayaCam text, or its view in a case.json).

    Raises InputError as `projections.calibrationSteps` does.
    """
    name = view.name if view.source is None else view.source.GetName()
    found = yield from projections.calibrationSteps(worker, path, view.projection, name)
    setGeometry(theRig, view, found)


def importCaseSteps(inputs: Inputs, parameters: Parameters, path: Path | str) -> Generator[Any, None, None]:
    """Bring a case.json into the scene in short steps, each with a message: CT, segments, X-rays and their geometry.

    inputs: backend.Inputs, which keeps what the worker has read. Fills `parameters`; the rig that they had before is
    removed, the images that it showed stay. Raises InputError for a case that cannot be read. Unless it comes to its
    end, nothing is left in the scene and `parameters` stay.
    """
    from xrayreg.geometry import Projection

    path = Path(path)
    yield _("Reading {name}").format(name=path.name)
    worker = inputs.worker
    case = yield from worker.askSteps("case", path=str(path))
    sentVolume = backend.SentVolume(worker.keep(case["volume"]["number"]), case["volume"]["bytes"])
    sentXrays = [backend.shownXray(worker, view) for view in case["views"]]
    created: list[slicer.vtkMRMLNode] = []
    try:
        yield _("Loading the CT into the scene")
        volume = _addVolume(worker, case["volume"], created)
        yield _("Loading the segments into the scene")
        segmentation = yield from _segmentationSteps(worker, case["labels"], volume, created)
        theRig = rig.createRig()
        created.append(theRig.pose)
        for view in case["views"]:
            yield _("Loading {name} into the scene").format(name=view["name"])
            source = _addXrayNode(worker, view, created)
            theRig = rig.addView(theRig, source, Projection.from_dict(view["projection"]))
            created += [theRig.views[-1].picture, *theRig.views[-1].companions()]
        yield _("Placing the C-arm")
        _place(theRig, volume, case)
    except BaseException:
        _remove(created)
        raise
    inputs.adoptVolume(volume, sentVolume)
    for view, sent in zip(theRig.views, sentXrays, strict=True):
        inputs.adoptXray(view, sent)
    _replaceRig(parameters, theRig)
    parameters.volume = volume
    # The wrapper takes None for no node.
    parameters.segmentation = segmentation  # type: ignore[assignment]
    parameters.structures = _segmentIds(segmentation, case["structures"])
    parameters.activeView = 0


def _addVolume(worker: Worker, content: Any, created: list[slicer.vtkMRMLNode]) -> slicer.vtkMRMLScalarVolumeNode:
    """The CT of a case (xrayreg.worker.cases.case) as a node."""
    node = slicer.util.addVolumeFromArray(
        worker.mapped(content["values"]), np.array(content["matrix"]), content["name"]
    )
    created.append(node)
    sources.rememberRead(node, content["notes"], content["assumed"])
    return node


def _segmentationSteps(
    worker: Worker, content: Any, volumeNode: slicer.vtkMRMLScalarVolumeNode, created: list[slicer.vtkMRMLNode]
) -> Generator[Any, None, slicer.vtkMRMLSegmentationNode | None]:
    """Pause, and return the labels of a case as a segmentation node, or None without labels."""
    if content is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", content["name"])
    created.append(node)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    names = {int(label): name for label, name in content["names"].items()}
    matrix = worldFromIndex(volumeNode, "CT")
    yield from segments.addSteps(node, worker.mapped(content["values"]), matrix, names, content["colours"])
    return node


def _addXrayNode(worker: Worker, content: Any, created: list[slicer.vtkMRMLNode]) -> slicer.vtkMRMLScalarVolumeNode:
    """An X-ray as it is stored in its file: neither turned nor mirrored."""
    pixels = worker.take(content["pixels"])
    node = slicer.util.addVolumeFromArray(pixels[None], _RAS_FROM_PICTURE, content["name"])
    created.append(node)
    sources.rememberFile(node, content["file"], content["frame"])
    return node


def _place(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode, case: Any) -> None:
    """Move the C-arm to the case's initial pose, or to a first place, and note its reference."""
    projections.relate(theRig)
    if case["initial"] is None:
        posing.placeAtFirst(theRig, volumeNode)
    else:
        rig.setWorldFromVolume(theRig, np.array(case["initial"]))
        posing.markPosed(theRig)
        posing.rememberFirst(theRig)
    posing.putDetectorsBehind(theRig, volumeNode)
    if case["reference"] is not None:
        backend.rememberReference(theRig, volumeNode, case["reference"], case["targets"])


def _replaceRig(parameters: Parameters, theRig: Rig) -> None:
    """Show a new rig in place of the one before, whose pose stays where a registration found it."""
    before = rig.rigOf(parameters.pose)
    parameters.pose = theRig.pose
    if before is None:
        return
    for view in before.views:
        removeXray(rig.rigOf(before.pose), view)
    if outcome.outcomeOf(before) is None:
        rig.removeNode(before.pose)


def _segmentIds(segmentation: slicer.vtkMRMLSegmentationNode | None, structures: list[int]) -> list[str]:
    """Ids of the segments made of labels."""
    if segmentation is None:
        return []
    labelled = segments.labelValues(segmentation)
    return [segmentId for segmentId, label in labelled.items() if label in structures]


def _remove(nodes: list[Any]) -> None:
    for node in nodes:
        rig.removeNode(node)
