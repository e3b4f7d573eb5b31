"""Reliability of a pose: evidence from the images alone, a verdict with a reason, and the expected error.

The similarities of right and wrong poses overlap, so similarity is not judged by itself. The verdict rests on how far
the pose stands out: from poses displaced a little (whether it is a peak), and from the best other optimum found.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..geometry import Camera, retract
from ..reasons import ReasonCode
from ..scene import Attenuation
from ..similarity import Agreement
from .problem import Problem

# Displacements for the contrast: rotations [rad] and translations [mm] large enough to destroy a true match.
_NEAR_RAD, _NEAR_MM, _NEAR_DEPTH_MM = math.radians(8.0), 12.0, 40.0
_DISPLACED, _DISPLACED_AT_ONCE = 24, 8
# Contrast above which no more displacements are scored. Of 22 wrong poses on simulated X-rays none exceeded 7.6 with
# eight.
_CLEAR_CONTRAST = 9.0

# Calibrated on right and wrong registrations of simulated X-rays of a pelvis CT and a phantom, and of a real wrist.
LEAST_SIMILARITY = 0.36
LEAST_CONTRAST = 5.0
LEAST_GAP = 0.05
# Wrong optima can score well, especially where little of the body is in view; above these similarities none was ever
# observed: of a whole body (wrong up to 0.56, right from 0.73 on clear X-rays), and of single bones in it.
SURE_SIMILARITY, SURE_SIMILARITY_OF_A_PART = 0.65, 0.42
LEAST_IN_VIEW = 0.05
MOST_ERROR_MM = 4.0
# Of several X-rays each has to match a little: below this, which no wrong anatomy was seen to reach, an X-ray is of
# another patient.
LEAST_SIMILARITY_OF_A_VIEW = LEAST_SIMILARITY / 2
# Share of the anatomy's mass that may lie behind a source or behind a detector: arms that were elsewhere, a CT's table
# and soft tissue displaced by a detector may; half of a body cannot.
MOST_BEHIND_SOURCE, MOST_BEHIND_DETECTOR = 0.05, 0.10
# Samples along each axis of the anatomy for that test.
_LOOKED_AT = 40
# Curvature of the similarity [1/rad^2, 1/mm^2] below which it counts as flat: an error of 30 m would cost 0.5.
_LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class Place:
    """Position of the anatomy relative to source and detector at a pose, in the worst view.

    behind_source, behind_detector: share of the anatomy's mass there; the latter 0 where the detector's distance is
        unknown. NaN for a pose that is not finite.
    source_inside: whether the source lies within it.
    """

    behind_source: float = 0.0
    behind_detector: float = 0.0
    source_inside: bool = False


@dataclass(frozen=True)
class Evidence:
    """Evidence for a pose.

    similarity: patch gradient correlation, the higher of the finest level and the one before: fine images show more
        edges, coarse ones less noise. The mean over several views.
    contrast: how many standard deviations the finest similarity lies above that of displaced poses.
    gap: similarity less that of the best other optimum; None when no other was searched for.
    mirror_gap: similarity less the best that the mirrored X-ray reaches.
    in_view: share of what is rendered that falls on usable pixels, the minimum over the views.
    expected_error_mm: mTRE expected from the curvature of the similarity.
    weakest_view: the lowest similarity of a single view, at the level of `similarity`.
    place: position of the anatomy at the pose.
    """

    similarity: float
    contrast: float
    gap: float | None
    in_view: float
    expected_error_mm: float
    mirror_gap: float
    weakest_view: float | None = None
    place: Place = field(default_factory=Place)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for result files, with those of `place` at the same level."""
        fields = asdict(self)
        return fields | fields.pop("place")


@dataclass(frozen=True)
class Verdict:
    """Accepted or not, with the reason as a sentence and as a code."""

    accepted: bool
    reason: str
    code: ReasonCode


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations from the final normal equations, in the first camera's axes about the isocentre.

    target_mm: expected mTRE; target_in_plane_mm and target_depth_mm: its parts along the detector and along depth.
    """

    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]
    target_mm: float
    target_in_plane_mm: float
    target_depth_mm: float

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for result files."""
        return asdict(self)


