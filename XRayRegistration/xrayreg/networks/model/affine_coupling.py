"""Invertible blocks by affine coupling (Dinh et al., 2017), as the correlation-driven network's local branch has them.

Half of the channels decide how the other half is scaled and shifted, so that no detail of an image is lost: the input
can be computed from the output (Chen et al., ISBI 2024; methods.md A3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Expansion of the channels inside an inverted bottleneck.
_EXPANSION = 2


def inverted_bottleneck(channels: int) -> nn.Sequential:
    """1 x 1 to twice the channels, a 3 x 3 convolution of each channel, 1 x 1 back; no normalisation.

    The publication specifies no activation; GELU is smooth.
    """
    wide = _EXPANSION * channels
    return nn.Sequential(
        nn.Conv2d(channels, wide, 1),
        nn.GELU(),
        nn.Conv2d(wide, wide, 3, padding=1, groups=wide, padding_mode="reflect"),
        nn.GELU(),
        nn.Conv2d(wide, channels, 1),
    )


class AffineCoupling(nn.Module):
    """Channels mixed by a 1 x 1 convolution and halved into z1, z2; then z2 += phi(z1), z1 = z1 exp(rho(z2)) + eta(z2).

    Takes features (B, C, H, W), C even, to features of the same shape. The mixing starts as an orthogonal matrix.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.empty(channels, channels))
        nn.init.orthogonal_(self.mix)
        self.phi, self.rho, self.eta = (inverted_bottleneck(channels // 2) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        """The block's output (B, C, H, W)."""
        one, other = torch.einsum("dc,bchw->bdhw", self.mix, features).chunk(2, dim=1)
        other = other + self.phi(one)
        one = one * self.rho(other).exp() + self.eta(other)
        return torch.cat([one, other], dim=1)

    def inverse(self, output: Tensor) -> Tensor:
        """The features (B, C, H, W) that `forward` makes `output` of."""
        one, other = output.chunk(2, dim=1)
        one = (one - self.eta(other)) * (-self.rho(other)).exp()
        other = other - self.phi(one)
        mixed = torch.cat([one, other], dim=1)
        return torch.linalg.solve(self.mix, mixed.flatten(2)).unflatten(2, mixed.shape[2:])


class InvertibleBranch(nn.Module):
    """Affine couplings one after the other; (B, C, H, W) to the same shape and back."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([AffineCoupling(channels) for _ in range(blocks)])

    def forward(self, features: Tensor) -> Tensor:
        """The branch's output (B, C, H, W)."""
        for block in self.blocks:
            features = block(features)
        return features

    def inverse(self, output: Tensor) -> Tensor:
        """The features (B, C, H, W) that `forward` makes `output` of."""
        for block in reversed(self.blocks):
            assert isinstance(block, AffineCoupling)
            output = block.inverse(output)
        return output
