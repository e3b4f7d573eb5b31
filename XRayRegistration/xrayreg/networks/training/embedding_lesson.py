"""The lesson of our own similarity, whose pose gradient is written out: g = 2 M (p - q), for any two images of a batch.

p is the point of a DRR, M its derivatives by the six parameters of the pose, and q any point to come to: that of an
X-ray, or of another DRR. So a batch of A X-rays and B DRRs gives A B gradients and not B, each differentiated but once.
A linear layer on the points also has to predict the pose. It is not kept: it makes training faster.
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

# DRRs are rendered this small: the network sees means over a grid of 16 places, and a quarter of the rays gives them.
_RENDERED_PX = 32
# Rotation matrix and translation.
_POSE_NUMBERS = 12
# The loss on poses, beside that on gradients, and where its errors begin to count by their size, not their square.
_POSE_WEIGHT, _POSE_BETA = 10.0, 0.1
# A pair counts as exp(-(d / near)^2), d being its geodesic distance [radians]; those far apart a little, so that a
# descent comes back from there too. The nearest have no direction to speak of.
_NEAR, _FAR_SHARE, _NEAREST = 0.5, 0.05, 0.05


class EmbeddingLesson(SimilarityLesson):
    """See `lesson.Lesson`. With a 3D network it is the lesson of the other similarities: M is then not data."""

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
            # The same in every process and every run of a seed, without drawing from the global generator.
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
            # X-rays are fewer than DRRs and count as much.
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
    """Poses (N, 4, 4) as numbers (N, 12) of the order of one, 0 at the nominal view.

    The squared distance of two of them is that of the geodesic distance for small angles: the rotation matrix from the
    nominal view on over the root of two, and the pivot's place in units of `scale_mm`.
    """
    pose = camera_from_volume.to(pairs.pivot)
    turn = pose[:, :3, :3] @ nominal_rotation(poses).to(pose).mT - torch.eye(3).to(pose)
    place = transform_points(pose, pairs.pivot[None])[:, 0] - torch.tensor([0.0, 0.0, poses.sod_mm]).to(pose)
    return torch.cat([turn.flatten(1) / 2**0.5, place / pairs.scale_mm], 1)


class PairGradients:
    """Of B starts and A goals: the true gradients (B, A, 6), and how much each pair counts (B, A)."""

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
        """Weighted mean of the losses of gradients (B, A, 6), a scalar; 0 where no pair counts."""
        losses = GRADIENT_LOSSES[name](gradients.flatten(0, 1), self.true_gradient.flatten(0, 1))
        weight = self.weight.flatten()
        return (losses * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)

    @torch.no_grad()
    def mean_angle_deg(self, gradients: Tensor) -> float:
        """Weighted mean angle between gradients (B, A, 6) and the true ones."""
        angles = angle_between_deg(gradients, self.true_gradient)
        return float((angles * self.weight).sum() / self.weight.sum().clamp(min=torch.finfo(angles.dtype).tiny))
