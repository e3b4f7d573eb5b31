"""Training losses: pose error [mm] and DRR dissimilarity.

All terms are in millimetres or scaled to be comparable, so that a weight of 1 balances them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...geometry import inverse, transform_points, vector_from_rotation
from ...settings import LossSettings, NetworkCamera, Term
from ...similarity import Similarity, Target
from ..model.heads import Hypotheses, best, chosen

# From poses camera_from_canonical (N, 4, 4) to line integrals (N, C, H, W), differentiable; the last channel is the
# structure that the region term compares. The N poses are those of the batch's first images.
Render = Callable[[Tensor], Tensor]

# Millimetres per unit of dissimilarity: xvr's ratio of its image terms to its geodesic one (methods.md A2).
MM_PER_DISSIMILARITY = 100.0
# Line integral at which the soft occupancy of a structure reaches 63 %: some five millimetres of bone.
OCCUPIED_INTEGRAL = 0.25
# mNCC: global correlation and correlation in patches of 9 pixels, half each (xvr).
_MNCC = Similarity((Term(weight=0.5), Term(window=9, weight=0.5)))
# Weight of a millimetre along the beam relative to one across it.
DEPTH_SHARE = 0.25
# Keeps the square root smooth where prediction and truth agree, a micrometre wide.
_SMALLEST_SQUARED_MM = 1e-6
# The depth of projected points is clamped to at least this share of the isocentre's depth.
_NEAREST_SHARE = 0.1


def pose_loss(
    hypotheses: Hypotheses,
    poses: Tensor,
    settings: LossSettings,
    camera: NetworkCamera,
    points: Tensor | None = None,
    render: Render | None = None,
    integrals: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss (a scalar) of a batch of views of one volume, and its parts for the log.

    poses: true camera_from_canonical (B, 4, 4). points: (P, 3) in the canonical frame [mm], for the term of that name.
    render: for the terms image and region; see `Render`. integrals: (B, C, H, W) its result for the true poses, where
        known already.
    Parts: each term's mean, for the hypothesis nearest to the truth; `rotation_deg` and `shift_mm`, median errors of
        the most probable one.
    Raises ValueError where a term has a weight but not what it needs.
    """
    truth = poses.to(hypotheses.poses.dtype).to(hypotheses.poses.device)
    terms = _pose_terms(hypotheses.poses, truth[:, None], settings, camera, points)
    errors = sum(terms.values(), torch.zeros_like(hypotheses.logits))
    least, nearest = errors.detach().min(dim=-1)
    sharpness = (settings.sharpness_share * least.mean()).clamp(*settings.sharpness_mm)
    loss = mixture(hypotheses.logits, errors, sharpness).mean()
    parts = {name: term.detach().gather(1, nearest[:, None]).mean() for name, term in terms.items()}
    for name, term in _picture_terms(chosen(hypotheses.poses, nearest), truth, settings, camera, render, integrals):
        loss = loss + term
        parts[name] = term.detach()
    with torch.no_grad():
        parts |= _told(best(hypotheses), truth)
    # A single transfer from the device for all of them.
    values = torch.stack(list(parts.values())).tolist()
    return loss, dict(zip(parts, values, strict=True))


def mixture(logits: Tensor, errors: Tensor, sharpness_mm: float | Tensor) -> Tensor:
    """Losses [mm] (B,) of K hypotheses with logits (B, K) and errors (B, K) [mm], at a sharpness (a scalar).

    The negative log-likelihood of the truth in a mixture whose K components decay as exp(-error / sharpness), times the
    sharpness: for a single hypothesis this is its error. Of several, each is trained on the poses it is nearest to, and
    the logits learn the frequency of that. Source: mixture density networks (Bishop 1994).
    """
    return -sharpness_mm * torch.logsumexp(logits.log_softmax(dim=-1) - errors / sharpness_mm, dim=-1)


def geodesic_mm(poses: Tensor, truth: Tensor, sid_mm: float) -> Tensor:
    """sqrt((SID/2 angle)^2 + distance^2) [mm] (...) between poses (..., 4, 4) of the canonical frame (xvr).

    distance: of the isocentre in the camera frame. Smooth everywhere except at half turns.
    """
    turn = vector_from_rotation(poses[..., :3, :3].mT @ truth[..., :3, :3])
    shift = poses[..., :3, 3] - truth[..., :3, 3]
    squared = (sid_mm / 2) ** 2 * turn.square().sum(-1) + shift.square().sum(-1)
    return (squared + _SMALLEST_SQUARED_MM).sqrt()


