"""The projection geometry stated by a DICOM X-ray, each number with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pydicom
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError
from ..geometry import Camera
from ..geometry.carm import camera_from_carm
from .dicom_layout import frame_count, image_size
from .dicom_orientation import orientation_of
from .dicom_pitch import detector_pitch
from .dicom_plausible import GIVEN, contradictions, require_plausible_pitch, required_sid, usable_sod
from .dicom_readout import central_ray
from .dicom_tags import TagReader, TagValue, tag_text

# Angles beyond these [degrees] are not C-arm positions (rotation runs may count past half a turn).
_MOST_DEG = 720.0


@dataclass(frozen=True)
class DicomGeometry:
    """The projection geometry of one frame according to its attributes.

    sid_mm: source to detector; sod_mm: source to isocentre (for CR and DX: to the table), where known.
    pixel_mm: pitch (between rows, between columns) at the detector, of the stored pixels.
    size: (width, height) of the stored image; principal_px: (column, row) in it of the central ray.
    primary_deg, secondary_deg: C-arm angles, positive towards LAO and CRAN, where known.
    quarter_turns, mirrored: how to transform stored pixels into the pinhole image (see `Orientation`).
    origins: the source of each of these numbers; warnings: one sentence on each doubt.
    assumed: those warnings that affect the metric scale of a pose (see `Radiograph`).
    """

    sid_mm: float
    sod_mm: float | None
    pixel_mm: tuple[float, float]
    size: tuple[int, int]
    principal_px: tuple[float, float]
    primary_deg: float | None
    secondary_deg: float | None
    patient_position: str | None
    patient_orientation: tuple[str, ...] | None
    modality: str
    photometric: str
    intensity_relationship: str | None
    intensity_sign: int | None
    quarter_turns: int
    mirrored: bool
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def geometry_of(
    dataset: pydicom.Dataset, frame: int | None = None, sid_mm: float | None = None, pixel_mm: float | None = None
) -> DicomGeometry:
    """The geometry of frame `frame` (from 0; the first by default) of a DICOM X-ray (methods.md C5, C6).

    sid_mm, pixel_mm: source-to-detector distance and pitch of square pixels at the detector [mm] that override the
    file's. For enhanced images the per-frame and shared functional groups are read first. Raises InputError, naming the
    tag, when the source-to-detector distance or every source of the pixel pitch is missing, for implausible numbers
    (see `dicom_plausible`), and for attributes that are damaged.
    """
    tags = TagReader(dataset, frame or 0)
    sid = required_sid(tags, sid_mm)
    rows, columns = image_size(tags)
    sod, assumed = usable_sod(tags, sid.value)
    sod_mm = None if sod is None else sod.value
    if pixel_mm is None:
        pitch, doubts, guesses = detector_pitch(tags, sid.value, sod_mm)
    else:
        pitch, doubts, guesses = TagValue((pixel_mm, pixel_mm), GIVEN), (), ()
    require_plausible_pitch(pitch, rows, columns)
    angles, angle_doubts = _angles(tags)
    modality = (tags.text("Modality") or TagValue("", "")).value
    orientation = orientation_of(tags, None if angles is None else angles.value, modality)
    ray = central_ray(tags, pitch.value, rows, columns)
    assumed += (*guesses, *ray.assumed)
    assumed += tuple(contradictions(tags, sid.value, sod_mm, pitch.value, (rows, columns), ray.pixel))
    warnings = [*doubts, *angle_doubts, *_doubts(tags, sid.value, sod)]
    origins = {"SID": sid.origin, "pixel pitch": pitch.origin, "central ray": ray.origin}
    principal = ray.pixel
    if sod is not None:
        origins["SOD"] = sod.origin
    if angles is not None:
        origins["angles"] = angles.origin
    position, patient = tags.text("PatientPosition"), tags.texts("PatientOrientation")
    relation, sign = tags.text("PixelIntensityRelationship"), tags.number("PixelIntensityRelationshipSign")
    return DicomGeometry(
        sid_mm=sid.value,
        sod_mm=None if sod is None else sod.value,
        pixel_mm=pitch.value,
        size=(columns, rows),
        principal_px=principal,
        primary_deg=None if angles is None else angles.value[0],
        secondary_deg=None if angles is None else angles.value[1],
        patient_position=None if position is None else position.value,
        patient_orientation=None if patient is None else patient.value,
        modality=modality,
        photometric=(tags.text("PhotometricInterpretation") or TagValue("", "")).value,
        intensity_relationship=None if relation is None else relation.value,
        intensity_sign=None if sign is None else int(sign.value),
        quarter_turns=orientation.quarter_turns,
        mirrored=orientation.mirrored,
        origins=origins,
        notes=orientation.reasons,
        warnings=(*assumed, *(warning for warning in warnings if warning not in assumed)),
        assumed=assumed,
    )


def camera_of(geometry: DicomGeometry, camera_from_world: NDArray | None = None) -> Camera:
    """The camera of the pinhole image: of the stored pixels rotated upright and, where needed, mirrored.

    camera_from_world: identity by default, so world = camera.
    """
    width, height = geometry.size
    row_pitch, column_pitch = geometry.pixel_mm
    column, row = geometry.principal_px
    for _ in range(geometry.quarter_turns % 4):
        column, row = row, width - 1 - column
        width, height = height, width
        row_pitch, column_pitch = column_pitch, row_pitch
    if geometry.mirrored:
        column = width - 1 - column
    matrix = np.array(
        [[geometry.sid_mm / column_pitch, 0.0, column], [0.0, geometry.sid_mm / row_pitch, row], [0.0, 0.0, 1.0]]
    )
    pose = np.eye(4) if camera_from_world is None else camera_from_world
    return Camera(matrix, width, height, pose, column_pitch)


def camera_from_volume_of(geometry: DicomGeometry, isocentre_ras: ArrayLike) -> NDArray[np.float64]:
    """The pose camera_from_volume (4, 4) [mm] from the C-arm's angles, for a patient whose isocentre (3,) is known.

    Raises InputError when the file holds no angles or no source-to-isocentre distance.
    """
    if geometry.primary_deg is None or geometry.secondary_deg is None:
        raise InputError(
            f"DICOM PositionerPrimaryAngle {tag_text('PositionerPrimaryAngle')}",
            expected="the C-arm's angles",
            found="none",
            remedy="start from a search or give an initial pose",
        )
    if geometry.sod_mm is None:
        raise InputError(
            f"DICOM DistanceSourceToPatient {tag_text('DistanceSourceToPatient')}",
            expected="the source-to-isocentre distance in mm",
            found="none",
            remedy="start from a search or give an initial pose",
        )
    return camera_from_carm(geometry.primary_deg, geometry.secondary_deg, geometry.sod_mm, isocentre_ras)


def _angles(tags: TagReader) -> tuple[TagValue[tuple[float, float]] | None, tuple[str, ...]]:
    """The C-arm's angles at this frame, and a sentence where they cannot be used.

    Rotation runs store one increment for all frames, or each frame's offset from the first (PS3.3 C.8.7.5.1.3).
    """
    primary, secondary = tags.number("PositionerPrimaryAngle"), tags.number("PositionerSecondaryAngle")
    if primary is None or secondary is None:
        return None, ()
    turned, frames = [], frame_count(tags)
    for angle, keyword in (
        (primary, "PositionerPrimaryAngleIncrement"),
        (secondary, "PositionerSecondaryAngleIncrement"),
    ):
        steps = tags.numbers(keyword)
        if steps is None:
            turned.append(angle.value)
        elif steps.value.size == 1:
            turned.append(angle.value + tags.frame * float(steps.value[0]))
        elif tags.frame < steps.value.size and frames in (1, steps.value.size):
            turned.append(angle.value + float(steps.value[tags.frame]))
        else:
            return None, (
                f"{keyword} has {steps.value.size} values for {frames} frames; the C-arm's angles were not used.",
            )
    if max(map(abs, turned)) > _MOST_DEG:
        return None, (
            f"The C-arm's angles {turned[0]:g} and {turned[1]:g} degrees are no positions of a C-arm; not used.",
        )
    return TagValue((turned[0], turned[1]), primary.origin), ()


def _doubts(tags: TagReader, sid_mm: float, sod: TagValue[float] | None) -> list[str]:
    doubts = []
    factor = tags.positive("EstimatedRadiographicMagnificationFactor")
    apart = 0.0 if factor is None or sod is None else abs(factor.value * sod.value / sid_mm - 1)
    # A stronger contradiction is reported by `contradictions`.
    if factor is not None and sod is not None and 0.05 < apart <= 0.23:
        doubts.append(
            f"EstimatedRadiographicMagnificationFactor {factor.value:g} contradicts SID / SOD {sid_mm / sod.value:.3f}."
        )
    position = tags.text("PatientPosition")
    if position is not None and position.value != "HFS":
        doubts.append(f"The patient lay {position.value}; C-arm angles are read as for head first supine.")
    tilts = [tags.number(keyword) for keyword in ("DetectorPrimaryAngle", "DetectorSecondaryAngle")]
    if any(tilt is not None and abs(tilt.value) > 0.5 for tilt in tilts):
        doubts.append("The detector is tilted against the beam; that tilt is not used.")
    return doubts
