"""The lesson of our own similarity, whose pose gradient is explicit: g = 2 M (p - q), for any two images of a batch.

p is the point of a DRR, M its derivatives by the six parameters of the pose, and q any target point: that of an X-ray,
or of another DRR. So a batch of A X-rays and B DRRs gives A B gradients and not B, each differentiated only once.
A linear layer on the points also has to predict the pose. It speeds up training and is not part of the network.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...geometry import transform_points
from ...settings import GradientLossName, PoseDistribution, TrainingSettings
from ..data.batches import SubjectSource
from ..data.pose_sampling import nominal_rotation
from ..model.embedding import EMBEDDED, EmbeddingSimilarity
from ..model.learned_similarity import LearnedSimilarity
from ..model.network_camera import pinhole
from ..model.template import Template
from .geodesic_gradients import GRADIENT_LOSSES, angle_between_deg, geodesic_gradient
from .optimizer_step import Forward, LossOf
from .pose_gradient import PoseLesson, render_unrefined
from .similarity_lesson import SimilarityLesson, Trained, similarity_settings, training_pairs
from .similarity_validation import ValidationPairs

# Size of the DRRs: the network uses only means over a grid of 16 x 16 cells, which a quarter of the rays determines.
_RENDERED_PX = 32
# Rotation matrix and translation.
_POSE_NUMBERS = 12
# Weight of the pose loss relative to the gradient loss, and the error at which it changes from squared to absolute.
_POSE_WEIGHT, _POSE_BETA = 10.0, 0.1
# Weight of a pair: exp(-(d / near)^2) with its geodesic distance d [radians]; far pairs keep a small weight, so that a
# descent converges from there too. The nearest have no well-defined direction.
_NEAR, _FAR_SHARE, _NEAREST = 0.5, 0.05, 0.05


class EmbeddingLesson(SimilarityLesson):
    """See `lesson.Lesson`. With a 3D network it is that of the other similarities: M then depends on weights."""

    network: EmbeddingSimilarity

    def __init__(
        self,
        network: EmbeddingSimilarity,
        subjects: SubjectSource,
        validation: ValidationPairs,
        template: Template | None = None,
    ) -> None:
        """See `SimilarityLesson`."""
        super().__init__(network, subjects, validation, template)
        if network.volume_network is None:
            self.pose_of_point = nn.Linear(EMBEDDED, _POSE_NUMBERS)
            # Equal in every process and every run of a seed, without drawing from the global generator.
            nn.init.zeros_(self.pose_of_point.weight)
            nn.init.zeros_(self.pose_of_point.bias)
            self.trained = Trained(network, self.pose_of_point)

    def batch(self, settings: TrainingSettings, number: int, device: torch.device) -> LossOf:
        """Simulated X-rays and DRRs, and the loss on the gradients of all their pairs."""
        if self.network.volume_network is not None:
            return super().batch(settings, number, device)
        wanted = similarity_settings(settings)
        pairs = training_pairs(self._subjects, settings, number, device)
        small = pinhole(replace(settings.camera, image_px=_RENDERED_PX))
        moving, jacobian = render_unrefined(replace(pairs, camera=small))
        starts, truth = pairs.camera_from_volume, pairs.true_camera_from_volume[:: wanted.starts]
        of_xrays, of_drrs = PairGradients.of(pairs, truth), PairGradients.of(pairs, starts[:: wanted.starts])
        poses = pose_numbers(torch.cat([truth, starts]), pairs, settings.poses).to(moving)

        def loss_of(forward: Forward) -> tuple[Tensor, dict[str, float]]:
            points, derivatives = self.network.moving_points(moving, jacobian)
            goals = self.network.fixed_encoder(pairs.fixed)
            gradients = of_xrays.gradients(points, derivatives, goals)
            angle = of_xrays.mean_angle_deg(gradients)
            loss = of_xrays.loss(gradients, wanted.gradient_loss)
            between = of_drrs.gradients(points, derivatives, points[:: wanted.starts])
            loss = loss + of_drrs.loss(between, wanted.gradient_loss)
            predicted = self.pose_of_point(torch.cat([goals, points]))
            of_pose = nn.functional.smooth_l1_loss(predicted, poses, beta=_POSE_BETA, reduction="none").mean(1)
            # X-rays are fewer than DRRs but weighted equally.
            pose_loss = of_pose[: len(truth)].mean() + of_pose[len(truth) :].mean()
            parts = {"gradient": float(loss.detach()), "pose": float(pose_loss.detach()), "angle_deg": angle}
            return loss + _POSE_WEIGHT * pose_loss, parts

        return loss_of


def similarity_lesson(
    network: LearnedSimilarity,
    subjects: SubjectSource,
    validation: ValidationPairs,
    template: Template | None = None,
) -> SimilarityLesson:
    """The lesson for a network of any architecture."""
    if isinstance(network, EmbeddingSimilarity):
        return EmbeddingLesson(network, subjects, validation, template)
    return SimilarityLesson(network, subjects, validation, template)


def pose_numbers(camera_from_volume: Tensor, pairs: PoseLesson, poses: PoseDistribution) -> Tensor:
    """Poses (N, 4, 4) as vectors (N, 12) of the order of one, 0 at the nominal view.

    The squared distance of two of them equals the squared geodesic distance for small angles: the rotation matrix
    relative to the nominal view over the root of two, and the pivot's position in units of `scale_mm`.
    """
    pose = camera_from_volume.to(pairs.pivot)
    turn = pose[:, :3, :3] @ nominal_rotation(poses).to(pose).mT - torch.eye(3).to(pose)
    place = transform_points(pose, pairs.pivot[None])[:, 0] - torch.tensor([0.0, 0.0, poses.sod_mm]).to(pose)
    return torch.cat([turn.flatten(1) / 2**0.5, place / pairs.scale_mm], 1)


class PairGradients:
    """For B starts and A goals: the true gradients (B, A, 6), and the weight of each pair (B, A)."""

    def __init__(self, true_gradient: Tensor) -> None:
        self.true_gradient = true_gradient
        distance = true_gradient.norm(dim=-1) / 2
        near = torch.exp(-((distance / _NEAR) ** 2)) + _FAR_SHARE * torch.exp(-distance)
        self.weight = torch.where(distance > _NEAREST, near, torch.zeros_like(near))

    @classmethod
    def of(cls, pairs: PoseLesson, goals: Tensor) -> PairGradients:
        """For the starts of `pairs` and goals (A, 4, 4)."""
        starts, count = pairs.camera_from_volume, len(goals)
        each = starts.repeat_interleave(count, 0), goals.repeat(len(starts), 1, 1)
        true = geodesic_gradient(*each, pairs.pivot, pairs.scale_mm)
        return cls(true.unflatten(0, (len(starts), count)).to(pairs.fixed))

    @staticmethod
    def gradients(points: Tensor, derivatives: Tensor, goals: Tensor) -> Tensor:
        """Pose gradients (B, A, 6) of the squared distances of points (B, N), with derivatives (B, 6, N), to (A, N)."""
        return 2 * torch.einsum("bpn,ban->bap", derivatives, points[:, None] - goals)

    def loss(self, gradients: Tensor, name: GradientLossName) -> Tensor:
        """Weighted mean of the losses of gradients (B, A, 6), a scalar; 0 where all weights are zero."""
        losses = GRADIENT_LOSSES[name](gradients.flatten(0, 1), self.true_gradient.flatten(0, 1))
        weight = self.weight.flatten()
        return (losses * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)

    @torch.no_grad()
    def mean_angle_deg(self, gradients: Tensor) -> float:
        """Weighted mean angle between gradients (B, A, 6) and the true ones."""
        angles = angle_between_deg(gradients, self.true_gradient)
        return float((angles * self.weight).sum() / self.weight.sum().clamp(min=torch.finfo(angles.dtype).tiny))
