"""Interface of training tasks: the loop is the same for each, whatever its batches, loss and figures."""

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
    """Accuracy of a network on held-out poses.

    error: the number by which networks are compared, lower is better. figures: medians by kind of image, or by the
    method that a gradient is from. problem: why the network cannot be used at all; empty where it can.
    """

    error: float
    figures: Figures
    problem: str = ""


class Lesson(Protocol):
    """A training task: pose regression or a learned similarity."""

    @property
    def network(self) -> nn.Module:
        """The network stored in the file."""

    @property
    def trained(self) -> nn.Module:
        """The network and other modules trained with it."""

    @property
    def error_name(self) -> str:
        """The name of `Validation.error`, such as "median error"."""

    @property
    def error_unit(self) -> str:
        """Its unit."""

    def choose_precision(self, wanted: PrecisionName, device: torch.device) -> tuple[PrecisionName, str]:
        """The number type for training the network on `device`, and a sentence on the reason where it is noteworthy."""

    def batch_made_ahead(self, settings: TrainingSettings) -> bool:
        """Whether a batch may be made on another thread while the network trains on the previous one."""

    def batch(self, settings: TrainingSettings, number: int, device: torch.device) -> LossOf:
        """The loss on batch `number`, which is a pure function of it and of the settings."""

    def validate(self, device: torch.device) -> Validation:
        """Validate the current network."""

    def checkpoint(self, card: ModelCard, figures: Figures, state: dict[str, Any] | None = None) -> AnyCheckpoint:
        """The network as a file, its figures in the card."""
