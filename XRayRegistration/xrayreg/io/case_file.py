"""Parsing and writing case.json (design: file contract), validated before any image is opened."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_array, require_rigid
from ..geometry import Camera, require_xray_camera
from ..scene import IntensityKind
from .json_text import read_json
from .mayacam import read_mayacam
from .results import json_text, write_json

_KINDS: tuple[IntensityKind, ...] = get_args(IntensityKind)

# The keys of each object of a case; others are refused, since a misspelt one would be silently ignored.
_POSE = "world_from_volume"
_CASE_KEYS = ("volume", "series", "labels", "structures", "views", "initial", "reference")
_VIEW_KEYS = ("image", "intensity", "frame", "mirrored", "camera", "calibration")
_CAMERA_KEYS = ("matrix", "size", "camera_from_world", "pixel_mm")
_INITIAL_KEYS = (_POSE,)
_REFERENCE_KEYS = (_POSE, "targets")
# Prefixes of keys that are free for annotations and other programs.
_FREE = ("x-", "comment", "note")
# Lone surrogates, which no file name can contain.
_NOT_UNICODE = re.compile("[\ud800-\udfff]")
# Largest label or frame number: larger ones do not fit in 32 bits.
_MOST = 2**31 - 1


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
    """A case: files and numbers. Poses are world_from_volume (4, 4) [mm], targets (N, 3) in the volume frame [mm].

    series: which DICOM series of the volume's folder, see `read_volume`.
    """

    volume: Path
    views: tuple[CaseView, ...]
    labels: Path | None = None
    structures: tuple[int, ...] = ()
    initial: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = field(default=None)
    series: str | None = None


def parse_case(path: str | Path) -> CaseFile:
    """The case at `path`; the files it names are not opened, only resolved relative to it (calibrations are read).

    Raises InputError for a missing file, JSON that does not parse (with its line), keys that are missing, unknown
    (with the nearest known one) or duplicated, values of the wrong type, and implausible cameras.
    Keys that begin with "x-", "comment" or "note" are free.
    """
    path = Path(path)
    content = _object(read_json(path, "case"), f"case {path}", _CASE_KEYS)
    folder = path.parent
    labels = content.get("labels")
    views = _list(_need(content, "views", f"case {path}"), "views")
    reference = content.get("reference")
    targets = None if reference is None else _object(reference, "reference", _REFERENCE_KEYS).get("targets")
    return CaseFile(
        volume=folder / _text(_need(content, "volume", f"case {path}"), "volume"),
        views=tuple(
            _view(_object(view, f"views[{n}]", _VIEW_KEYS), f"views[{n}]", folder) for n, view in enumerate(views)
        ),
        labels=None if labels is None else folder / _text(labels, "labels"),
        structures=_structures(content.get("structures")),
        initial=_pose(content.get("initial"), "initial", _INITIAL_KEYS),
        reference=_pose(reference, "reference", _REFERENCE_KEYS),
        targets=None if targets is None else _array(targets, "reference.targets", (_length(targets), 3)),
        series=_series(content.get("series")),
    )


def write_case(path: str | Path, case: CaseFile, home: Path | None = None) -> None:
    """Write `case` as case.json at `path`, with file paths relative to it, or to its future folder `home`.

    A pose that a case lacks is left out, so that `parse_case` gives the same case back.
    """
    path = Path(path)
    write_json(path, _content(case, path if home is None else home / path.name))


def case_text(case: CaseFile, home: Path) -> str:
    """The text of the case.json that `write_case` writes for a case in the folder `home`."""
    return json_text(_content(case, home / "case.json"))


def require_structures(labels: Any) -> tuple[int, ...]:
    """Labels to register, without repetitions; raises InputError for values other than whole numbers above 0."""
    return _structures([label.item() if isinstance(label, np.integer) else label for label in labels])


def _content(case: CaseFile, place: Path) -> dict[str, Any]:
    """The content of case.json for a case, written at `place`."""
    content: dict[str, Any] = {"volume": _relative(case.volume, place)}
    if case.series is not None:
        content["series"] = case.series
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
    return content


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


def _view(value: Any, where: str, folder: Path) -> CaseView:
    content = _object(value, where, _VIEW_KEYS)
    intensity, frame, mirrored = (content.get(key) for key in ("intensity", "frame", "mirrored"))
    if intensity is not None and (not isinstance(intensity, str) or intensity not in _KINDS):
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
    content = _object(camera, where, _CAMERA_KEYS)
    size = _list(_need(content, "size", where), f"{where}.size")
    if len(size) != 2:
        raise _wrong(f"{where}.size", "[width, height]", size)
    width, height = (_integer(side, f"{where}.size") for side in size)
    pitch = content.get("pixel_mm")
    if pitch is not None and (isinstance(pitch, bool) or not isinstance(pitch, int | float)):
        raise _wrong(f"{where}.pixel_mm", "a number of millimetres", pitch)
    matrix = _array(_need(content, "matrix", where), f"{where}.matrix", (3, 3))
    return require_xray_camera(Camera(matrix, width, height, _rigid(content, "camera_from_world", where), pitch), where)


def _pose(content: Any, where: str, keys: tuple[str, ...]) -> NDArray[np.float64] | None:
    return None if content is None else _rigid(_object(content, where, keys), _POSE, where)


def _rigid(content: Mapping[str, Any], key: str, where: str) -> NDArray[np.float64]:
    return require_rigid(_array(_need(content, key, where), f"{where}.{key}", (4, 4)), f"{where}.{key}")


def _array(value: Any, where: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """`require_array` for JSON numbers only: numpy would also convert strings and booleans."""
    rows = value if isinstance(value, list) else [value]
    for number in (entry for row in rows for entry in (row if isinstance(row, list) else [row])):
        if isinstance(number, str | bool) or number is None:
            raise _wrong(where, f"{' x '.join(map(str, shape))} numbers", number)
    return require_array(value, where, shape)


def _series(value: Any) -> str | None:
    """A series by its description or identifier, or by its number, which may be written without quotation marks."""
    if value is None:
        return None
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("series", "the description, number or SeriesInstanceUID of a series", value)
    return str(_integer(value, "series"))


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


def _object(value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """`value` as an object with no keys other than these and free ones."""
    if not isinstance(value, dict):
        raise _wrong(where, "an object { ... }", value)
    for key in value:
        if key in keys or key.lower().startswith(_FREE):
            continue
        near = get_close_matches(key.lower()[:80], keys, n=1, cutoff=0.5)
        hint = f'write "{near[0]}"' if near else f"leave it out; known are {', '.join(keys)}"
        own = 'begin a key of your own with "x-" or "comment"'
        raise InputError(where, expected="keys that are known here", found=f'"{key[:80]}"', remedy=f"{hint}, or {own}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(where, "a list [ ... ]", value)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value or _NOT_UNICODE.search(value):
        raise _wrong(where, "the name of a file or folder", value)
    return value


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(where, "whole numbers", value)
    if abs(value) > _MOST:
        raise _wrong(where, f"whole numbers up to {_MOST}", value)
    return value


def _length(value: Any) -> int:
    return max(1, len(_list(value, "reference.targets")))


def _wrong(where: str, expected: str, value: Any) -> InputError:
    found = json.dumps(value) if not isinstance(value, str) else repr(value)
    return InputError(where, expected=expected, found=found[:80], remedy="correct it in the case")
