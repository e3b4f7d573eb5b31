"""Losses weighted by learned uncertainties (Kendall et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.learned_similarity import FeatureComparison


class UncertaintyWeights(nn.Module):
    """The sum over losses L of L / (2 s^2) + log s, whose s are learnt.

    Stored as log s^2, which is unconstrained, whereas s would have to stay away from 0. They belong to the training,
    not to the similarity: pass them to the optimiser beside the network's weights.
    """

    def __init__(self, losses: int = 2) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(losses))

    def forward(self, losses: Tensor) -> Tensor:
        """The weighted sum, a scalar, of losses (N,)."""
        return (losses * (-self.log_variances).exp() + self.log_variances).sum() / 2


def total_loss(gradient_loss: Tensor, comparison: FeatureComparison, weights: UncertaintyWeights) -> Tensor:
    """The training loss, a scalar: the loss on pose gradients, and the decomposition loss of a network that has one
    (Chen et al., ISBI 2024), weighted against each other."""
    if comparison.decomposition is None:
        return gradient_loss
    total: Tensor = weights(torch.stack([gradient_loss, comparison.decomposition.mean()]))
    return total
