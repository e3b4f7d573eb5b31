"""What a network can be taught: the loop does the same for each, whatever its batches, its loss and its figures are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from ...settings import PrecisionName, TrainingSettings
from ..model.card import MedianAngles, MedianErrors, ModelCard
from ..model.checkpoint import AnyCheckpoint
from .optimizer_step import LossOf

Figures = Mapping[str, MedianErrors] | Mapping[str, MedianAngles]


@dataclass(frozen=True)
class Validation:
    """How well a network does on poses that it is not trained on.

    error: the number by which networks are compared, lower where better. figures: medians by kind of image, or by what
    a gradient is of. problem: why the network cannot be used at all; empty where it can.
    """

    error: float
    figures: Figures
    problem: str = ""


class Lesson(Protocol):
    """One kind of lesson: pose regression or a learned similarity."""

    @property
    def network(self) -> nn.Module:
        """What the file will hold."""

    @property
    def trained(self) -> nn.Module:
        """The network and whatever else is learned for the lesson's sake."""

    @property
    def error_name(self) -> str:
        """What `Validation.error` is, such as "median error", in words."""

    @property
    def error_unit(self) -> str:
        """Its unit."""

    def choose_precision(self, wanted: PrecisionName, device: torch.device) -> tuple[PrecisionName, str]:
        """The number type that suits the network on `device`, and a sentence where something noteworthy decided."""

    def batch_made_ahead(self, settings: TrainingSettings) -> bool:
        """Whether a batch may be made on another thread while its predecessor is learned."""

    def batch(self, settings: TrainingSettings, number: int, device: torch.device) -> LossOf:
        """Batch `number`, a pure function of it and of the settings, as the loss of it."""

    def validate(self, device: torch.device) -> Validation:
        """How well the network does now."""

    def checkpoint(self, card: ModelCard, figures: Figures, state: dict[str, Any] | None = None) -> AnyCheckpoint:
        """The network as a file, its figures in the card."""
