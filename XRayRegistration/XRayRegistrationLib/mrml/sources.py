"""What lies behind an X-ray node: its DICOM file and frame, and its pixels as they are stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from xrayreg.checks import InputError

# Set on nodes that a case brought; Slicer's DICOM database does not know their files.
_FILE, _FRAME = "XRayRegistration.file", "XRayRegistration.frame"
_READ = "XRayRegistration.read"


def rememberRead(
    node: slicer.vtkMRMLScalarVolumeNode, notes: list[str] | tuple[str, ...], assumed: list[Any] | tuple[str, ...]
) -> None:
    """Keep with a CT's node what was noticed and assumed when its file was read: sentences, two tuples."""
    reading = {"notes": list(notes), "assumed": list(assumed), "place": _place(node)}
    node.SetAttribute(_READ, json.dumps(reading) if notes or assumed else None)


def readOf(node: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """What `rememberRead` kept, (notes, assumed); nothing once somebody has given the node other spacing or place."""
    text = node.GetAttribute(_READ)
    reading = json.loads(text) if text else None
    if reading is None or not np.allclose(reading["place"], _place(node), atol=1e-3):
        return (), ()
    return tuple(reading["notes"]), tuple(reading["assumed"])


def _place(node: slicer.vtkMRMLScalarVolumeNode) -> list[list[float]]:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix).tolist()


def rememberFile(node: slicer.vtkMRMLScalarVolumeNode, path: str, frame: int) -> None:
    """Note from which file and frame (from 0) an X-ray node was read."""
    node.SetAttribute(_FILE, str(path))
    node.SetAttribute(_FRAME, str(frame))


def fileOf(node: Any) -> tuple[Path, int] | None:
    """The file of an X-ray node and its frame (from 0), or None where it has none; DICOM or not, nobody has looked."""
    path = node.GetAttribute(_FILE)
    if path:
        frame = node.GetAttribute(_FRAME) or "0"
        # Attributes can be edited by anybody.
        return (Path(path), int(frame)) if frame.isdecimal() else None
    path = _fileInDatabase(node) or _fileOfStorage(node)
    return None if path is None else (path, frameOf(node))


def frameOf(node: Any) -> int:
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


def isInRun(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether a node shows one image of a sequence and may show another one."""
    return slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node) is not None


def imageSize(node: Any) -> tuple[int, int]:
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


def storedPixels(node: Any) -> np.ndarray:
    """The pixels of an X-ray node as stored: a view [row, column] or [row, column, channel], top row first.

    Slicer's readers keep the file's order of rows and put it right by directions (-1, -1, 1), so whatever directions a
    node has, the first row is the top of the picture. Raises InputError as `imageSize` does.
    """
    imageSize(node)
    pixels = slicer.util.arrayFromVolume(node)[0]
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def _fileInDatabase(node: Any) -> Path | None:
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if len(uids) != 1 or database is None:
        return None
    path = database.fileForInstance(uids[0])
    return Path(path) if path and os.path.isfile(path) else None


def _fileOfStorage(node: Any) -> Path | None:
    storage = node.GetStorageNode()
    path = storage.GetFullNameFromFileName() if storage is not None else ""
    return Path(path) if path and os.path.isfile(path) else None


def _wrongImage(node: slicer.vtkMRMLScalarVolumeNode, expected: str, found: str, remedy: str) -> InputError:
    return InputError(f"X-ray {node.GetName()}", expected=expected, found=found, remedy=remedy)
