"""X-rays, calibrations and whole cases brought into the scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import backend, landmarks, outcome, posing, projections, rig, segments, sources

# Directions of a picture in Slicer: columns to the right and rows downwards, as its readers give them.
_RAS_FROM_PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])


def addXray(theRig, sourceNode, name=None):
    """The rig with one more X-ray, its geometry as its node and its file tell.

    Raises InputError for a node that is not one image, ValueError beyond the number of views that a rig has.
    """
    projection = projections.projectionFor(sourceNode)
    projection.camera()
    grown = rig.addView(theRig, sourceNode, projection, name)
    projections.relate(grown)
    return grown


def removeXray(theRig, view):
    """The rig without one of its views and its landmarks; the user's X-ray stays in the scene."""
    landmarks.removeLandmarks(view)
    left = rig.removeView(theRig, view)
    projections.relate(left)
    return left


def setGeometry(theRig, view, projection):
    """Give a view its geometry (xrayreg.geometry.Projection); the other views and the landmarks follow.

    Raises InputError for numbers that make no camera, and changes nothing then.
    """
    rig.setProjection(view, projection)
    projections.relate(theRig)
    for each in theRig.views:
        landmarks.followGeometry(each)


def importCalibration(theRig, view, path):
    """Give a view the geometry in a calibration file (MayaCam text, or its view in a case.json); raises InputError."""
    name = view.name if view.source is None else view.source.GetName()
    setGeometry(theRig, view, projections.readCalibration(path, view.projection, name))


def importCaseSteps(parameters, path):
    """Bring a case.json into the scene in short steps, each with a message: CT, segments, X-rays and their geometry.

    Fills `parameters`; the rig that they had before is removed, the images that it showed stay. Raises InputError for a
    case that cannot be read. Unless it comes to its end, nothing is left in the scene and `parameters` stay.
    """
    from xrayreg.io import parse_case, read_case
    from xrayreg.io.images import stem_of

    path = Path(path)
    yield _("Reading {name}").format(name=path.name)
    case = parse_case(path)
    # A pause after importing all that reads files.
    yield
    scene = yield from read_case.pieces(path)
    created = []
    try:
        yield _("Loading the CT into the scene")
        volume = _addVolume(scene.volume, stem_of(case.volume), created)
        yield _("Loading the segments into the scene")
        segmentation = yield from _segmentationSteps(scene.volume, volume, stem_of(case.labels or path), created)
        theRig = rig.createRig()
        created.append(theRig.pose)
        for caseView, radiograph in zip(case.views, scene.views, strict=True):
            yield _("Loading {name} into the scene").format(name=radiograph.name)
            source = _addXrayNode(caseView, radiograph, created)
            theRig = rig.addView(theRig, source, _projection(caseView, radiograph, path.name))
            created += [theRig.views[-1].picture, *theRig.views[-1].companions()]
        yield _("Placing the C-arm")
        _place(theRig, volume, scene)
    except BaseException:
        _remove(created)
        raise
    _replaceRig(parameters, theRig)
    parameters.volume, parameters.segmentation = volume, segmentation
    parameters.structures = _segmentIds(segmentation, scene.structures)
    parameters.activeView = 0


def _addVolume(volume, name, created):
    node = slicer.util.addVolumeFromArray(_native(volume.values), volume.grid.volume_from_index, name)
    created.append(node)
    sources.rememberRead(node, volume.notes, volume.assumed)
    return node


def _segmentationSteps(volume, volumeNode, name, created):
    """Pause, and return the labels of a volume as a segmentation node, or None without labels."""
    if volume.labels is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    created.append(node)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    yield from segments.addSteps(node, volume.labels, volume.grid.volume_from_index, volume.label_names)
    return node


def _addXrayNode(caseView, radiograph, created):
    """An X-ray as it is stored in its file: neither turned nor mirrored."""
    stored = radiograph.recorded[:, ::-1] if radiograph.reflected else radiograph.recorded
    stored = np.rot90(stored, -_quarterTurns(caseView))
    node = slicer.util.addVolumeFromArray(_fewestBytes(stored)[None], _RAS_FROM_PICTURE, radiograph.name)
    created.append(node)
    sources.rememberFile(node, caseView.image, caseView.frame or 0)
    return node


def _projection(caseView, radiograph, origin):
    from xrayreg.io import dicom_projection, projection_of_view, read_dataset

    if caseView.camera is not None:
        return projection_of_view(caseView, caseView.camera, origin)
    projection = dicom_projection(read_dataset(caseView.image), caseView.frame)
    projection = projection.oriented(projection.quarter_turns, radiograph.reflected, origin)
    return replace(projection, intensity=caseView.intensity)


def _quarterTurns(caseView):
    """How far reading turned the image of a view: only DICOM tells."""
    from xrayreg.io import geometry_of, read_dataset

    return 0 if caseView.camera is not None else geometry_of(read_dataset(caseView.image), caseView.frame).quarter_turns


def _place(theRig, volumeNode, scene):
    """Move the C-arm to the case's initial pose, or to a first place, and note its reference."""
    projections.relate(theRig)
    if scene.initial is None:
        posing.placeAtFirst(theRig, volumeNode)
    else:
        rig.setWorldFromVolume(theRig, scene.initial)
        posing.markPosed(theRig)
        posing.rememberFirst(theRig)
    posing.putDetectorsBehind(theRig, volumeNode)
    if scene.reference is not None:
        backend.rememberReference(theRig, volumeNode, scene.reference, scene.targets)


def _replaceRig(parameters, theRig):
    """Show a new rig in place of the one before, whose pose stays where a registration found it."""
    before = rig.rigOf(parameters.pose)
    parameters.pose = theRig.pose
    if before is None:
        return
    for view in before.views:
        removeXray(rig.rigOf(before.pose), view)
    if outcome.outcomeOf(before) is None:
        rig.removeNode(before.pose)


def _segmentIds(segmentation, structures):
    """Ids of the segments made of labels."""
    if segmentation is None:
        return []
    labelled = segments.labelValues(segmentation)
    return [segmentId for segmentId, label in labelled.items() if label in structures]


def _remove(nodes):
    for node in nodes:
        rig.removeNode(node)


def _native(values):
    """In the computer's own byte order: VTK takes no other."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _fewestBytes(pixels):
    """Counts as 16-bit integers where they are."""
    isCounts = pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max and np.array_equal(pixels, np.rint(pixels))
    return np.ascontiguousarray(pixels.astype(np.uint16) if isCounts else pixels)