def uncertainty_of(agreement: Agreement, pose: Tensor, pivot: Tensor, targets: Tensor, pixels: int) -> Uncertainty:
    """Laplace's approximation at an optimum.

    With ZNCC as least squares the residual's energy is 2 (1 - score), spread over as many independent values as there
    are `pixels`, so the twist's covariance is 2 (1 - score) / pixels H^-1. `targets` (N, 3) in the volume frame [mm].
    Infinite where score or curvature are not finite.
    """
    residual = 2 * (1 - float(agreement.score[0])) / max(pixels, 1)
    normal = agreement.normal[0].to(torch.float64)
    if not (math.isfinite(residual) and normal.isfinite().all() and pose.isfinite().all()):
        open_end = (math.inf,) * 3
        return Uncertainty(open_end, open_end, *open_end)
    # Directions that the images do not constrain, or whose curvature is negative by rounding, get a large deviation.
    curvatures, axes = torch.linalg.eigh(normal)
    covariance = residual * (axes / curvatures.clamp(min=_LEAST_CURVATURE)) @ axes.mT
    lever = (targets - pivot) @ pose[:3, :3].mT
    jacobian = torch.zeros(len(targets), 3, 6, dtype=torch.float64)
    # A rotation vector w moves a point at lever r by w x r = -[r]x w.
    x, y, z = lever.unbind(-1)
    jacobian[:, 0, 1], jacobian[:, 0, 2] = z, -y
    jacobian[:, 1, 0], jacobian[:, 1, 2] = -z, x
    jacobian[:, 2, 0], jacobian[:, 2, 1] = y, -x
    jacobian[:, :, 3:] = torch.eye(3, dtype=torch.float64)
    spread = (jacobian @ covariance @ jacobian.mT).diagonal(dim1=-2, dim2=-1)
    deviations = covariance.diagonal().clamp(min=0).sqrt()
    return Uncertainty(
        rotation_deg=_three(torch.rad2deg(deviations[:3])),
        translation_mm=_three(deviations[3:]),
        target_mm=float(spread.sum(-1).sqrt().mean()),
        target_in_plane_mm=float(spread[:, :2].sum(-1).sqrt().mean()),
        target_depth_mm=float(spread[:, 2].sqrt().mean()),
    )


def contrast(problem: Problem, pose: Tensor, score: float, seed: int = 0) -> float:
    """How many standard deviations `score` lies above the scores of poses displaced from `pose` (4, 4).

    The displacements are fixed by `seed`: twists in random directions whose rotation and translation destroy a match.
    Where the first of them are conclusive, the others are not scored.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(_DISPLACED, 6, generator=generator, dtype=torch.float64)
    turn = direction[:, :3] / direction[:, :3].norm(dim=-1, keepdim=True) * _NEAR_RAD
    shift = direction[:, 3:] / direction[:, 3:].norm(dim=-1, keepdim=True)
    shift = shift * torch.tensor([_NEAR_MM, _NEAR_MM, _NEAR_DEPTH_MM], dtype=torch.float64)
    size = 0.5 + 1.5 * torch.rand(_DISPLACED, 1, generator=generator, dtype=torch.float64)
    displaced = retract(pose.expand(_DISPLACED, 4, 4), size * torch.cat([turn, shift], dim=-1), problem.pivot)
    scores = torch.empty(0, dtype=torch.float64)
    for some in displaced.split(_DISPLACED_AT_ONCE):
        scores = torch.cat([scores, problem.scores(some).to(torch.float64)])
        reached = float((score - scores.mean()) / scores.std().clamp(min=1e-6))
        if reached > _CLEAR_CONTRAST:
            break
    return reached


def in_view(problem: Problem, pose: Tensor) -> float:
    """Share of the map's bounding box that projects onto usable pixels, the minimum over the views."""
    corners = torch.as_tensor(problem.projector.grid.corners())
    fractions = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    grid = torch.cartesian_prod(fractions, fractions, fractions)
    low, axes = corners[0], torch.stack([corners[1] - corners[0], corners[2] - corners[0], corners[4] - corners[0]])
    points = low + grid @ axes
    shares = []
    for view in problem.views:
        camera_from_volume = view.view_from_first @ pose
        pixels = view.camera.project((points @ camera_from_volume[:3, :3].mT + camera_from_volume[:3, 3]).numpy())
        column, row = (torch.as_tensor(pixels[:, n]).round() for n in range(2))
        seen = (column >= 0) & (row >= 0) & (column < view.camera.width) & (row < view.camera.height)
        mask = view.target.mask.cpu()
        usable = mask[row[seen].long(), column[seen].long()].sum()
        shares.append(float(usable) / len(points))
    return min(shares)


