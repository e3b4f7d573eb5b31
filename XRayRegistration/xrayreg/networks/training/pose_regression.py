"""The lesson of pose regression: from one X-ray to the pose of the C-arm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...settings import PrecisionName, TrainingSettings
from ..data.batches import SubjectSource, make_batch
from ..data.subjects import render_soft_and_bone
from ..model.backbones import PoseNetwork
from ..model.canonical_frame import canonical_poses, volume_poses
from ..model.card import MedianErrors, ModelCard
from ..model.checkpoint import Checkpoint
from ..model.network_camera import pinhole
from ..model.template import Template
from .lesson import Figures, Validation
from .optimizer_step import Forward, LossOf, choose_precision
from .pose_loss import pose_loss
from .validation import ValidationSet, overall, validate


@dataclass(frozen=True, eq=False)
class PoseRegression:
    """See `lesson.Lesson`. template: the CT in whose frame the poses are, kept in the network's file."""

    network: PoseNetwork
    subjects: SubjectSource
    validation: ValidationSet
    template: Template | None = None
    error_name: str = "median error"
    error_unit: str = "mm"

    @property
    def trained(self) -> PoseNetwork:
        """The network only."""
        return self.network

    def choose_precision(self, wanted: PrecisionName, device: torch.device) -> tuple[PrecisionName, str]:
        """See `optimizer_step.choose_precision`."""
        return choose_precision(wanted, self.network, device)

    def batch_made_ahead(self, settings: TrainingSettings) -> bool:
        """Not where the loss renders too: numba cannot render on two threads at once on every machine."""
        return not (settings.loss.image or settings.loss.region)

    def batch(self, settings: TrainingSettings, number: int, device: torch.device) -> LossOf:
        """Simulated X-rays, and the loss of predictions for them; see `pose_loss`."""
        batch = make_batch(self.subjects, settings, number)
        subject, camera = batch.subject, pinhole(settings.camera)
        truth = canonical_poses(batch.poses, subject.isocentre)

        def render(poses: Tensor) -> Tensor:
            return render_soft_and_bone(subject, camera, volume_poses(poses, subject.isocentre))

        def loss_of(forward: Forward) -> tuple[Tensor, dict[str, float]]:
            hypotheses = forward(batch.inputs.to(device, memory_format=torch.channels_last))
            points = subject.points - subject.isocentre
            return pose_loss(hypotheses, truth, settings.loss, settings.camera, points, render, batch.integrals)

        return loss_of

    def validate(self, device: torch.device) -> Validation:
        """Median errors of predicted poses; see `validation.validate`."""
        found = validate(self.network, self.validation, device)
        return Validation(overall(found), found)

    def checkpoint(self, card: ModelCard, figures: Figures, state: dict[str, Any] | None = None) -> Checkpoint:
        """The network as a file."""
        errors = {kind: found for kind, found in figures.items() if isinstance(found, MedianErrors)}
        return Checkpoint(replace(card, validation=errors), self.network, state, template=self.template)
