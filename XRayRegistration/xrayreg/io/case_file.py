"""The text of a case (design: file contract): what case.json says, checked, before any image is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_array, require_file, require_rigid
from ..geometry import Camera
from ..scene import IntensityKind
from .mayacam import read_mayacam
from .results import write_json

_KINDS: tuple[IntensityKind, ...] = get_args(IntensityKind)


@dataclass(frozen=True)
class CaseView:
    """One view of a case: its image file and how to read it (see `read_radiograph`)."""

    image: Path
    camera: Camera | None = None
    intensity: IntensityKind = "auto"
    frame: int | None = None
    mirrored: bool | None = None


@dataclass(frozen=True, eq=False)
class CaseFile:
    """A case: files and numbers. Poses are world_from_volume (4, 4) [mm], targets (N, 3) in the volume frame [mm]."""

    volume: Path
    views: tuple[CaseView, ...]
    labels: Path | None = None
    structures: tuple[int, ...] = ()
    initial: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = field(default=None)


def parse_case(path: str | Path) -> CaseFile:
    """The case at `path`; the files it names are not opened, only made relative to it (calibrations are read).

    Unknown keys are ignored. Raises InputError for a missing file, JSON that does not parse (with its line), missing
    keys and values of the wrong kind.
    """
    path = Path(path)
    content = _object(_json(path), f"case {path}")
    folder = path.parent
    labels = content.get("labels")
    views = _list(_need(content, "views", f"case {path}"), "views")
    reference = content.get("reference")
    targets = None if reference is None else _object(reference, "reference").get("targets")
    return CaseFile(
        volume=folder / _text(_need(content, "volume", f"case {path}"), "volume"),
        views=tuple(_view(_object(view, f"views[{n}]"), f"views[{n}]", folder) for n, view in enumerate(views)),
        labels=None if labels is None else folder / _text(labels, "labels"),
        structures=_structures(content.get("structures")),
        initial=_pose(content.get("initial"), "initial"),
        reference=_pose(reference, "reference"),
        targets=None if targets is None else require_array(targets, "reference.targets", (_length(targets), 3)),
    )


def write_case(path: str | Path, case: CaseFile, home: Path | None = None) -> None:
    """Write `case` as case.json at `path`, its files named relative to it, or to the folder `home` it will lie in.

    A pose that a case lacks is left out, so that `parse_case` gives the same case back.
    """
    path = Path(path)
    place = path if home is None else home / path.name
    content: dict[str, Any] = {"volume": _relative(case.volume, place)}
    if case.labels is not None:
        content["labels"] = _relative(case.labels, place)
    if case.structures:
        content["structures"] = case.structures
    content["views"] = [_written(view, place) for view in case.views]
    if case.initial is not None:
        content["initial"] = {"world_from_volume": case.initial}
    if case.reference is not None:
        content["reference"] = {"world_from_volume": case.reference}
        if case.targets is not None:
            content["reference"]["targets"] = case.targets
    write_json(path, content)


def _written(view: CaseView, path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {"image": _relative(view.image, path), "intensity": view.intensity}
    if view.frame is not None:
        content["frame"] = view.frame
    if view.mirrored is not None:
        content["mirrored"] = view.mirrored
    if view.camera is not None:
        content["camera"] = {
            "matrix": view.camera.matrix,
            "size": [view.camera.width, view.camera.height],
            "camera_from_world": view.camera.camera_from_world,
        }
        if view.camera.pixel_mm is not None:
            content["camera"]["pixel_mm"] = view.camera.pixel_mm
    return content


def _relative(file: Path, case: Path) -> str:
    try:
        return Path(os.path.relpath(file, case.parent)).as_posix()
    except ValueError:  # another drive on Windows
        return file.absolute().as_posix()


def _json(path: Path) -> Any:
    require_file(path, "case")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"case {path}",
            expected="JSON",
            found=f"{error.msg} in line {error.lineno}, column {error.colno}",
            remedy="correct that line",
        ) from error
    except (UnicodeDecodeError, OSError, RecursionError) as error:
        raise InputError(f"case {path}", expected="a JSON text file", found=str(error), remedy="check it") from error


def _view(content: Mapping[str, Any], where: str, folder: Path) -> CaseView:
    intensity, frame, mirrored = (content.get(key) for key in ("intensity", "frame", "mirrored"))
    if intensity is not None and intensity not in _KINDS:
        raise _wrong(f"{where}.intensity", " | ".join(_KINDS), intensity)
    if frame is not None:
        frame = _integer(frame, f"{where}.frame")
    if mirrored is not None and not isinstance(mirrored, bool):
        raise _wrong(f"{where}.mirrored", "true or false", mirrored)
    return CaseView(
        image=folder / _text(_need(content, "image", where), f"{where}.image"),
        camera=_camera(content, where, folder),
        intensity="auto" if intensity is None else intensity,
        frame=frame,
        mirrored=mirrored,
    )


def _camera(view: Mapping[str, Any], where: str, folder: Path) -> Camera | None:
    calibration, camera = view.get("calibration"), view.get("camera")
    if camera is None:
        return None if calibration is None else read_mayacam(folder / _text(calibration, f"{where}.calibration"))
    where = f"{where}.camera"
    if calibration is not None:
        raise _wrong(where, 'either "camera" or "calibration"', "both")
    content = _object(camera, where)
    size = _list(_need(content, "size", where), f"{where}.size")
    if len(size) != 2:
        raise _wrong(f"{where}.size", "[width, height]", size)
    width, height = (_integer(side, f"{where}.size") for side in size)
    pitch = content.get("pixel_mm")
    if pitch is not None and (isinstance(pitch, bool) or not isinstance(pitch, int | float)):
        raise _wrong(f"{where}.pixel_mm", "a number of millimetres", pitch)
    matrix = require_array(_need(content, "matrix", where), f"{where}.matrix", (3, 3))
    pose = require_rigid(_need(content, "camera_from_world", where), f"{where}.camera_from_world")
    return Camera(matrix, width, height, pose, pitch)


def _pose(content: Any, where: str) -> NDArray[np.float64] | None:
    if content is None:
        return None
    return require_rigid(_need(_object(content, where), "world_from_volume", where), f"{where}.world_from_volume")


def _structures(content: Any) -> tuple[int, ...]:
    if content is None:
        return ()
    labels = [_integer(label, "structures") for label in _list(content, "structures")]
    if any(label < 1 for label in labels):
        raise _wrong("structures", "labels above 0 (0 is background)", content)
    return tuple(dict.fromkeys(labels))


def _need(content: Mapping[str, Any], key: str, where: str) -> Any:
    if content.get(key) is None:
        present = ", ".join(content) or "nothing"
        raise InputError(where, expected=f'the key "{key}"', found=present, remedy="add it")
    return content[key]


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "an object { ... }", value)
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(where, "a list [ ... ]", value)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "the name of a file or folder", value)
    return value


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(where, "whole numbers", value)
    return value


def _length(value: Any) -> int:
    return max(1, len(_list(value, "reference.targets")))


def _wrong(where: str, expected: str, value: Any) -> InputError:
    found = json.dumps(value) if not isinstance(value, str) else repr(value)
    return InputError(where, expected=expected, found=found[:80], remedy="correct it in the case")