def place_of(attenuation: Attenuation, problem: Problem, pose: Tensor) -> Place:
    """Position of the attenuating voxels at a pose (4, 4) of the problem's first view, in the worst view."""
    if not pose.isfinite().all():
        return Place(math.nan, math.nan)
    mu, grid = attenuation.mu, attenuation.grid
    steps = [max(1, size // _LOOKED_AT) for size in grid.shape]
    weights = mu[:: steps[2], :: steps[1], :: steps[0]].double().cpu()
    k, j, i = torch.meshgrid(
        *(torch.arange(0, size, step) for size, step in zip(mu.shape, steps[::-1], strict=True)), indexing="ij"
    )
    volume_from_index = torch.as_tensor(grid.volume_from_index)
    places = [
        _place_in(view.camera, view.view_from_first @ pose, volume_from_index, mu, weights, (i, j, k))
        for view in problem.views
    ]
    return Place(
        max(place.behind_source for place in places),
        max(place.behind_detector for place in places),
        any(place.source_inside for place in places),
    )


def _place_in(
    camera: Camera,
    camera_from_volume: Tensor,
    volume_from_index: Tensor,
    mu: Tensor,
    weights: Tensor,
    at: tuple[Tensor, Tensor, Tensor],
) -> Place:
    """The place in one view; weights (K, J, I): attenuation at indices `at` (i, j, k) of mu."""
    camera_from_index = camera_from_volume @ volume_from_index
    along = camera_from_index[2]
    depth = sum((along[n] * at[n] for n in range(3)), along[3])
    mass = weights.sum().clamp(min=1e-12)
    sid_mm = camera.sid_mm
    source = torch.linalg.inv(camera_from_index)[:3, 3].round().flip(0)
    inside = bool((source >= 0).all() and (source < torch.tensor(mu.shape)).all())
    return Place(
        behind_source=float(weights[depth <= 0].sum() / mass),
        behind_detector=0.0 if sid_mm is None else float(weights[depth > sid_mm].sum() / mass),
        source_inside=inside and bool(mu[tuple(source.long())] > 0),
    )


def mirrored_pose(pose: Tensor, pivot: Tensor) -> Tensor:
    """The pose at which symmetric anatomy shows the mirror image: reflected in the camera and across the patient.

    The patient's left and right (RAS x) are exchanged about `pivot` (3,), so the result is a rigid pose again.
    """
    in_camera = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=pose.dtype))
    in_patient = in_camera.clone()
    in_patient[0, 3] = 2 * pivot[0]
    return in_camera @ pose @ in_patient


def fits_better_mirrored(evidence: Evidence) -> bool:
    """Whether the mirrored X-ray fits well, and clearly better than the X-ray as it is."""
    mirrored = evidence.similarity - evidence.mirror_gap
    return evidence.mirror_gap < -LEAST_GAP and mirrored >= LEAST_SIMILARITY


def judge(evidence: Evidence) -> Verdict:
    """Accept a pose only when all criteria are met; the reason names the deciding one."""
    against = _against(evidence)
    if against is not None:
        return Verdict(False, against[1], against[0])
    return Verdict(
        True,
        f"Estimated error {evidence.expected_error_mm:.2f} mm at the anatomy; similarity {evidence.similarity:.3f}, "
        f"{evidence.contrast:.1f} SD above that of perturbed poses.",
        ReasonCode.ACCEPTED,
    )


