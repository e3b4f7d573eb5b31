"""The three-dimensional residual network of ProST (Gao et al., MICCAI 2020), which turns a CT into maps to project."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .learned_similarity import REFINED_CHANNELS, SimilarityDescription

# Channels after each convolution: ProST's, and those of the correlation-driven network (Chen et al., ISBI 2024).
PROST_CHANNELS = (4, 8, 16, 8)
CORRELATION_CHANNELS = (4, 8, 16, 8, 4)


class VolumeNetwork(nn.Module):
    """3 x 3 x 3 convolutions with ReLU between them, whose result is added to the repeated volume.

    From volumes (B, 1, nk, nj, ni) of any size to (B, 3, nk, nj, ni). The renderer is linear in the result, so this
    network is differentiated only once and the published ReLU can be kept.
    """

    def __init__(self, channels: Sequence[int], batch_norm: bool) -> None:
        """channels: after each convolution but the last; batch_norm: as in the later version of ProST (TMI 2024)."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *channels[:-1]), channels, strict=True):
            layers.append(_convolution(before, after))
            layers += [nn.BatchNorm3d(after)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers, _convolution(channels[-1], REFINED_CHANNELS))

    def forward(self, volume: Tensor) -> Tensor:
        """Refined maps (B, 3, nk, nj, ni) of volumes (B, 1, nk, nj, ni)."""
        change: Tensor = self.layers(volume)
        return volume.expand(-1, REFINED_CHANNELS, -1, -1, -1) + change


def _convolution(before: int, after: int) -> nn.Conv3d:
    layer = nn.Conv3d(before, after, 3, padding=1)
    # Channels-last weights are twice as fast on CPUs for so few channels.
    layer.weight = nn.Parameter(layer.weight.detach().contiguous(memory_format=torch.channels_last_3d))
    return layer


def volume_network(
    description: SimilarityDescription, channels: Sequence[int] = PROST_CHANNELS, batch_norm: bool = False
) -> VolumeNetwork | None:
    """The 3D network of a description, None where it has none.

    Its published channels are few: they are increased but never reduced.
    """
    if not description.volume_network:
        return None
    wider = [max(count, description.channels(count)) for count in channels]
    return VolumeNetwork(wider, batch_norm)
