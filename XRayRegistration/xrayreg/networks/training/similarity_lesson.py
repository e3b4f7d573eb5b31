"""The lesson of a learned similarity: its gradient by the pose is fitted to that of the geodesic distance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...settings import PrecisionName, SimilaritySettings, TrainingSettings
from ..data.batches import SubjectSource, make_batch, seeded_generator
from ..data.start_sampling import sample_starts
from ..inference.similarity_inputs import ct_of_subject, fixed_channel
from ..model.card import MedianAngles, ModelCard
from ..model.checkpoint import SimilarityCheckpoint
from ..model.learned_similarity import LearnedSimilarity
from ..model.network_camera import pinhole
from ..model.template import Template
from .geodesic_gradients import angle_between_deg
from .lesson import Figures, Validation
from .optimizer_step import Forward, LossOf
from .pose_gradient import PoseLesson, exact_gradient, gradient_loss, gradient_of_images, render_unrefined
from .similarity_validation import ValidationPairs, angles_of_network
from .uncertainty_weights import UncertaintyWeights, total_loss

# A separate random stream, used by neither batches nor validation.
_STARTS = 3


class Trained(nn.Module):
    """The similarity, and the trainable weights of its losses."""

    def __init__(self, similarity: LearnedSimilarity, besides: nn.Module) -> None:
        super().__init__()
        self.similarity, self.besides = similarity, besides


class SimilarityLesson:
    """See `lesson.Lesson`."""

    error_name, error_unit = "median angle to the geodesic gradient", "degrees"

    def __init__(
        self,
        network: LearnedSimilarity,
        subjects: SubjectSource,
        validation: ValidationPairs,
        template: Template | None = None,
    ) -> None:
        """template: the CT in whose frame the subjects lie, kept in the network's file."""
        self.network, self.loss_weights = network, UncertaintyWeights()
        self.trained = Trained(network, self.loss_weights)
        self._subjects, self._validation, self._template = subjects, validation, template

    def choose_precision(self, wanted: PrecisionName, device: torch.device) -> tuple[PrecisionName, str]:
        """Always float32: 16 bits are too imprecise for second derivatives."""
        return "float32", "" if wanted in ("auto", "float32") else "trained in float32, as similarities are"

    def batch_made_ahead(self, settings: TrainingSettings) -> bool:
        """Not with a 3D network, whose loss renders: numba cannot render on two threads at once on every machine."""
        return self.network.volume_network is None

    def batch(self, settings: TrainingSettings, number: int, device: torch.device) -> LossOf:
        """Simulated X-rays, each with several starts, and the loss on the gradients there."""
        pairs = training_pairs(self._subjects, settings, number, device)
        rendered = render_unrefined(pairs) if self.network.volume_network is None else None
        name = similarity_settings(settings).gradient_loss

        def loss_of(forward: Forward) -> tuple[Tensor, dict[str, float]]:
            with torch.random.fork_rng(devices=[]):
                # Dropout draws from the global generator; a resumed run has to draw the same numbers.
                torch.manual_seed(settings.seed + number)
                if rendered is None:
                    found = exact_gradient(self.network, pairs)
                else:
                    found = gradient_of_images(self.network, pairs.fixed, *rendered)
            loss = gradient_loss(found, pairs, name)
            angle = angle_between_deg(found.gradient.detach().cpu().double(), pairs.true_gradient.cpu())
            parts = {"gradient": float(loss.detach()), "angle_deg": float(angle.mean())}
            if found.comparison.decomposition is not None:
                parts["decomposition"] = float(found.comparison.decomposition.detach().mean())
            return total_loss(loss, found.comparison, self.loss_weights), parts

        return loss_of

    def validate(self, device: torch.device) -> Validation:
        """Median angles between pose gradients and geodesic ones at held-out poses, beside classical baselines."""
        angles, problem = angles_of_network(self.network, self._validation, device)
        return Validation(angles.whole_deg, {"network": angles, **self._validation.baselines}, problem)

    def checkpoint(
        self, card: ModelCard, figures: Figures, state: dict[str, Any] | None = None
    ) -> SimilarityCheckpoint:
        """The network as a file."""
        angles = {kind: found for kind, found in figures.items() if isinstance(found, MedianAngles)}
        return SimilarityCheckpoint(replace(card, angles=angles), self.network, state, template=self._template)


def training_pairs(
    subjects: SubjectSource, settings: TrainingSettings, number: int, device: torch.device
) -> PoseLesson:
    """The X-rays and starts of batch `number`: a pure function of it and of the settings."""
    wanted = similarity_settings(settings)
    batch = make_batch(subjects, settings, number)
    ct = ct_of_subject(batch.subject, settings, settings.engine, settings.device)
    generator = seeded_generator(settings.seed, number, _STARTS)
    starts = sample_starts(batch.poses, ct.points, ct.isocentre, wanted, settings.poses, generator)
    return PoseLesson(
        projector=ct.projector,
        camera=pinhole(settings.camera),
        fixed=fixed_channel(batch.inputs, settings).to(device),
        camera_from_volume=starts,
        true_camera_from_volume=batch.poses.repeat_interleave(wanted.starts, 0),
        pivot=ct.isocentre,
        scale_mm=wanted.scale_mm,
    )


def similarity_settings(settings: TrainingSettings) -> SimilaritySettings:
    """The settings of a similarity's training; defaults where none are given."""
    return settings.similarity or SimilaritySettings()