def projected_mm(poses: Tensor, truth: Tensor, points: Tensor) -> Tensor:
    """Mean distance [mm] (...) of the images of points (P, 3), seen in the plane of the true isocentre.

    poses, truth: camera_from_canonical (..., 4, 4).
    """
    depth = truth[..., 2, 3, None, None]
    points = points.to(truth.dtype).to(truth.device)

    def images(pose: Tensor) -> Tensor:
        seen = transform_points(pose, points)
        return depth * seen[..., :2] / torch.maximum(seen[..., 2:], _NEAREST_SHARE * depth)

    squared = (images(poses) - images(truth)).square().sum(-1)
    return (squared + _SMALLEST_SQUARED_MM).sqrt().mean(-1)


def shift_mm(poses: Tensor, truth: Tensor) -> Tensor:
    """Distance [mm] (...) of the isocentres of poses camera_from_canonical (..., 4, 4), depth weighted by a quarter.

    An image determines depth less well than the position across the beam by about that factor, which is the
    isocentre's distance over its size.
    """
    apart = (poses - truth)[..., :3, 3] * poses.new_tensor([1.0, 1.0, DEPTH_SHARE])
    return (apart.square().sum(-1) + _SMALLEST_SQUARED_MM).sqrt()


def consistency_mm(poses: Tensor, truth: Tensor, sid_mm: float) -> Tensor:
    """Mean geodesic error [mm] of the relative pose from each view to the next, for views (B, 4, 4) of one volume.

    Errors that all views share, such as a rotated patient, cost nothing: this term penalises inconsistent views.
    """

    def to_the_next(pose: Tensor) -> Tensor:
        return pose.roll(-1, 0) @ inverse(pose)

    return geodesic_mm(to_the_next(poses), to_the_next(truth), sid_mm).mean()


def dissimilarity(images: Tensor, others: Tensor) -> Tensor:
    """1 - mNCC (B,) of images (B, H, W): 0 when they are equal up to gain and offset."""
    return 1 - _MNCC.score(Target(others, torch.ones_like(others)), images)


def region_mismatch(integrals: Tensor, others: Tensor) -> Tensor:
    """1 - Dice (B,) of the soft occupancies 1 - exp(-k I) of a structure's line integrals I (B, H, W).

    Unlike the overlap of thresholded images (xvr's Dice), which is constant between the poses at which a pixel
    crosses the threshold, it has a gradient.
    """
    one, other = (1 - torch.exp(-image / OCCUPIED_INTEGRAL) for image in (integrals, others))
    common = (one * other).sum((-2, -1))
    both = (one.square() + other.square()).sum((-2, -1))
    return 1 - 2 * common / both.clamp(min=1e-6)


def _pose_terms(
    poses: Tensor, truth: Tensor, settings: LossSettings, camera: NetworkCamera, points: Tensor | None
) -> dict[str, Tensor]:
    """The weighted terms (B, K) that need poses alone."""
    terms = {}
    if settings.geodesic:
        terms["geodesic"] = settings.geodesic * geodesic_mm(poses, truth, camera.sid_mm)
    if settings.points:
        if points is None:
            raise ValueError("the loss term points needs points of the volume")
        terms["points"] = settings.points * projected_mm(poses, truth, points)
    if settings.shift:
        terms["shift"] = settings.shift * shift_mm(poses, truth)
    return terms


def _picture_terms(
    poses: Tensor,
    truth: Tensor,
    settings: LossSettings,
    camera: NetworkCamera,
    render: Render | None,
    integrals: Tensor | None,
) -> list[tuple[str, Tensor]]:
    """The weighted terms (scalars) that need one pose (B, 4, 4) for each view."""
    terms = []
    if settings.consistency and len(poses) > 1:
        terms.append(("consistency", settings.consistency * consistency_mm(poses, truth, camera.sid_mm)))
    if not (settings.image or settings.region):
        return terms
    if render is None:
        raise ValueError("the loss terms image and region need a renderer")
    count = min(settings.rendered or len(poses), len(poses))
    weights = {"image": settings.image * MM_PER_DISSIMILARITY, "region": settings.region * MM_PER_DISSIMILARITY}
    if not bool(torch.isfinite(poses[:count]).all()):
        # No engine can render a non-finite pose; the loss is NaN too, so that the optimiser skips the step.
        return [*terms, *((name, poses.sum() * math.nan) for name, weight in weights.items() if weight)]
    shown = render(poses[:count])
    if integrals is None:
        with torch.no_grad():
            integrals = render(truth[:count])
    wanted = integrals[:count].to(shown)
    if settings.image:
        terms.append(("image", weights["image"] * dissimilarity(shown.sum(1), wanted.sum(1)).mean()))
    if settings.region:
        terms.append(("region", weights["region"] * region_mismatch(shown[:, -1], wanted[:, -1]).mean()))
    return terms


def _told(poses: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Median errors of poses (B, 4, 4), for display."""
    turn = vector_from_rotation(poses[:, :3, :3].mT @ truth[:, :3, :3]).norm(dim=-1)
    shift = (poses - truth)[:, :3, 3].norm(dim=-1)
    return {"rotation_deg": torch.rad2deg(turn).median(), "shift_mm": shift.median()}
