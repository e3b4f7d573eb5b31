"""Requests that write files: the report of a result, and a CT for a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..checks import InputError
from ..io import write_nifti
from ..report import Screenshot, write_results
from ..scene import Volume
from .inputs import scene_of
from .service import Content, OnNews, Room


def report(room: Room, content: Content, on_news: OnNews) -> Content:
    """Write result, pictures and report of a pose into a folder, all of them or none.

    content: scene (inputs.scene_of); folder; result, the content of result.json; title; before, the pose
    world_from_volume (4, 4) [mm] of the first pictures, or None; screenshots, each with caption, stem and picture, the
    name of a uint8 RGB array. News: fraction and message. The answer is empty.
    """
    screenshots = tuple(
        Screenshot(shot["caption"], shot["stem"], room.arrays.take(shot["picture"])) for shot in content["screenshots"]
    )
    before = content["before"]
    write_results(
        Path(content["folder"]),
        scene_of(room, content["scene"]),
        content["result"],
        content["title"],
        before=None if before is None else np.array(before),
        screenshots=screenshots,
        on_step=lambda step: on_news({"fraction": step.fraction, "message": step.message}),
    )
    return {}


def training_files(room: Room, content: Content, on_news: OnNews) -> Content:
    """Write a CT as a NIfTI file for a training.

    content: volume; path; labels, the path of the file for its labels, or None. The answer is empty. Raises InputError
    for a folder that is not writable.
    """
    volume = room.kept.value(content["volume"], Volume)
    files = {content["path"]: volume.values}
    if content["labels"] is not None and volume.labels is not None:
        files[content["labels"]] = volume.labels
    for path, values in files.items():
        try:
            write_nifti(Path(path), values, volume.grid.volume_from_index, lambda: on_news(None))
        except OSError as error:
            raise InputError(
                "folder of the network",
                expected="one that takes files",
                found=f"{Path(path).parent} ({error.strerror or error})",
                remedy="choose another place for the network",
            ) from error
    return {}
