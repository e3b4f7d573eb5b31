"""A case without a case.json: a CT, X-rays, and the projection parameters that their files do not state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..checks import InputError, require_file, require_regular, require_rigid
from ..geometry import Camera, require_xray_camera
from ..scene import IntensityKind, intensity_named
from .case_file import CaseFile, CaseView, require_structures
from .dicom import DicomGeometry, camera_of, geometry_of
from .dicom_layout import frame_count
from .dicom_tags import TagReader, is_dicom, read_dataset
from .pictures import chosen_frame, stored_picture
from .projections import missing_numbers

_OPTIONS = {"SID": "--sid", "pixel pitch": "--pixel-mm"}
_WRITE_A_CASE = 'write a case.json with a "camera" for each X-ray'


@dataclass(frozen=True)
class _Reading:
    """How each X-ray is read; see `case_of_files`."""

    sid_mm: float | None
    pixel_mm: float | None
    frame: int | None
    mirrored: bool | None
    intensity: IntensityKind

    @property
    def open_numbers(self) -> list[str]:
        """Names of those of the two projection parameters that were not given."""
        given = {"SID": self.sid_mm, "pixel pitch": self.pixel_mm}
        return [name for name, value in given.items() if value is None]


def case_of_files(
    volume: str | Path,
    xrays: str | Path | Iterable[str | Path],
    *,
    labels: str | Path | None = None,
    structures: Iterable[int] = (),
    series: str | None = None,
    sid_mm: float | None = None,
    pixel_mm: float | None = None,
    frame: int | None = None,
    mirrored: bool | None = None,
    intensity: str = "auto",
    initial: ArrayLike | None = None,
) -> CaseFile:
    """The case of a CT and one or more X-rays, as `parse_case` would give it for a case.json that names them.

    volume, labels, structures, series: as in a case. xrays: image files; several only where all are DICOM and state the
        C-arm's angles and distances, since otherwise the relative pose of the views is unknown.
    sid_mm: source to detector, pixel_mm: pitch of the (square) pixels at the detector [mm]; they supply what the file
        lacks or override it. The central ray is where DICOM states it, else at the image centre.
    frame: of a run of images, from 0. mirrored: whether left and right are exchanged in the stored image; by default
        as DICOM states, else not. intensity: "auto", "transmission" or "attenuation". These hold for each X-ray.
    initial: initial pose world_from_volume (4, 4) [mm]; world is the first X-ray's camera.

    Raises InputError for missing files, for numbers that are missing (naming the options that supply them) or
    implausible, and for several X-rays whose relative pose is not known.
    """
    images = [_placed(xray) for xray in ([xrays] if isinstance(xrays, str | Path) else xrays)]
    if not images:
        raise InputError("X-rays", expected="at least one", found="none", remedy="name an X-ray image")
    require_file(Path(volume), "volume")
    for image in images:
        require_regular(image, "X-ray")
    reading = _Reading(sid_mm, pixel_mm, frame, mirrored, intensity_named(intensity))
    if len(images) > 1:
        _require_related(images, reading)
    return CaseFile(
        volume=_placed(volume),
        views=tuple(_view(image, reading) for image in images),
        labels=None if labels is None else _placed(labels),
        structures=require_structures(structures),
        initial=None if initial is None else require_rigid(initial, "initial pose"),
        series=series,
    )


def _placed(path: str | Path) -> Path:
    """The absolute path with links in its folders resolved: a case elsewhere can name it relative to itself."""
    path = Path(path)
    return path.parent.resolve() / path.name


def _view(image: Path, reading: _Reading) -> CaseView:
    view = CaseView(image, None, reading.intensity, reading.frame, reading.mirrored)
    if not is_dicom(image):
        return replace(view, camera=_camera_of_picture(image, reading))
    dataset = read_dataset(image)
    frame = chosen_frame(image, frame_count(TagReader(dataset)), reading.frame)
    missing = {name: tag for name, tag in missing_numbers(dataset, frame).items() if name in reading.open_numbers}
    if missing:
        raise _missing(image, {name: f"{name} {tag}" for name, tag in missing.items()})
    if len(reading.open_numbers) == len(_OPTIONS):
        return view
    geometry = geometry_of(dataset, frame, reading.sid_mm, reading.pixel_mm)
    _require_settled(image, geometry)
    # The camera of a case is that of the image as stored; "mirrored" states the reflection.
    camera = require_xray_camera(camera_of(replace(geometry, mirrored=False)), f"X-ray {image.name}")
    return replace(view, camera=camera, mirrored=geometry.mirrored if reading.mirrored is None else reading.mirrored)


def _camera_of_picture(image: Path, reading: _Reading) -> Camera:
    """The camera of an image whose file holds no geometry."""
    sid_mm, pixel_mm = reading.sid_mm, reading.pixel_mm
    if sid_mm is None or pixel_mm is None:
        raise _missing(image, {name: name for name in reading.open_numbers})
    stored, _ = stored_picture(image, reading.frame)
    height, width = np.shape(stored)[:2]
    return require_xray_camera(Camera.from_sid(sid_mm, pixel_mm, width, height), f"X-ray {image.name}")


def _require_settled(image: Path, geometry: DicomGeometry) -> None:
    """Refuse a DICOM file whose camera is not determined by the given numbers and its own."""
    found = " ".join(geometry.assumed).rstrip(".")
    if geometry.quarter_turns % 4:
        found = f"an image that was turned by {90 * (geometry.quarter_turns % 4)} degrees"
    if found:
        raise InputError(
            f"geometry of {image.name}",
            expected="an upright image whose other numbers fit the SID or pixel pitch given",
            found=found,
            remedy=f"give both {' and '.join(_OPTIONS.values())}, correct the DICOM file, or {_WRITE_A_CASE}",
        )


def _require_related(images: list[Path], reading: _Reading) -> None:
    """Refuse several X-rays unless DICOM states the C-arm's position for each."""
    plain = [image.name for image in images if not is_dicom(image)]
    found = f"{plain[0]}, which is no DICOM file" if plain else ""
    if len(reading.open_numbers) < len(_OPTIONS):
        found = found or f"{' or '.join(_OPTIONS.values())}, which place a single X-ray only"
    for image in () if found else images:
        geometry = geometry_of(read_dataset(image), reading.frame)
        if geometry.primary_deg is None or geometry.sod_mm is None:
            absent = "the C-arm's angles" if geometry.primary_deg is None else "the distance from source to patient"
            found = found or f"{image.name} without {absent}"
    if found:
        raise InputError(
            "several X-rays",
            expected="DICOM files that tell the C-arm's angles and distances, and so how the views stand to each other",
            found=found,
            remedy=_WRITE_A_CASE,
        )


def _missing(image: Path, missing: dict[str, str]) -> InputError:
    options = " and ".join(_OPTIONS[name] for name in missing)
    keywords = " and ".join({"SID": "sid_mm", "pixel pitch": "pixel_mm"}[name] for name in missing)
    return InputError(
        f"geometry of {image.name}",
        expected=f"{' and '.join(missing)} in millimetres",
        found=f"a file without {' and '.join(missing.values())}",
        remedy=f'give {options} (in Python {keywords}), or write a case.json with a "camera"',
    )
