"""Validation of learned similarities: angles between their pose gradients and geodesic ones on simulated X-rays.

The same is measured for zero-normalised cross-correlation and for gradient correlation, at the same poses and pixels,
as a baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...scene import Volume
from ...settings import SimilaritySettings, Term, TrainingSettings
from ...similarity import Similarity, Target
from ..data.appearance import apply_appearance
from ..data.appearance_sampling import sample_appearance
from ..data.batches import seeded_generator, visible_views
from ..data.start_sampling import displaced
from ..data.subjects import DrrSubject
from ..inference.similarity_inputs import ct_of_subject, fixed_images
from ..model.card import MedianAngles
from ..model.input_image import to_network_camera
from ..model.learned_similarity import LearnedSimilarity
from ..model.network_camera import pinhole
from .geodesic_gradients import angle_between_deg
from .pose_gradient import PoseGradient, PoseLesson, exact_gradient, gradient_of_images, render_unrefined
from .validation_images import simulated_radiograph

# Distances of starts from the truth [mm], uniform between these: of the corners of the anatomy's box, camera frame.
NEAREST_MM, FURTHEST_MM = 20.0, 100.0
# Starts for each X-ray, and pairs that go through the network at a time.
_STARTS, _AT_ONCE = 4, 32
# Separate random streams, used by no batch.
_XRAYS, _DISPLACED = 4, 5
# Similarities whose values differ by less than this share over all pairs count as constant.
_CONSTANT = 1e-7
BASELINES: Mapping[str, Similarity] = {
    "zncc": Similarity((Term(),)),
    "gradient_correlation": Similarity((Term("gradient", sigma=1.0),)),
}


@dataclass(frozen=True, eq=False)
class RenderedPairs:
    """Pairs of one CT, with images (N, 1, H, W) and derivatives (N, 1, 6, H, W) where no 3D network changes them."""

    pairs: PoseLesson
    moving: Tensor
    jacobian: Tensor


@dataclass(frozen=True, eq=False)
class ValidationPairs:
    """X-rays at held-out poses, each with several starts, by CT.

    baselines: angles of classical similarities at the same poses, by name.
    """

    by_ct: tuple[RenderedPairs, ...]
    baselines: Mapping[str, MedianAngles]


@dataclass(frozen=True, eq=False)
class CtPairs:
    """The pairs of one CT, and the gradients (N, 6) of each classical similarity there, downhill being better."""

    rendered: RenderedPairs
    gradients: Mapping[str, Tensor]


def pairs_of_ct(subject: DrrSubject, volume: Volume, settings: TrainingSettings) -> CtPairs:
    """Simulated X-rays of the whole patient and starts for them, with the classical similarities' gradients.

    A volume without Hounsfield units cannot be simulated; its X-rays are DRRs with an appearance drawn as for training.
    """
    wanted = settings.similarity or SimilaritySettings()
    camera, count = pinhole(settings.camera), max(1, settings.validation_xrays)
    generator = seeded_generator(settings.seed, 0, _XRAYS)
    poses, integrals = visible_views(subject, camera, settings, count, generator)
    if volume.is_hounsfield:
        recorded = []
        for number, pose in enumerate(poses):
            radiograph = simulated_radiograph(volume, settings.camera, pose, number)
            recorded.append(to_network_camera(radiograph, settings.camera))
        attenuation, valid = (torch.cat(some) for some in zip(*recorded, strict=True))
    else:
        appearance = sample_appearance(settings.appearance, count, generator, subject.partial)
        attenuation, valid = (some.cpu() for some in apply_appearance(appearance, integrals))
    ct = ct_of_subject(subject, settings, settings.engine, settings.device)
    truth = poses.repeat_interleave(_STARTS, 0)
    generator = seeded_generator(settings.seed, 0, _DISPLACED)
    errors = NEAREST_MM + (FURTHEST_MM - NEAREST_MM) * torch.rand(len(truth), dtype=truth.dtype, generator=generator)
    pairs = PoseLesson(
        projector=ct.projector,
        camera=camera,
        fixed=fixed_images(attenuation, valid, settings),
        camera_from_volume=displaced(truth, ct.points, ct.isocentre, errors, generator),
        true_camera_from_volume=truth,
        pivot=ct.isocentre,
        scale_mm=wanted.scale_mm,
    )
    rendered = RenderedPairs(pairs, *render_unrefined(pairs))
    target = Target(*(some.repeat_interleave(_STARTS, 0) for some in (attenuation, valid)))
    gradients = {name: _classical_gradient(one, target, rendered) for name, one in BASELINES.items()}
    return CtPairs(rendered, gradients)


def joined_pairs(parts: Sequence[CtPairs]) -> ValidationPairs:
    """The pairs of several CTs as one set; empty in a process that does not validate."""
    if not parts:
        return ValidationPairs((), {})
    true = torch.cat([part.rendered.pairs.true_gradient for part in parts])
    baselines = {name: median_angles(torch.cat([part.gradients[name] for part in parts]), true) for name in BASELINES}
    return ValidationPairs(tuple(part.rendered for part in parts), baselines)


def _classical_gradient(similarity: Similarity, target: Target, rendered: RenderedPairs) -> Tensor:
    """Gradient (N, 6) of the dissimilarity of the images, which is minus that of the similarity."""
    moving = rendered.moving[:, 0].cpu().double()
    jacobian = rendered.jacobian[:, 0].cpu().double()
    double = Target(target.image.double(), target.mask.double())
    # `agreement` gives the gradient of 1 - score.
    return similarity.agreement(double, moving, jacobian, normals=False).gradient


def median_angles(gradient: Tensor, true_gradient: Tensor) -> MedianAngles:
    """Medians over poses of the angles [deg] between gradients (N, 6); 180 where one is not finite."""
    found, true = gradient.detach().double().cpu(), true_gradient.double().cpu()
    parts = (slice(0, 6), slice(0, 3), slice(3, 6))
    whole, rotation, translation = (
        float(angle_between_deg(found[:, part], true[:, part]).nan_to_num(180.0).quantile(0.5)) for part in parts
    )
    return MedianAngles(whole, rotation, translation, len(found))


def angles_of_network(
    network: LearnedSimilarity, validation: ValidationPairs, device: torch.device
) -> tuple[MedianAngles, str]:
    """Median angles of the network's pose gradients, and why it cannot be used, empty where it can.

    The network is in evaluation mode meanwhile.
    """
    was_training = network.training
    network.eval()
    try:
        found = [one for part in validation.by_ct for one in _gradients(network, part, device)]
    finally:
        network.train(was_training)
    gradient = torch.cat([one.gradient.detach().cpu() for one in found])
    values = torch.cat([one.comparison.similarity.detach().cpu() for one in found])
    true = torch.cat([part.pairs.true_gradient for part in validation.by_ct])
    return median_angles(gradient, true), problem_of(values, gradient)


def problem_of(values: Tensor, gradient: Tensor) -> str:
    """Why a similarity with these values (N,) and pose gradients (N, 6) cannot be used, in words; empty if it can."""
    if not bool(values.isfinite().all() and gradient.isfinite().all()):
        return "a similarity that is no finite number"
    if not bool(gradient.any()) or float(values.max() - values.min()) <= _CONSTANT * float(values.abs().max()):
        return "a similarity that is the same for all poses"
    return ""


def _gradients(network: LearnedSimilarity, part: RenderedPairs, device: torch.device) -> list[PoseGradient]:
    """The network's pose gradients of one CT, some pairs at a time, detached from the graph."""
    if network.volume_network is None:
        moving = part.moving.split(_AT_ONCE), part.jacobian.split(_AT_ONCE)
        fixed = part.pairs.fixed.split(_AT_ONCE // _STARTS)
        return [
            _detached(gradient_of_images(network, *(some.to(device) for some in images)))
            for images in zip(fixed, *moving, strict=True)
        ]
    with torch.no_grad():
        maps = network.refine_volume(part.pairs.volume)
    return [_detached(exact_gradient(network, some, maps)) for some in _portions(part.pairs)]


def _portions(pairs: PoseLesson) -> list[PoseLesson]:
    poses = (pairs.camera_from_volume, pairs.true_camera_from_volume)
    rows = (pairs.fixed.split(_AT_ONCE // _STARTS), *(some.split(_AT_ONCE) for some in poses))
    return [
        replace(pairs, fixed=fixed, camera_from_volume=start, true_camera_from_volume=true)
        for fixed, start, true in zip(*rows, strict=True)
    ]


def _detached(found: PoseGradient) -> PoseGradient:
    similarity = found.comparison.similarity.detach()
    return PoseGradient(replace(found.comparison, similarity=similarity, decomposition=None), found.gradient.detach())
