"""What lies behind an X-ray node: its DICOM file and frame, and its pixels as they are stored."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import slicer
import vtk

from xrayreg.checks import InputError

# Set on nodes that a case brought; Slicer's DICOM database does not know their files.
_FILE, _FRAME = "XRayRegistration.file", "XRayRegistration.frame"
_READ = "XRayRegistration.read"
# Share of its range by which an image may differ from its file's: single precision and a rescaling.
_SAME = 1e-5


def rememberRead(node, notes, assumed):
    """Keep with a CT's node what was noticed and assumed when its file was read: sentences, two tuples."""
    reading = {"notes": list(notes), "assumed": list(assumed), "place": _place(node)}
    node.SetAttribute(_READ, json.dumps(reading) if notes or assumed else None)


def readOf(node):
    """What `rememberRead` kept, (notes, assumed); nothing once somebody has given the node other spacing or place."""
    text = node.GetAttribute(_READ)
    reading = json.loads(text) if text else None
    if reading is None or not np.allclose(reading["place"], _place(node), atol=1e-3):
        return (), ()
    return tuple(reading["notes"]), tuple(reading["assumed"])


def _place(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix).tolist()


def rememberFile(node, path, frame):
    """Note from which file and frame (from 0) an X-ray node was read."""
    node.SetAttribute(_FILE, str(path))
    node.SetAttribute(_FRAME, str(frame))


def dicomFile(node):
    """The DICOM file of an X-ray node and its frame (from 0), or None where there is no such file any more."""
    from xrayreg.io import is_dicom

    path = node.GetAttribute(_FILE)
    if path:
        frame = node.GetAttribute(_FRAME) or "0"
        # Attributes can be edited by anybody.
        return (Path(path), int(frame)) if frame.isdecimal() and is_dicom(Path(path)) else None
    path = _fileInDatabase(node) or _fileOfStorage(node)
    return (path, frameOf(node)) if path is not None and is_dicom(path) else None


def frameOf(node):
    """Which frame (from 0) of its sequence a proxy volume shows; 0 for any other node."""
    logic = slicer.modules.sequences.logic()
    browser = logic.GetFirstBrowserNodeForProxyNode(node)
    if browser is None:
        return 0
    selected, master, sequence = (
        browser.GetSelectedItemNumber(),
        browser.GetMasterSequenceNode(),
        browser.GetSequenceNode(node),
    )
    if sequence is None or sequence is master or selected < 0:
        return max(0, selected)
    # The two runs of a biplane device share a clock, not a count.
    return max(0, sequence.GetItemNumberFromIndexValue(master.GetNthIndexValue(selected), False))


def imageSize(node):
    """Columns and rows of an X-ray node; raises InputError for one without image, or with several slices."""
    image = node.GetImageData()
    size = (0, 0, 0) if image is None else image.GetDimensions()
    if min(size) < 1 or image.GetPointData().GetScalars() is None:
        raise _wrongImage(node, "an image", "none", "load it again")
    if size[2] != 1:
        raise _wrongImage(
            node,
            "one image",
            f"{size[2]} slices",
            "choose the X-ray; load a run of images through the DICOM module as an image sequence",
        )
    return size[0], size[1]


def storedPixels(node):
    """The pixels of an X-ray node as stored: a view [row, column] or [row, column, channel], top row first.

    Slicer's readers keep the file's order of rows and put it right by directions (-1, -1, 1), so whatever directions a
    node has, the first row is the top of the picture. Raises InputError as `imageSize` does.
    """
    imageSize(node)
    pixels = slicer.util.arrayFromVolume(node)[0]
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def radiographSteps(node, projection, name):
    """Pause, and return the X-ray of a node as the pinhole camera sees it (xrayreg.scene.Radiograph).

    Where the node shows what its DICOM file holds, the file's own numbers are used, and what it tells of their meaning
    and of blades. Raises InputError for an image that is coloured, constant, or of another size than its geometry.
    """
    from xrayreg.scene import radiograph_from_array

    pixels = storedPixels(node)
    image = yield from _fileImageSteps(node, pixels)
    told = {"intensity": projection.intensity}
    if image is not None:
        pixels = image.pixels
        told = {"notes": image.notes, **image.reading(projection.intensity)}
    return (
        yield from radiograph_from_array.pieces(
            pixels,
            projection.camera(),
            quarter_turns=projection.quarter_turns,
            mirrored=projection.mirrored,
            name=name,
            origins=projection.origins,
            **told,
        )
    )


def _fileImageSteps(node, pixels):
    """Pause, and return what the DICOM file of a node holds (xrayreg.io.DicomImage); None unless the node shows it.

    Somebody may have worked on the node, or its file may be gone or damaged.
    """
    from xrayreg.io import dicom_image, read_dataset

    found = dicomFile(node)
    if found is None:
        return None
    path, frame = found
    try:
        image = yield from dicom_image.pieces(path, read_dataset(path), frame)
    except (InputError, IndexError) as error:
        logging.info("The pixels of %s are taken from the scene: %s", path, error)
        return None
    yield
    return image if _showsSame(pixels, image.pixels) else None


def _showsSame(pixels, recorded):
    """Whether two images are equal but for an offset, or one is the other's negative.

    ITK turns MONOCHROME1 over for display when it reads such a file.
    """
    if pixels.shape != recorded.shape:
        return False
    first, second = (np.asarray(image, np.float32) for image in (pixels, recorded))
    tolerance = _SAME * max(1.0, float(np.ptp(second)))
    return any(np.ptp(first + sign * second) <= tolerance for sign in (-1, 1))


def _fileInDatabase(node):
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if len(uids) != 1 or database is None:
        return None
    path = database.fileForInstance(uids[0])
    return Path(path) if path and os.path.isfile(path) else None


def _fileOfStorage(node):
    storage = node.GetStorageNode()
    path = storage.GetFullNameFromFileName() if storage is not None else ""
    return Path(path) if path and os.path.isfile(path) else None


def _wrongImage(node, expected, found, remedy):
    return InputError(f"X-ray {node.GetName()}", expected=expected, found=found, remedy=remedy)
