"""The scene's nodes as values of xrayreg, converted in short steps and kept until their nodes change."""

import json
from dataclasses import dataclass, replace

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import projections, rig, segments, sources
from .world import worldFromIndex

_REFERENCE = "XRayRegistration.reference"


@dataclass(frozen=True, eq=False)
class _Kept:
    """A converted value, what it was made of, and sentences on how."""

    state: object
    value: object
    notes: tuple = ()


class Inputs:
    """Converts nodes for xrayreg; one for each module, shared by registrations and the live overlay.

    Every ...Steps method is a generator of short steps that returns its value; a step brings a message or None.
    """

    def __init__(self):
        self.forget()

    def forget(self):
        """Drop everything that was converted, when the scene is closed."""
        self._volume = None
        self._labelled = None
        self._radiographs = {}
        self._pictures = {}

    def forgetRemoved(self):
        """Drop what was made of nodes that are no longer in the scene."""
        if self._volume is not None and not _isThere(self._volume.state[0]):
            self._volume = self._labelled = None
        for kept in (self._radiographs, self._pictures):
            for identifier in [each for each in kept if slicer.mrmlScene.GetNodeByID(each) is None]:
                del kept[identifier]

    def volumeSteps(self, volumeNode, segmentationNode=None):
        """The CT in RAS world, with the segments as its labels (xrayreg.scene.Volume).

        The labels are those of `segments.labelsOf`. Raises InputError for a CT that is missing, empty, flat, coloured
        or bent by a transform, and for a segmentation bent by one.
        """
        kept = yield from self._labelledSteps(volumeNode, segmentationNode)
        return kept.value[0]

    def chosenSteps(self, parameters):
        """The CT with its segments (xrayreg.scene.Volume), and the labels of those chosen, none for all of the CT.

        Raises InputError as `volumeSteps` does, without a CT, and for a segment without voxels in it.
        """
        kept = yield from self._labelledSteps(requireVolume(parameters), parameters.segmentation)
        volume, present = kept.value
        return volume, _structures(parameters, volume.label_names, present)

    def notes(self):
        """Sentences on the segments converted last: which overlap."""
        return () if self._labelled is None else self._labelled.notes

    def radiographSteps(self, view):
        """The X-ray of a view (rig.View) as xrayreg.scene.Radiograph.

        Raises InputError for one that is missing, empty, coloured, constant or of another size than its geometry.
        """
        source = _requireSource(view)
        sources.imageSize(source)
        projection = view.projection
        state = (stateOf(source), sources.frameOf(source), json.dumps(projection.as_dict()), view.name)
        kept = self._radiographs.get(view.picture.GetID())
        if kept is None or kept.state != state:
            yield _("Reading {name}").format(name=view.name)
            kept = _Kept(state, (yield from sources.radiographSteps(source, projection, view.name)))
            self._radiographs[view.picture.GetID()] = kept
        return kept.value

    def pictureSteps(self, view):
        """Show the X-ray of a view on its detector where that is not done yet; returns its radiograph."""
        from xrayreg.overlay import shown_grey

        projection = view.projection
        radiograph = yield from self.radiographSteps(view)
        identifier = view.picture.GetID()
        if self._pictures.get(identifier) != (radiograph, stateOf(view.picture)):
            grey = yield from shown_grey.pieces(radiograph)
            yield
            # Meanwhile the view may have been removed, or its geometry corrected.
            if view.picture.GetScene() is not None and view.projection == projection:
                rig.showPixels(view, np.rint(255 * grey).astype(np.uint8))
                self._pictures[identifier] = (radiograph, stateOf(view.picture))
        return radiograph

    def sceneSteps(self, parameters, initial=None):
        """What is registered (xrayreg.scene.Scene): CT, X-rays, segments chosen and the reference pose, where known.

        initial: world_from_volume (4, 4) [mm] to start from. Raises InputError for what is missing or cannot be used.
        """
        from xrayreg.scene import Scene

        theRig = requireRig(parameters)
        volume, structures = yield from self.chosenSteps(parameters)
        views, places = [], projections.assumedPlaces(theRig)
        for view in theRig.views:
            radiograph = yield from self.pictureSteps(view)
            place = places.get(view.picture.GetID())
            views.append(replace(radiograph, assumed=(*radiograph.assumed, place)) if place else radiograph)
        reference, targets = referenceOf(theRig, parameters.volume)
        return Scene(volume, tuple(views), structures, initial, reference, targets)

    def _labelledSteps(self, volumeNode, segmentationNode):
        """Pause, and return the CT with its labels and those of them that some voxel has (_Kept of the two)."""
        bare = yield from self._bareSteps(volumeNode)
        if segmentationNode is None:
            return _Kept(bare.state, (bare.value, frozenset()))
        state = (bare.state, segments.state(segmentationNode))
        kept = self._labelled
        if kept is None or kept.state != state:
            yield _("Reading the segments")
            grid, shape = bare.value.grid, bare.value.values.shape
            made = yield from segments.labelSteps(segmentationNode, grid.volume_from_index, shape)
            labelled = replace(bare.value, labels=made.values, label_names=made.names)
            self._labelled = kept = _Kept(state, (labelled, made.present), made.notes)
        return kept

    def _bareSteps(self, node):
        """Pause, and return the CT without labels (_Kept of xrayreg.scene.Volume)."""
        _requireImage(node)
        matrix = worldFromIndex(node, "CT")
        state = (stateOf(node), matrix.tobytes())
        kept = self._volume
        if kept is None or kept.state != state:
            from xrayreg.geometry import VoxelGrid
            from xrayreg.io.volumes import compact
            from xrayreg.scene import Volume
            from xrayreg.scene.ct_values import in_hounsfield

            yield _("Reading the CT")
            read = in_hounsfield(compact(slicer.util.arrayFromVolume(node)))
            yield
            ni, nj, nk = read.values.shape[::-1]
            notes, assumed = sources.readOf(node)
            notes = tuple(dict.fromkeys((*notes, *read.notes)))
            volume = Volume(read.values, VoxelGrid((ni, nj, nk), matrix), notes=notes, assumed=assumed)
            self._volume = kept = _Kept(state, volume)
            self._labelled = None
        return kept


