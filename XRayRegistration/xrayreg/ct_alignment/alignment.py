"""The pose of one patient's CT in another's frame: the rigid alignment that lets one network serve many patients.

Both CTs are resampled coarsely along RAS axes (`preprocess`), many orientations are tried at every shift
(`fft_search`), and the best few are refined at increasing resolution (`refine`). All poses are in RAS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_rigid
from ..scene import Volume
from .fft_search import correlation_and_overlap, quarter_turns, shift_finder, tilts
from .preprocess import CoarseVolume, coarse_volume, downsample
from .refine import refine_alignment

Floats = NDArray[np.float64]

# Least share of the smaller body that the other CT must cover, and correlation that bodies of the same kind reach.
LEAST_OVERLAP = 0.3
LEAST_QUALITY = 0.5
# A body smaller than this share of the other one matches at many positions.
LEAST_SHARE = 0.03
# An orientation far from the one in the files must be better by this much, as patients resemble others upside down.
_FILES_OWN = 0.05
# Numbers of quarter turns that are also tilted, of candidates refined coarsely, and of those refined more finely.
_TURNS, _COARSE, _FINE = 6, 10, 3


@dataclass(frozen=True, eq=False)
class Alignment:
    """The pose of a patient in the template's frame.

    template_from_patient: rigid (4, 4) in RAS millimetres, determinant +1.
    quality: correlation of both CTs where both scans reach and either shows the body, 1 for the same patient.
    overlap: share of the smaller body that the other CT covers.
    note: one sentence for display.
    """

    template_from_patient: Floats
    quality: float
    overlap: float
    note: str


def align(template: Volume, patient: Volume) -> Alignment:
    """The rigid alignment of the patient's CT with the template's.

    Exchanging the two gives exactly the inverse: the smaller body is always searched in the larger one.
    Raises InputError where the overlap or the correlation of the two is too low.
    """
    if template.is_hounsfield != patient.is_hounsfield:
        raise _not_alike("Hounsfield units in one and none in the other")
    voxel_mm = _voxel_mm(template, patient)
    of_template, of_patient = coarse_volume(template, voxel_mm), coarse_volume(patient, voxel_mm)
    _require_sizes(of_template, of_patient)
    exchanged = _rank(of_patient) > _rank(of_template)
    fixed, moving = (of_template, of_patient) if exchanged else (of_patient, of_template)
    # The fixed volume is that of the smaller body, whichever CT it is.
    fixed_from_moving = _search(fixed, moving)
    quality, overlap = correlation_and_overlap(fixed, moving, fixed_from_moving)
    _require_alike(quality, overlap)
    matrix = require_rigid(fixed_from_moving if exchanged else np.linalg.inv(fixed_from_moving), "alignment")
    turn = f"turned by {_turn_deg(matrix):.1f} degrees"
    note = f"{turn}, similarity {quality:.2f}, {overlap:.0%} of the smaller body in common"
    return Alignment(matrix, quality, overlap, note)


def _voxel_mm(one: Volume, other: Volume) -> float:
    """4 mm for adult bodies, finer for small ones as far as memory and time allow."""
    sizes = [float(np.prod(np.ptp(volume.grid.corners(), axis=0))) for volume in (one, other)]
    return max(float(np.clip(np.cbrt(min(sizes)) / 64, 1.0, 4.0)), float(np.cbrt(max(sizes) / 2e6)))


def _rank(coarse: CoarseVolume) -> tuple[float, float]:
    """Sort key that orders any two different volumes: by the size of the body, then by its contents."""
    return float(coarse.body.sum()), float(coarse.values.sum(dtype=np.float64))


def _search(fixed: CoarseVolume, moving: CoarseVolume) -> Floats:
    """The best of many orientations, fixed_from_moving: all of them tried coarsely, ever fewer of them more finely."""
    # The search uses a body of a few thousand voxels.
    factor = max(1, round(float(np.cbrt(fixed.body.sum() / 4000))))
    coarsest = downsample(fixed, factor), downsample(moving, factor)
    best_shift = shift_finder(*coarsest, LEAST_OVERLAP)
    turned = _best_scored([best_shift(turn) for turn in quarter_turns()], _TURNS)
    tilted = [best_shift(tilt @ pose[:3, :3]) for _, pose in turned for tilt in tilts()]
    candidates = _best_scored([*turned, *tilted], _COARSE)
    if not candidates:
        raise _not_alike(f"less than {LEAST_OVERLAP:.0%} of the body in common wherever it is laid")
    candidates = _refined(*coarsest, candidates)[:_FINE]
    if factor > 3:
        candidates = _refined(downsample(fixed, factor // 2), downsample(moving, factor // 2), candidates)
    return refine_alignment(fixed, moving, candidates[0][1])


def _best_scored(found: list[tuple[float, Floats]], count: int) -> list[tuple[float, Floats]]:
    return sorted((one for one in found if one[0] > -1), key=lambda one: -one[0])[:count]


def _refined(
    fixed: CoarseVolume, moving: CoarseVolume, candidates: list[tuple[float, Floats]]
) -> list[tuple[float, Floats]]:
    """The candidates refined, the best first."""
    poses = [refine_alignment(fixed, moving, pose) for _, pose in candidates]
    scored = [(correlation_and_overlap(fixed, moving, pose), pose) for pose in poses]
    alike = [(quality, pose) for (quality, overlap), pose in scored if overlap >= LEAST_OVERLAP]
    if not alike:
        raise _not_alike(f"less than {LEAST_OVERLAP:.0%} of the body in common")
    return sorted(alike, key=lambda found: -found[0] - (_FILES_OWN if _turn_deg(found[1]) < 45 else 0.0))


def _turn_deg(pose: Floats) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1.0, 1.0))))


def _require_sizes(one: CoarseVolume, other: CoarseVolume) -> None:
    litres = sorted(coarse.body.sum() * coarse.voxel_mm**3 / 1e6 for coarse in (one, other))
    if litres[0] < LEAST_SHARE * litres[1]:
        raise _not_alike(f"{litres[0]:.2g} litres of tissue in one and {litres[1]:.2g} in the other")


def _require_alike(quality: float, overlap: float) -> None:
    if overlap < LEAST_OVERLAP:
        raise _not_alike(f"{overlap:.0%} of the smaller body in common")
    if quality < LEAST_QUALITY:
        raise _not_alike(f"a similarity of {quality:.2f} (at least {LEAST_QUALITY:g} is needed)")


def _not_alike(found: str) -> InputError:
    return InputError(
        "alignment of two CTs",
        expected="the same part of the body",
        found=found,
        remedy="give CTs of the anatomy the network was made for, or train on this patient alone",
    )
