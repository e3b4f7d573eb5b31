"""A view's projection from a DICOM X-ray or a calibration file, as numbers that the user can correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pydicom

from ..checks import InputError
from ..geometry import NOMINAL_SID_MM, Camera, Projection
from ..geometry.projection import ASSUMED, NOMINAL_DETECTOR_MM
from .case_file import CaseView, parse_case
from .dicom import DicomGeometry, camera_of, geometry_of
from .dicom_layout import image_size
from .dicom_tags import TagReader, tag_text
from .images import stem_of
from .mayacam import read_mayacam

_PITCH_TAGS = (
    "ImagerPixelSpacing",
    "PixelSpacing",
    "FieldOfViewDimensions",
    "FieldOfViewDimensionsInFloat",
    "IntensifierSize",
)


def projection_of(geometry: DicomGeometry) -> Projection:
    """The projection of the pinhole image that a DICOM geometry describes, world = camera.

    origins["orientation"] gives the reasons for rotation and mirroring, origins["doubts"] what the file leaves open.
    """
    camera = camera_of(geometry)
    (fx, _, column), (_, fy, row) = camera.matrix[:2].tolist()
    origins = dict(geometry.origins)
    for name, sentences in (("orientation", geometry.notes), ("doubts", geometry.warnings)):
        if sentences:
            origins[name] = " ".join(sentences)
    for sentence in geometry.assumed:
        # The user sees which number to check; once entered again, it counts as given.
        number = "SID" if "SID" in sentence else "pixel pitch"
        origins[number] = f"{ASSUMED}: {sentence}"
    return Projection(
        geometry.sid_mm,
        (geometry.sid_mm / fx, geometry.sid_mm / fy),
        (camera.width, camera.height),
        (column, row),
        quarter_turns=geometry.quarter_turns % 4,
        mirrored=geometry.mirrored,
        primary_deg=geometry.primary_deg,
        secondary_deg=geometry.secondary_deg,
        sod_mm=geometry.sod_mm,
        origins=origins,
    )


def dicom_projection(dataset: pydicom.Dataset, frame: int | None = None) -> Projection:
    """The projection of frame `frame` (from 0) of a DICOM X-ray; where SID or pitch are missing, an assumed one.

    Raises InputError, naming the tag, for attributes that contradict themselves.
    """
    missing = missing_numbers(dataset, frame)
    sid_mm = NOMINAL_SID_MM if "SID" in missing else None
    pixel_mm = None
    if "pixel pitch" in missing:
        pixel_mm = NOMINAL_DETECTOR_MM / max(image_size(TagReader(dataset, frame or 0)))
    projection = projection_of(geometry_of(dataset, frame, sid_mm, pixel_mm))
    assumed = {name: f"{ASSUMED}: the file has no {tag}" for name, tag in missing.items()}
    return replace(projection, origins={**projection.origins, **assumed})


def missing_numbers(dataset: pydicom.Dataset, frame: int | None = None) -> dict[str, str]:
    """Which of "SID" and "pixel pitch" a DICOM X-ray lacks at frame `frame` (from 0), with the tags to fill in."""
    tags = TagReader(dataset, frame or 0)
    missing = {}
    if tags.positive("DistanceSourceToDetector") is None:
        missing["SID"] = tag_text("DistanceSourceToDetector")
    if all(tags.numbers(keyword) is None for keyword in _PITCH_TAGS):
        missing["pixel pitch"] = tag_text("ImagerPixelSpacing")
    return missing


def calibrated_projection(path: str | Path, name: str | None = None) -> Projection:
    """The projection in a calibration file: a case.json or a file for `read_mayacam`.

    For a case with several views, the one whose image has the stem `name` is used. Raises InputError for a file that is
    neither, and for a case without such a view or without its camera.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        return Projection.of_camera(read_mayacam(path), path.name)
    view = _view_named(parse_case(path).views, name, path)
    if view.camera is None:
        raise InputError(
            f"calibration {path.name}",
            expected=f'a "camera" or "calibration" for {view.image.name}',
            found="neither",
            remedy="add one, or choose another file",
        )
    return projection_of_view(view, view.camera, path.name)


def projection_of_view(view: CaseView, camera: Camera, origin: str) -> Projection:
    """The projection of a case's view with its camera, which is that of the image as stored."""
    projection = replace(Projection.of_camera(camera, origin), intensity=view.intensity)
    return projection.oriented(0, bool(view.mirrored), origin)


def _view_named(views: Sequence[CaseView], name: str | None, path: Path) -> CaseView:
    fitting = [view for view in views if stem_of(view.image) == name] if len(views) > 1 else list(views)
    if len(fitting) != 1:
        raise InputError(
            f"calibration {path.name}",
            expected=f"one view of the image {name}",
            found=", ".join(stem_of(view.image) for view in views) or "no views",
            remedy="rename the X-ray after the image it is in the file",
        )
    return fitting[0]