def _against(evidence: Evidence) -> tuple[ReasonCode, str] | None:
    """The first criterion that a pose fails, as a code and a sentence; None where it meets all."""
    if not _is_known(evidence):
        return ReasonCode.NOT_COMPUTED, "The match could not be computed at this pose."
    if impossible := _impossible(evidence.place):
        return impossible
    if evidence.in_view < LEAST_IN_VIEW:
        return (
            ReasonCode.OUT_OF_VIEW,
            f"Only {evidence.in_view:.0%} of the anatomy falls on usable image: too little to register.",
        )
    if fits_better_mirrored(evidence):
        return (
            ReasonCode.MIRRORED,
            f"The mirrored X-ray fits better (by {-evidence.mirror_gap:.2f}): the image is probably "
            'flipped; set "mirrored" for this view if so.',
        )
    if evidence.similarity < LEAST_SIMILARITY or evidence.contrast < LEAST_CONTRAST:
        return (
            ReasonCode.WEAK,
            f"The match is too weak (similarity {evidence.similarity:.3f}, {LEAST_SIMILARITY:g} needed; "
            f"{evidence.contrast:.1f} SD above that of perturbed poses, {LEAST_CONTRAST:g} needed): the X-ray "
            "may show another patient or region, or the start was too far off.",
        )
    if evidence.weakest_view is not None and evidence.weakest_view < LEAST_SIMILARITY_OF_A_VIEW:
        return (
            ReasonCode.WEAK_VIEW,
            f"One of the X-rays does not match (similarity {evidence.weakest_view:.3f} in it alone, "
            f"{LEAST_SIMILARITY_OF_A_VIEW:g} needed): it may show something else, or its camera is wrong.",
        )
    if evidence.mirror_gap < LEAST_GAP:
        return (
            ReasonCode.SYMMETRIC,
            "The X-ray fits its mirror image as well: the anatomy is too symmetric to tell left from right here.",
        )
    if evidence.gap is not None and evidence.gap < 0:
        return (
            ReasonCode.BETTER_ELSEWHERE,
            f"A search found a pose that explains the X-ray better (by {-evidence.gap:.3f}): this is not the right "
            "one.",
        )
    if evidence.gap is not None and evidence.gap < LEAST_GAP:
        return (
            ReasonCode.AMBIGUOUS,
            f"Another pose explains the X-ray nearly as well (within {evidence.gap:.3f}, {LEAST_GAP:g} needed): "
            "the images cannot tell which is right.",
        )
    if evidence.expected_error_mm > MOST_ERROR_MM:
        return (
            ReasonCode.IMPRECISE,
            f"The images leave the pose open to about {evidence.expected_error_mm:.1f} mm at the anatomy "
            f"({MOST_ERROR_MM:g} mm allowed).",
        )
    return None


def _is_known(evidence: Evidence) -> bool:
    """Whether all of the evidence could be computed; the expected error may be infinite, which has its own reason."""
    values = [value for value in evidence.as_dict().values() if value is not None]
    return all(math.isfinite(value) or value == evidence.expected_error_mm == math.inf for value in values)


def _impossible(place: Place) -> tuple[ReasonCode, str] | None:
    """Why the position of the anatomy is physically impossible, as a code and a sentence; None where it is possible."""
    check = "check the geometry of the X-ray and the pose that the search started from."
    if place.source_inside:
        return (
            ReasonCode.SOURCE_INSIDE,
            f"Impossible geometry: the X-ray source would lie inside the patient; {check}",
        )
    if place.behind_source > MOST_BEHIND_SOURCE:
        return (
            ReasonCode.BEHIND_SOURCE,
            f"Impossible geometry: {place.behind_source:.0%} of the anatomy would lie behind the X-ray source; {check}",
        )
    if place.behind_detector > MOST_BEHIND_DETECTOR:
        return (
            ReasonCode.BEHIND_DETECTOR,
            f"Impossible geometry: {place.behind_detector:.0%} of the anatomy would lie behind the detector; {check}",
        )
    return None


def unless_assumed(verdict: Verdict, assumed: tuple[str, ...]) -> Verdict:
    """The verdict on a pose whose scale depends on assumed values (see `Scene.assumed`): not accepted.

    A verdict that is not accepted keeps its own reason.
    """
    if not (verdict.accepted and assumed):
        return verdict
    reason = f"The images match, but the pose depends on what was only assumed: {' '.join(assumed)}"
    return Verdict(False, reason, ReasonCode.ASSUMED)


def _three(values: Tensor) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
