"""Focal modulation (Yang et al., NeurIPS 2022) instead of attention, in a block with ConvNeXt's layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .global_pooling import ChannelNorm

# Sizes of the successive neighbourhoods of a position; the whole image is the last.
KERNELS = (3, 5)
_EXPANSION = 4


class FocalModulation(nn.Module):
    """Each position's query, modulated by gated means of increasing neighbourhoods; (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.enter = nn.Conv2d(channels, 2 * channels + len(KERNELS) + 1, 1)
        self.neighbourhoods = nn.ModuleList(
            [nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels) for size in KERNELS]
        )
        self.modulator, self.leave = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Modulated features (B, C, H, W)."""
        query, context, gates = self.enter(features).split([self.channels, self.channels, len(KERNELS) + 1], dim=1)
        heard = torch.zeros_like(query)
        for level, neighbourhood in enumerate(self.neighbourhoods):
            context = nn.functional.gelu(neighbourhood(context))
            heard = heard + context * gates[:, level : level + 1]
        heard = heard + nn.functional.gelu(context.mean((2, 3), keepdim=True)) * gates[:, -1:]
        out: Tensor = self.leave(query * self.modulator(heard))
        return out


class FocalBlock(nn.Module):
    """Focal modulation and a pointwise perceptron, each after a normalisation and with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulation = nn.Sequential(ChannelNorm(channels), FocalModulation(channels))
        wide = _EXPANSION * channels
        self.perceptron = nn.Sequential(
            ChannelNorm(channels), nn.Conv2d(channels, wide, 1), nn.GELU(), nn.Conv2d(wide, channels, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of the same shape."""
        features = features + self.modulation(features)
        out: Tensor = features + self.perceptron(features)
        return out
