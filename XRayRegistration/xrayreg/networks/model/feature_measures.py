"""Comparison of features of two images: differences and correlations, per pair."""

from __future__ import annotations

import torch
from torch import Tensor


def repeated(images: Tensor, channels: int) -> Tensor:
    """Images (B, 1, H, W) repeated to `channels` equal channels; images with that many channels are unchanged."""
    return images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else images


def mean_square(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference (B,) of features (B, ...)."""
    return (one - other).square().flatten(1).mean(1)


def normalised_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Correlation (B,) of flattened features (B, ...); 0 where one of them is constant."""
    first, second = one.flatten(1), other.flatten(1)
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    # Added below the root, as a constant would otherwise have an infinite derivative.
    tiny = torch.finfo(one.dtype).eps
    size = ((first.square().sum(1) + tiny) * (second.square().sum(1) + tiny)).sqrt()
    return (first * second).sum(1) / size
