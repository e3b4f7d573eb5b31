"""Requests that send a patient's volume and X-rays to the worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from ..geometry import Projection, VoxelGrid, require_xray_camera
from ..io import DicomImage, dicom_image, is_dicom, read_dataset
from ..io.volumes import compact
from ..networks.model.checkpoint import read_card
from ..networks.model.fingerprint import fingerprint
from ..overlay import dense_is_dark, shown_grey
from ..scene import Radiograph, Scene, Volume, intensity_named, radiograph_from_array
from ..scene.ct_values import in_hounsfield
from .service import Content, OnNews, Room

# Tolerance, as a share of the range, between an image and its file's: single precision and a rescaling.
_SAME = 1e-5


@dataclass(frozen=True, eq=False)
class ShownXray:
    """A radiograph, and its picture (H, W) for display, 0 black to 255 white."""

    radiograph: Radiograph
    picture: NDArray[np.uint8]


def volume(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep a CT.

    content: values, the name of an array [k, j, i] as stored; matrix, world_from_index (4, 4) [mm]; notes and assumed,
    sentences. Answer: volume, its number; bytes, its size.
    """
    read = in_hounsfield(compact(room.arrays.mapped(content["values"])))
    ni, nj, nk = read.values.shape[::-1]
    notes = tuple(dict.fromkeys((*content["notes"], *read.notes)))
    grid = VoxelGrid((ni, nj, nk), np.array(content["matrix"]))
    made = Volume(read.values, grid, notes=notes, assumed=tuple(content["assumed"]))
    return {"volume": room.kept.keep(made), "bytes": int(made.values.nbytes)}


def labels(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep a CT with labels.

    content: volume, its number; values, the name of an array [k, j, i]; names by label. Answer: volume, the number of
    the one with labels.
    """
    bare = room.kept.value(content["volume"], Volume)
    names = {int(label): name for label, name in content["names"].items()}
    labelled = replace(bare, labels=room.arrays.mapped(content["values"]), label_names=names)
    return {"volume": room.kept.keep(labelled)}


def radiograph(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep an X-ray.

    content: pixels, the name of an array as stored; projection (Projection.as_dict); name; file and frame of the DICOM
    image that it may come from, file None where there is none. Where that file holds the same image, its values, their
    meaning and its collimator blades are used.
    Answer: xray, its number; picture, the name of the array for display; dense_is_dark.
    """
    projection = Projection.from_dict(content["projection"])
    pixels = room.arrays.take(content["pixels"])
    image = _image_in_file(content, pixels)
    reading: dict[str, Any] = {"intensity": projection.intensity}
    if image is not None:
        pixels = image.pixels
        reading = {"notes": image.notes, **image.reading(intensity_named(projection.intensity))}
    made = radiograph_from_array(
        pixels,
        projection.camera(),
        quarter_turns=projection.quarter_turns,
        mirrored=projection.mirrored,
        name=content["name"],
        origins=projection.origins,
        **reading,
    )
    return shown(room, made)


def shown(room: Room, made: Radiograph) -> Content:
    """Keep an X-ray with its picture for display; returns the answer of `radiograph`."""
    grey = shown_grey(made)
    picture = np.rint(255 * grey).astype(np.uint8)
    return {
        "xray": room.kept.keep(ShownXray(made, picture)),
        "picture": room.arrays.put(picture),
        "dense_is_dark": dense_is_dark(made),
    }


def camera(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep a copy of an X-ray with another camera and name; its pixels are not processed again.

    content: xray, its number; projection (Projection.as_dict), turned, mirrored and read as the one with which it was
    made; name. Answer: xray, the number of the new one. Raises InputError for a camera that does not fit.
    """
    before = room.kept.value(content["xray"], ShownXray)
    projection, name = Projection.from_dict(content["projection"]), content["name"]
    fitting = projection.camera()
    require_xray_camera(fitting, f"camera of {name}")
    made = replace(before.radiograph, camera=fitting, name=name, origins=dict(projection.origins))
    return {"xray": room.kept.keep(replace(before, radiograph=made))}


def scene_of(room: Room, content: Content) -> Scene:
    """The scene specified by a request.

    content: volume; structures, labels to register; views, each with the number of its xray and what is assumed of its
    place (None or a sentence); initial, reference (4, 4) [mm] and targets (N, 3) [mm], None where they are not known.
    Raises InputError as `Scene` does.
    """
    views = []
    for view in content["views"]:
        made = room.kept.value(view["xray"], ShownXray).radiograph
        place = view["assumed"]
        views.append(replace(made, assumed=(*made.assumed, place)) if place else made)
    known = {
        name: None if content[name] is None else np.array(content[name]) for name in ("initial", "reference", "targets")
    }
    return Scene(
        room.kept.value(content["volume"], Volume), tuple(views), tuple(int(n) for n in content["structures"]), **known
    )


def card(room: Room, content: Content, on_news: OnNews) -> Content:
    """The model card in a network's file.

    content: path. Answer: card (ModelCard.as_dict), None where the file cannot be read; problem, why that is.
    """
    try:
        return {"card": read_card(content["path"]).as_dict(), "problem": ""}
    except (InputError, OSError) as error:
        return {"card": None, "problem": str(error)}


def mark(room: Room, content: Content, on_news: OnNews) -> Content:
    """The fingerprint of a CT. content: volume. Answer: fingerprint (networks.model.fingerprint)."""
    return {"fingerprint": fingerprint(room.kept.value(content["volume"], Volume))}


def _image_in_file(content: Mapping[str, Any], pixels: NDArray) -> DicomImage | None:
    """Pause, and return the image in a DICOM file; None unless its pixels are those given.

    The image may have been edited, or the file may be missing or damaged.
    """
    if content["file"] is None:
        return None
    path = Path(content["file"])
    try:
        if not is_dicom(path):
            return None
        image = dicom_image(path, read_dataset(path), content["frame"])
    except (InputError, IndexError, OSError) as error:
        logging.info("The pixels of %s are taken from the scene: %s", path, error)
        return None
    return image if _shows_same(pixels, image.pixels) else None


def _shows_same(pixels: NDArray, recorded: NDArray) -> bool:
    """Whether two images are equal up to an offset, or one is the negative of the other.

    ITK inverts MONOCHROME1 images on reading.
    """
    if pixels.shape != recorded.shape:
        return False
    first, second = (np.asarray(image, np.float32) for image in (pixels, recorded))
    tolerance = _SAME * max(1.0, float(np.ptp(second)))
    return any(np.ptp(first + sign * second) <= tolerance for sign in (-1, 1))
