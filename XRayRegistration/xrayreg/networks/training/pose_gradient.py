"""The gradient of a learned similarity with respect to the pose, differentiable by the network's weights.

Two implementations give the same numbers (methods.md A1).

- `double_backward_gradient`, the readable one: torch differentiates a renderer of torch operations twice.
- `exact_gradient`, the fast one: g = J^T dL/dI with the six-column image Jacobian J of the compiled renderer. Without a
  3D network J is data. With one, image and Jacobian are linear in the refined volume, and one adjoint render propagates
  the loss's derivatives by both to the 3D network's weights. Only the 2D network is differentiated twice.

Rendered images are line integrals through attenuation relative to water, in units of `scale_mm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry import Camera, pose_difference, retract
from ...render import Projector, StackedProjector, render_channels
from ...render.torch_engine import TorchProjector
from ...scene import Attenuation
from ...settings import GradientLossName
from ..model.learned_similarity import FeatureComparison, LearnedSimilarity
from ..model.moving_images import moving_images, unrefined_images, volume_of
from .geodesic_gradients import GRADIENT_LOSSES, geodesic_gradient, parameter_tangents


@dataclass(frozen=True, eq=False)
class PoseLesson:
    """B poses of one CT before one camera, and the X-rays that the network compares with.

    projector: the CT, prepared for an engine. `exact_gradient` renders with it where there is no 3D network.
    camera: of images as large as the network's.
    fixed: X-rays (A, 1, H, W), each for B / A consecutive poses.
    camera_from_volume: (B, 4, 4) where the CT is rendered, in float64.
    true_camera_from_volume: (B, 4, 4) where the X-rays were taken.
    pivot: (3,) in the volume frame [mm]; scale_mm: millimetres equivalent to a radian, in ProST half the CT's size.
    base_camera_from_volume: (B, 4, 4) where the six parameters are 0 (see `geodesic_gradients`); none: the poses.
    """

    projector: Projector
    camera: Camera
    fixed: Tensor
    camera_from_volume: Tensor
    true_camera_from_volume: Tensor
    pivot: Tensor
    scale_mm: float
    base_camera_from_volume: Tensor | None = None

    @property
    def volume(self) -> Tensor:
        """The CT (nk, nj, ni) as network input: attenuation relative to water."""
        return volume_of(self.projector)

    @property
    def true_gradient(self) -> Tensor:
        """Gradient (B, 6) of the squared geodesic distance to the truth."""
        return geodesic_gradient(
            self.camera_from_volume,
            self.true_camera_from_volume,
            self.pivot,
            self.scale_mm,
            self.base_camera_from_volume,
        )


@dataclass(frozen=True, eq=False)
class PoseGradient:
    """The network's output for the pairs, and the gradient (B, 6) of the similarity by the poses' parameters."""

    comparison: FeatureComparison
    gradient: Tensor


Route = Callable[[LearnedSimilarity, PoseLesson], PoseGradient]


def double_backward_gradient(network: LearnedSimilarity, lesson: PoseLesson) -> PoseGradient:
    """The pose gradient by torch alone, through every sample of the renderer; differentiable by all weights."""
    maps, grid = network.refine_volume(lesson.volume), lesson.projector.grid
    projector = StackedProjector([TorchProjector(Attenuation(one, grid)) for one in maps])
    base = lesson.camera_from_volume if lesson.base_camera_from_volume is None else lesson.base_camera_from_volume
    units = base.new_tensor([1.0] * 3 + [lesson.scale_mm] * 3)
    parameters = pose_difference(lesson.camera_from_volume, base, lesson.pivot) / units
    parameters = parameters.detach().requires_grad_()
    poses = retract(base, parameters * units, lesson.pivot)
    moving = render_channels(projector, lesson.camera, poses) / lesson.scale_mm
    comparison = network.compare(lesson.fixed, moving)
    (gradient,) = torch.autograd.grad(comparison.similarity.sum(), parameters, create_graph=True)
    return PoseGradient(comparison, gradient)


def exact_gradient(network: LearnedSimilarity, lesson: PoseLesson, maps: Tensor | None = None) -> PoseGradient:
    """The pose gradient from the image Jacobian; differentiable by all weights.

    maps: (C, nk, nj, ni) precomputed by `refine_volume`, for several calls without training in between; gradients then
        do not reach the 3D network.
    Raises InputError where a 3D network needs the compiled renderer and numba is missing or the CT is not on the CPU.
    """
    images = moving_images(
        network,
        lesson.projector,
        lesson.camera,
        lesson.camera_from_volume,
        _tangents(lesson),
        lesson.scale_mm,
        lesson.fixed,
        maps,
    )
    return gradient_of_images(network, lesson.fixed, *images)


def gradient_of_images(network: LearnedSimilarity, fixed: Tensor, moving: Tensor, jacobian: Tensor) -> PoseGradient:
    """The pose gradient for X-rays (A, 1, H, W), images (B, C, H, W) and their derivatives (B, C, 6, H, W)."""
    if not moving.requires_grad:
        moving = moving.detach().requires_grad_()
    comparison = network.compare(fixed, moving)
    (by_image,) = torch.autograd.grad(comparison.similarity.sum(), moving, create_graph=True)
    return PoseGradient(comparison, torch.einsum("bchw,bcphw->bp", by_image, jacobian))


def render_unrefined(lesson: PoseLesson) -> tuple[Tensor, Tensor]:
    """Images (B, 1, H, W) of the unrefined CT and their derivatives (B, 1, 6, H, W) by the parameters."""
    return unrefined_images(
        lesson.projector,
        lesson.camera,
        lesson.camera_from_volume,
        _tangents(lesson),
        lesson.scale_mm,
        lesson.fixed,
    )


def gradient_loss(found: PoseGradient, lesson: PoseLesson, name: GradientLossName) -> Tensor:
    """Mean over the poses, a scalar, of the loss between the network's gradient and the geodesic one."""
    return GRADIENT_LOSSES[name](found.gradient, lesson.true_gradient.to(found.gradient.device)).mean()


def _tangents(lesson: PoseLesson) -> Tensor:
    return parameter_tangents(lesson.camera_from_volume, lesson.pivot, lesson.scale_mm, lesson.base_camera_from_volume)
