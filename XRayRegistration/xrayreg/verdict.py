"""Whether to trust a pose: evidence from the images alone, a verdict with a reason, and how far off it may be.

The similarity of a right and of a wrong image overlap, so it is not judged by itself. Judged is how far the pose stands
out: from poses displaced a little (a peak, or any slope?), and from the best other optimum that was found.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .geometry import retract
from .pieces import Pieces, divisible
from .problem import Problem
from .similarity import Agreement

# Displacements for the contrast: rotations [rad] and translations [mm] far enough to spoil a true match.
_NEAR_RAD, _NEAR_MM, _NEAR_DEPTH_MM = math.radians(8.0), 12.0, 40.0
_DISPLACED, _DISPLACED_AT_ONCE = 24, 8
# Contrast after which no more are looked at. Of 22 wrong poses on simulated X-rays none had more than 7.6 with eight.
_CLEAR_CONTRAST = 9.0

# Calibrated on right and wrong registrations of simulated X-rays of a pelvis CT and a phantom, and of a real wrist.
LEAST_SIMILARITY = 0.36
LEAST_CONTRAST = 5.0
LEAST_GAP = 0.05
# Wrong optima can look fair, the more so where little of the body is in view; above these similarities none was ever
# seen to: of a whole body (wrong up to 0.56, right from 0.73 on clear X-rays), and of single bones in it.
SURE_SIMILARITY, SURE_SIMILARITY_OF_A_PART = 0.65, 0.42
LEAST_IN_VIEW = 0.05
MOST_ERROR_MM = 4.0
# Curvature of the similarity [1/rad^2, 1/mm^2] below which it is as good as flat: 30 m off would cost 0.5.
_LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class Evidence:
    """What speaks for a pose.

    similarity: patch gradient correlation, the better of the finest level and the one before: fine images show more
        edges, coarse ones less noise.
    contrast: how many standard deviations the finest similarity lies above that of displaced poses.
    gap: its distance to the best other optimum; None when no other was looked for.
    mirror_gap: how much better it is than the best that the mirrored X-ray reaches.
    in_view: share of what is rendered that falls on usable pixels, the least over the views.
    expected_error_mm: mTRE that the curvature of the similarity leaves open.
    """

    similarity: float
    contrast: float
    gap: float | None
    in_view: float
    expected_error_mm: float
    mirror_gap: float

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for result files."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Accepted or not, with the reason as a sentence."""

    accepted: bool
    reason: str


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
    """
    residual = 2 * (1 - float(agreement.score[0])) / max(pixels, 1)
    normal = agreement.normal[0].to(torch.float64)
    # What the images do not see, or see with a curvature that rounding made negative, is left open and not exact.
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


@divisible
def contrast(problem: Problem, pose: Tensor, score: float, seed: int = 0) -> Pieces[float]:
    """How many standard deviations `score` lies above the scores of poses displaced from `pose` (4, 4).

    The displacements are fixed by `seed`: twists in random directions whose rotation and translation spoil a match.
    Where the first of them leave no doubt, the others are spared.
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
        scores = torch.cat([scores, (yield from problem.scores.pieces(some)).to(torch.float64)])
        reached = float((score - scores.mean()) / scores.std().clamp(min=1e-6))
        if reached > _CLEAR_CONTRAST:
            break
    return reached


def in_view(problem: Problem, pose: Tensor) -> float:
    """Share of the map's outline box that projects onto usable pixels, the least over the views."""
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
    """Accept a pose only when everything speaks for it; the reason names what decided."""
    if any(value is not None and math.isnan(value) for value in evidence.as_dict().values()):
        return Verdict(False, "The match could not be computed at this pose.")
    if evidence.in_view < LEAST_IN_VIEW:
        return Verdict(
            False, f"Only {evidence.in_view:.0%} of the anatomy falls on usable image: too little to register."
        )
    if fits_better_mirrored(evidence):
        return Verdict(
            False,
            f"The mirrored X-ray fits better (similarity {-evidence.mirror_gap:.2f} higher): the image is probably "
            'flipped; set "mirrored" for this view if so.',
        )
    if evidence.similarity < LEAST_SIMILARITY or evidence.contrast < LEAST_CONTRAST:
        return Verdict(
            False,
            f"The match is too weak (similarity {evidence.similarity:.2f}, {LEAST_SIMILARITY:g} needed; "
            f"{evidence.contrast:.1f} standard deviations above displaced poses, {LEAST_CONTRAST:g} needed): the X-ray "
            "may show another patient or region, or the start was too far off.",
        )
    if evidence.mirror_gap < LEAST_GAP:
        return Verdict(
            False,
            "The X-ray fits its mirror image as well: the anatomy is too symmetric to tell left from right here.",
        )
    if evidence.gap is not None and evidence.gap < 0:
        return Verdict(
            False,
            f"A search found a pose that explains the X-ray better (similarity {-evidence.gap:.3f} higher): this is "
            "not the right one.",
        )
    if evidence.gap is not None and evidence.gap < LEAST_GAP:
        return Verdict(
            False,
            f"Another pose explains the X-ray nearly as well (similarity {evidence.gap:.3f} lower): "
            "the images cannot tell which is right.",
        )
    if evidence.expected_error_mm > MOST_ERROR_MM:
        return Verdict(
            False,
            f"The images leave the pose open to about {evidence.expected_error_mm:.1f} mm at the anatomy "
            f"({MOST_ERROR_MM:g} mm allowed).",
        )
    return Verdict(
        True,
        f"The match stands {evidence.contrast:.1f} standard deviations above displaced poses, "
        f"with an expected error of {evidence.expected_error_mm:.2f} mm at the anatomy.",
    )


def unless_assumed(verdict: Verdict, assumed: tuple[str, ...]) -> Verdict:
    """The verdict on a pose whose millimetres depend on numbers that were assumed (see `Scene.assumed`): not accepted.

    A verdict that is not accepted keeps its own reason.
    """
    if not (verdict.accepted and assumed):
        return verdict
    return Verdict(False, f"The images match, but the pose depends on what was only assumed: {' '.join(assumed)}")


def _three(values: Tensor) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