def _structures(parameters, names, present):
    """Labels of the segments to register, none for all of the CT; raises InputError for one without voxels in it."""
    if parameters.segmentation is None or not parameters.structures:
        return ()
    numbers = segments.labelsOf(parameters.segmentation)
    wanted = [numbers[segmentId] for segmentId in parameters.structures if segmentId in numbers]
    absent = [names.get(number, str(number)) for number in wanted if number not in present]
    if absent or not wanted:
        raise InputError(
            _("structures"),
            expected=_("segments with voxels inside the CT"),
            found=_("none in {names}").format(names=", ".join(absent)) if absent else _("only removed segments"),
            remedy=_("choose other segments to register"),
        )
    return tuple(sorted(wanted))


def requireVolume(parameters):
    """The CT of the parameters; raises InputError without one."""
    if parameters.volume is None:
        raise InputError("CT", expected=_("a volume"), found=_("none chosen"), remedy=_("choose the patient's CT"))
    return parameters.volume


def requireNetwork(parameters):
    """The file of the network to start from; raises InputError where none was chosen."""
    if not parameters.network:
        raise InputError(
            _("network"), expected=_("one that knows this CT"), found=_("none"), remedy=_("choose or train one")
        )
    return parameters.network


def requireRig(parameters):
    """The rig of the parameters; raises InputError without X-rays."""
    theRig = rig.rigOf(parameters.pose)
    if theRig is None or not theRig.views:
        raise InputError(_("X-rays"), expected=_("at least one"), found=_("none"), remedy=_("add an X-ray"))
    return theRig


def rememberReference(theRig, volumeNode, reference, targets=None):
    """Note the true pose world_from_volume (4, 4) [mm] of a case, and the points (N, 3) where errors are measured."""
    content = {
        "world_from_volume": np.asarray(reference).tolist(),
        "targets": None if targets is None else np.asarray(targets).tolist(),
        "world_from_index": worldFromIndex(volumeNode, "CT").tolist(),
    }
    theRig.pose.SetAttribute(_REFERENCE, json.dumps(content))


def referenceOf(theRig, volumeNode):
    """The true pose (4, 4) and the target points (N, 3) that a case brought, each None where it does not say.

    Both None as well once another CT was chosen or the CT was moved: the reference tells nothing about it.
    """
    text = theRig.pose.GetAttribute(_REFERENCE)
    content = json.loads(text) if text else None
    if content is None or not np.allclose(content["world_from_index"], worldFromIndex(volumeNode, "CT"), atol=1e-3):
        return None, None
    targets = content["targets"]
    return np.array(content["world_from_volume"]), None if targets is None else np.array(targets)


def _requireSource(view):
    if view.source is None or view.source.GetScene() is None:
        raise InputError(
            _("X-ray {view}").format(view=view.name),
            expected=_("the image that it was made from"),
            found=_("a scene from which it was removed"),
            remedy=_("remove the view and add its X-ray again"),
        )
    return view.source


def _requireImage(node):
    """Raise InputError for a volume node that holds no CT."""
    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise _wrongCt(node, _("an image"), _("none"), _("load it again"))
    if image.GetNumberOfScalarComponents() != 1:
        raise _wrongCt(node, _("one value per voxel"), _("a colour or vector image"), _("choose the CT itself"))
    if min(image.GetDimensions()) < 2:
        size = " x ".join(map(str, image.GetDimensions()))
        raise _wrongCt(node, _("at least two slices along each axis"), size, _("load the whole series as one volume"))


def _wrongCt(node, expected, found, remedy):
    return InputError(f"CT {node.GetName()}", expected=expected, found=found, remedy=remedy)


def _isThere(state):
    """Whether the node of a `stateOf` is in the scene."""
    return slicer.mrmlScene.GetNodeByID(state[0]) is not None


def stateOf(node):
    """A value that changes whenever the pixels of a volume node do."""
    image = node.GetImageData()
    return node.GetID(), image.GetAddressAsString(""), image.GetMTime()
