"""The scene's nodes as values that the worker keeps: sent once, and again when their nodes change."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from ..worker.client import Handle, Worker
from . import projections, rig, segments, sources
from .world import worldFromIndex

if TYPE_CHECKING:
    from ..mrml.rig import Rig, View
    from ..parameters import Parameters

_REFERENCE = "XRayRegistration.reference"


@dataclass(frozen=True, eq=False)
class SentVolume:
    """A CT that the worker has, and its size there [bytes], labels included."""

    handle: Handle
    bytes: int


@dataclass(frozen=True, eq=False)
class SentLabels(SentVolume):
    """A CT with labels. names: of the labels. present: those that some voxel has."""

    names: dict[int, str]
    present: frozenset[int]


@dataclass(frozen=True, eq=False)
class SentXray:
    """An X-ray that the worker has.

    picture: uint8 (height, width), as it is shown. isDenseDark: whether bone is dark in it.
    """

    handle: Handle
    picture: np.ndarray
    isDenseDark: bool


@dataclass(frozen=True, eq=False)
class SentScene:
    """What is registered: CT, X-rays in the order of their views, what is assumed of each view's place (None or a
    sentence), labels to register, and poses world_from_volume (4, 4) [mm] and points (N, 3), None where unknown."""

    volume: SentVolume
    xrays: tuple[SentXray, ...]
    places: tuple[str | None, ...]
    structures: tuple[int, ...]
    initial: np.ndarray | None = None
    reference: np.ndarray | None = None
    targets: np.ndarray | None = None

    def content(self) -> dict[str, Any]:
        """The scene as requests name it (xrayreg.worker.inputs.scene_of)."""
        known = {
            name: None if getattr(self, name) is None else np.asarray(getattr(self, name)).tolist()
            for name in ("initial", "reference", "targets")
        }
        views = [
            {"xray": xray.handle.number, "assumed": place} for xray, place in zip(self.xrays, self.places, strict=True)
        ]
        return {"volume": self.volume.handle.number, "structures": list(self.structures), "views": views, **known}


@dataclass(frozen=True, eq=False)
class _Kept:
    """A value that was sent, what it was made of, and sentences on how."""

    state: Any
    value: Any
    notes: tuple[str, ...] = ()

    def isOf(self, state: Any) -> bool:
        """Whether the worker has it and nothing has changed."""
        return self.state == state and self.value.handle.isThere


class Inputs:
    """Brings nodes to the worker; one for each module, shared by registrations and the live overlay.

    worker: worker.client.Worker. Every ...Steps method is a generator of short steps that returns its value; a step
    brings a message or None. All raise worker.client.WorkerEnded where the worker ends meanwhile.
    """

    def __init__(self) -> None:
        self.worker = Worker()
        self.forget()

    def close(self) -> None:
        """The module is unloaded: the worker ends."""
        self.forget()
        self.worker.close()

    def forget(self) -> None:
        """Drop everything that was sent, when the scene is closed."""
        self._volume: _Kept | None = None
        self._labelled: _Kept | None = None
        # By the identifier of a view's picture: its X-ray, and the X-ray and the state with which it was shown.
        self._xrays: dict[str, _Kept] = {}
        self._pictures: dict[str, tuple[SentXray, Any]] = {}

    def forgetRemoved(self) -> None:
        """Drop data of nodes that are no longer in the scene."""
        if self._volume is not None and not _isThere(self._volume.state[0]):
            self._volume = self._labelled = None
        for kept in (self._xrays, self._pictures):
            for identifier in [each for each in kept if slicer.mrmlScene.GetNodeByID(each) is None]:
                del kept[identifier]

    def adoptVolume(self, node: slicer.vtkMRMLScalarVolumeNode, sent: SentVolume) -> None:
        """Take a CT that the worker read itself for the content of a node, until that changes."""
        self._volume, self._labelled = _Kept(_volumeState(node), sent), None

    def adoptXray(self, view: View, sent: SentXray) -> None:
        """Take an X-ray that the worker read itself for the source of a view, until its pixels change."""
        # Which camera it was read with does not matter: it gets that of the view when it is asked for.
        self._xrays[view.picture.GetID()] = _Kept((_pixelState(view), None), sent)

    def volumeSteps(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode | None = None
    ) -> Generator[Any, None, SentVolume]:
        """The CT in RAS world, with the segments as its labels (SentVolume).

        The labels are those of `segments.labelsOf`. Raises InputError for a CT that is missing, empty, flat, coloured
        or bent by a transform, and for a segmentation bent by one.
        """
        return (yield from self._labelledSteps(volumeNode, segmentationNode))

    def chosenSteps(self, parameters: Parameters) -> Generator[Any, None, tuple[Any, tuple[int, ...]]]:
        """The CT with its segments (SentVolume), and the labels of those chosen, none for all of the CT.

        Raises InputError as `volumeSteps` does, without a CT, and for a segment without voxels in it.
        """
        volume = yield from self._labelledSteps(requireVolume(parameters), parameters.segmentation)
        return volume, _structures(parameters, volume)

    def notes(self) -> tuple[str, ...]:
        """Sentences on the segments sent last: which overlap."""
        return () if self._labelled is None else self._labelled.notes

    def xraySteps(self, view: View) -> Generator[Any, None, SentXray]:
        """The X-ray of a view (rig.View) as SentXray.

        Raises InputError for one that is missing, empty, coloured, constant or of another size than its geometry.
        """
        source = _requireSource(view)
        pixels = sources.storedPixels(source)
        described = {"projection": json.loads(json.dumps(view.projection.as_dict())), "name": view.name}
        state = (_pixelState(view), described)
        identifier = view.picture.GetID()
        kept = self._xrays.get(identifier)
        if kept is None or not kept.isOf(state):
            yield _("Reading {name}").format(name=view.name)
            if kept is not None and kept.isOf((state[0], kept.state[1])):
                answer = yield from self.worker.askSteps("camera", xray=kept.value.handle.number, **described)
                sent = replace(kept.value, handle=self.worker.keep(answer["xray"]))
            else:
                sent = yield from self._sentXraySteps(source, pixels, described)
            self._xrays[identifier] = kept = _Kept(state, sent)
        return kept.value

    def pictureSteps(self, view: View) -> Generator[Any, None, SentXray]:
        """Show the X-ray of a view on its detector where that is not done yet; returns SentXray."""
        projection = view.projection
        xray = yield from self.xraySteps(view)
        identifier = view.picture.GetID()
        if self._pictures.get(identifier) != (xray, stateOf(view.picture)):
            yield
            # Meanwhile the view may have been removed, or its geometry corrected.
            if view.picture.GetScene() is not None and view.projection == projection:
                rig.showPixels(view, xray.picture)
                self._pictures[identifier] = (xray, stateOf(view.picture))
        return xray

    def sceneSteps(self, parameters: Parameters, initial: np.ndarray | None = None) -> Generator[Any, None, SentScene]:
        """What is registered (SentScene): CT, X-rays, segments chosen and the reference pose, where known.

        initial: world_from_volume (4, 4) [mm] to start from. Raises InputError for what is missing or cannot be used.
        """
        theRig = requireRig(parameters)
        volume, structures = yield from self.chosenSteps(parameters)
        assumed = projections.assumedPlaces(theRig)
        xrays, places = [], []
        for view in theRig.views:
            xrays.append((yield from self.pictureSteps(view)))
            places.append(assumed.get(view.picture.GetID()))
        reference, targets = referenceOf(theRig, parameters.volume)
        return SentScene(volume, tuple(xrays), tuple(places), structures, initial, reference, targets)

    def _sentXraySteps(
        self, source: Any, pixels: np.ndarray, described: dict[str, Any]
    ) -> Generator[Any, None, SentXray]:
        """Pause, and return an X-ray whose pixels are sent (SentXray); described: its projection and name."""
        file, frame = sources.fileOf(source) or (None, 0)
        answer = yield from self.worker.askSteps(
            "radiograph",
            pixels=(yield from self.worker.putSteps(pixels)),
            file=None if file is None else str(file),
            frame=frame,
            **described,
        )
        return shownXray(self.worker, answer)

    def _labelledSteps(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode | None
    ) -> Generator[Any, None, Any]:
        """Pause, and return the CT with its labels (SentLabels, or SentVolume without a segmentation)."""
        bare = yield from self._bareSteps(volumeNode)
        if segmentationNode is None:
            return bare.value
        state = (bare.state, segments.state(segmentationNode))
        kept = self._labelled
        if kept is None or not kept.isOf(state):
            yield _("Reading the segments")
            matrix = worldFromIndex(volumeNode, "CT")
            shape = volumeNode.GetImageData().GetDimensions()[::-1]
            made = yield from segments.labelSteps(segmentationNode, matrix, shape)
            answer = yield from self.worker.askSteps(
                "labels",
                volume=bare.value.handle.number,
                values=(yield from self.worker.putSteps(made.values)),
                names=made.names,
            )
            size = bare.value.bytes + made.values.nbytes
            sent = SentLabels(self.worker.keep(answer["volume"]), size, made.names, made.present)
            self._labelled = kept = _Kept(state, sent, made.notes)
        return kept.value

    def _bareSteps(self, node: Any) -> Generator[Any, None, _Kept]:
        """Pause, and return the CT without labels (_Kept of SentVolume)."""
        _requireImage(node)
        state = _volumeState(node)
        kept = self._volume
        if kept is None or not kept.isOf(state):
            yield _("Reading the CT")
            notes, assumed = sources.readOf(node)
            answer = yield from self.worker.askSteps(
                "volume",
                values=(yield from self.worker.putSteps(slicer.util.arrayFromVolume(node))),
                matrix=worldFromIndex(node, "CT").tolist(),
                notes=list(notes),
                assumed=list(assumed),
            )
            kept = _Kept(state, SentVolume(self.worker.keep(answer["volume"]), answer["bytes"]))
            self._volume = kept
            self._labelled = None
        return kept


def shownXray(worker: Worker, answer: dict[str, Any]) -> SentXray:
    """The X-ray of an answer to "radiograph", or of a view of a case (SentXray)."""
    return SentXray(worker.keep(answer["xray"]), worker.take(answer["picture"]), answer["dense_is_dark"])


def _structures(parameters: Parameters, volume: Any) -> tuple[int, ...]:
    """Labels of the segments to register, none for all of the CT; raises InputError for one without voxels in it."""
    if parameters.segmentation is None or not parameters.structures:
        return ()
    numbers = segments.labelsOf(parameters.segmentation)
    wanted = [numbers[segmentId] for segmentId in parameters.structures if segmentId in numbers]
    absent = [volume.names.get(number, str(number)) for number in wanted if number not in volume.present]
    if absent or not wanted:
        raise InputError(
            _("structures"),
            expected=_("segments with voxels inside the CT"),
            found=_("none in {names}").format(names=", ".join(absent)) if absent else _("only removed segments"),
            remedy=_("choose other segments to register"),
        )
    return tuple(sorted(wanted))


def requireVolume(parameters: Parameters) -> slicer.vtkMRMLScalarVolumeNode:
    """The CT of the parameters; raises InputError without one."""
    if parameters.volume is None:
        raise InputError("CT", expected=_("a volume"), found=_("none chosen"), remedy=_("choose the patient's CT"))
    return parameters.volume


def requireNetwork(parameters: Parameters) -> str:
    """The file of the network to start from; raises InputError where none was chosen."""
    if not parameters.network:
        raise InputError(
            _("network"), expected=_("one that knows this CT"), found=_("none"), remedy=_("choose or train one")
        )
    return parameters.network


def requireRig(parameters: Parameters) -> Rig:
    """The rig of the parameters; raises InputError without X-rays."""
    theRig = rig.rigOf(parameters.pose)
    if theRig is None or not theRig.views:
        raise InputError(_("X-rays"), expected=_("at least one"), found=_("none"), remedy=_("add an X-ray"))
    return theRig


def rememberReference(
    theRig: Rig,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    reference: list[list[float]] | np.ndarray,
    targets: list[list[float]] | None = None,
) -> None:
    """Note the true pose world_from_volume (4, 4) [mm] of a case, and the points (N, 3) where errors are measured."""
    content = {
        "world_from_volume": np.asarray(reference).tolist(),
        "targets": None if targets is None else np.asarray(targets).tolist(),
        "world_from_index": worldFromIndex(volumeNode, "CT").tolist(),
    }
    theRig.pose.SetAttribute(_REFERENCE, json.dumps(content))


def referenceOf(theRig: Rig, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """The true pose (4, 4) and the target points (N, 3) that a case brought, each None where it does not say.

    Both are None as well once another CT was chosen or the CT was moved, as the reference does not apply to it.
    """
    text = theRig.pose.GetAttribute(_REFERENCE)
    content = json.loads(text) if text else None
    if content is None or not np.allclose(content["world_from_index"], worldFromIndex(volumeNode, "CT"), atol=1e-3):
        return None, None
    targets = content["targets"]
    return np.array(content["world_from_volume"]), None if targets is None else np.array(targets)


def _requireSource(view: View) -> Any:
    if view.source is None or view.source.GetScene() is None:
        raise InputError(
            _("X-ray {view}").format(view=view.name),
            expected=_("the image that it was made from"),
            found=_("a scene from which it was removed"),
            remedy=_("remove the view and add its X-ray again"),
        )
    return view.source


def _requireImage(node: Any) -> None:
    """Raise InputError for a volume node that holds no CT."""
    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise _wrongCt(node, _("an image"), _("none"), _("load it again"))
    if image.GetNumberOfScalarComponents() != 1:
        raise _wrongCt(node, _("one value per voxel"), _("a colour or vector image"), _("choose the CT itself"))
    if min(image.GetDimensions()) < 2:
        size = " x ".join(map(str, image.GetDimensions()))
        raise _wrongCt(node, _("at least two slices along each axis"), size, _("load the whole series as one volume"))


def _wrongCt(node: Any, expected: str, found: str, remedy: str) -> InputError:
    return InputError(f"CT {node.GetName()}", expected=expected, found=found, remedy=remedy)


def _isThere(state: tuple[str, str, int]) -> bool:
    """Whether the node of a `stateOf` is in the scene."""
    return slicer.mrmlScene.GetNodeByID(state[0]) is not None


def _volumeState(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[tuple[str, str, int], bytes]:
    """A value that changes whenever the CT of a node does; raises InputError under a transform that bends it."""
    return stateOf(node), worldFromIndex(node, "CT").tobytes()


def _pixelState(view: View) -> tuple[tuple[str, str, int], int, tuple[int, bool, str]]:
    """A value that changes whenever the source of a view has to be read again."""
    projection = view.projection
    reading = (projection.quarter_turns, projection.mirrored, projection.intensity)
    return stateOf(view.source), sources.frameOf(view.source), reading


def stateOf(node: Any) -> tuple[str, str, int]:
    """A value that changes whenever the pixels of a volume node do."""
    image = node.GetImageData()
    return node.GetID(), image.GetAddressAsString(""), image.GetMTime()
