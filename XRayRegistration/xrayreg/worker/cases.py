"""Requests that read files for the scene: whole cases, the geometry of an X-ray, and the phantom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Projection
from ..io import (
    CaseView,
    calibrated_projection,
    dicom_projection,
    geometry_of,
    is_dicom,
    parse_case,
    projection_of_view,
    read_case,
    read_dataset,
)
from ..io.images import stem_of
from ..overlay import label_colour
from ..scene import Radiograph, Volume
from ..simulation.phantom_case import write_phantom_case
from ..slabs import slabs
from .inputs import shown
from .service import Content, OnNews, Room


def case(room: Room, content: Content, on_news: OnNews) -> Content:
    """Read a case.json and its files; the CT without its labels and the X-rays are kept.

    content: path. Answer: volume, with number and bytes (those of `inputs.volume`), name, values (the name of an array
    [k, j, i]), matrix (4, 4), notes and assumed; labels, None or name, values, names by label, and colours, those of
    the segments in their order; views, each with xray, picture and dense_is_dark (those of `inputs.radiograph`), name,
    pixels (the name of an array, as stored), projection, file and frame; structures, initial, reference and targets as
    `inputs.scene_of` has them. Raises InputError as `read_case` does.
    """
    path = Path(content["path"])
    case_file = parse_case(path)
    scene = read_case(path)
    volume = scene.volume
    matrix = volume.grid.volume_from_index.tolist()
    views = []
    for view, radiograph in zip(case_file.views, scene.views, strict=True):
        pixels = room.arrays.put(_as_stored(view, radiograph))
        projection = _projection(view, radiograph, path.name).as_dict()
        # Assumptions on its position are passed with each scene, as they may be corrected.
        kept = shown(room, replace(radiograph, assumed=()))
        views.append(
            {"name": radiograph.name, "pixels": pixels, "projection": projection, "file": str(view.image),
             "frame": view.frame or 0, **kept}
        )  # fmt: skip
    values = room.arrays.put(_native(volume.values))
    known = {name: getattr(scene, name) for name in ("initial", "reference", "targets")}
    labels = _labels(room, volume, stem_of(case_file.labels or path))
    bare = replace(volume, labels=None, label_names={}, labels_outside=())
    return {
        "volume": {
            "number": room.kept.keep(bare), "bytes": int(bare.values.nbytes), "name": stem_of(case_file.volume),
            "values": values, "matrix": matrix, "notes": list(volume.notes), "assumed": list(volume.assumed),
        },
        "labels": labels,
        "views": views,
        "structures": list(scene.structures),
        **{name: None if pose is None else np.asarray(pose).tolist() for name, pose in known.items()},
    }  # fmt: skip


def geometry(room: Room, content: Content, on_news: OnNews) -> Content:
    """An X-ray's geometry from a file.

    content: file and frame. Answer: projection, None unless the file is a DICOM image.
    Raises InputError for one whose geometry cannot be used.
    """
    path = Path(content["file"])
    if not is_dicom(path):
        return {"projection": None}
    return {"projection": dicom_projection(read_dataset(path), content["frame"]).as_dict()}


def calibration(room: Room, content: Content, on_news: OnNews) -> Content:
    """The geometry in a calibration file. content: path; name, the view's in a case.json. Answer: projection."""
    return {"projection": calibrated_projection(Path(content["path"]), content["name"]).as_dict()}


def phantom(room: Room, content: Content, on_news: OnNews) -> Content:
    """Write the generated case. content: folder, and the arguments of `write_phantom_case`. News: message."""
    arguments = {name: value for name, value in content.items() if name != "folder"}
    write_phantom_case(Path(content["folder"]), on_part=lambda part: on_news({"message": part}), **arguments)
    return {}


def _labels(room: Room, volume: Volume, name: str) -> Any:
    """The labels of a volume as part of an answer; None without labels."""
    if volume.labels is None:
        return None
    present: set[int] = set()
    for some in slabs(volume.labels.shape):
        present |= set(np.unique(volume.labels[some]).tolist())
    present -= {0}
    values = room.arrays.put(_native(volume.labels))
    names = {str(label): volume.label_names.get(label) for label in sorted(present)}
    colours = [label_colour(number) for number in range(1, len(present) + 1)]
    return {"name": name, "values": values, "names": names, "colours": colours}


def _as_stored(view: CaseView, radiograph: Radiograph) -> NDArray:
    """An X-ray as stored in its file: neither rotated nor mirrored, counts in 16 bits."""
    stored = radiograph.recorded[:, ::-1] if radiograph.reflected else radiograph.recorded
    turns = 0
    if view.camera is None:
        # The rotation applied on reading is stated only by the DICOM file.
        turns = geometry_of(read_dataset(view.image), view.frame).quarter_turns
    stored = np.rot90(stored, -turns)
    most = np.iinfo(np.uint16).max
    counts = stored.min() >= 0 and stored.max() <= most and np.array_equal(stored, np.rint(stored))
    return stored.astype(np.uint16) if counts else stored


def _projection(view: CaseView, radiograph: Radiograph, origin: str) -> Projection:
    if view.camera is not None:
        return projection_of_view(view, view.camera, origin)
    projection = dicom_projection(read_dataset(view.image), view.frame)
    projection = projection.oriented(projection.quarter_turns, radiograph.reflected, origin)
    return replace(projection, intensity=view.intensity)


def _native(values: NDArray) -> NDArray:
    """In native byte order, which VTK requires."""
    return np.asarray(values, values.dtype.newbyteorder("="))
