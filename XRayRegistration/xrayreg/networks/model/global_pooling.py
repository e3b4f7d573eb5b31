"""An encoder whose blocks mix positions only by global pooling (methods.md A3; after PoolFormer, Yu et al., CVPR 2022).

The shared encoder of the correlation-driven network's branches (Chen et al., ISBI 2024): two 3 x 3 convolutions to 8
channels, then four stages of two blocks, each after a convolution that halves the image.
"""

from __future__ import annotations

from torch import Tensor, nn

STEM, STAGES, BLOCKS = 8, (16, 32, 64, 64), 2
DROPOUT = 0.1
_EXPANSION = 2


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each position; (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features (B, C, H, W)."""
        normed: Tensor = self.norm(features.movedim(1, -1)).movedim(-1, 1)
        return normed


class GlobalPool(nn.Module):
    """Adds a map scaled by the channel's spatial mean and a fixed map to each channel, twice; all share both maps."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.spread = nn.Linear(1, side**2)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, side, side) of the same shape."""
        for _ in range(2):
            mean = features.mean((2, 3))[..., None]
            features = features + self.spread(mean).unflatten(-1, (self.side, self.side))
        return features


class PoolingBlock(nn.Module):
    """Global pooling, then a pointwise perceptron with a residual connection, each after a normalisation."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(ChannelNorm(channels), GlobalPool(side))
        wide = _EXPANSION * channels
        self.perceptron = nn.Sequential(
            ChannelNorm(channels),
            nn.Conv2d(channels, wide, 1),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Conv2d(wide, channels, 1),
            nn.Dropout(DROPOUT),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, side, side) of the same shape."""
        mixed = self.mix(features)
        out: Tensor = mixed + self.perceptron(mixed)
        return out


def pooling_encoder(image_px: int, inputs: int, stem: int, stages: tuple[int, ...]) -> nn.Sequential:
    """From images (B, inputs, H, W) of `image_px` to features (B, stages[-1], H/16, W/16), each halving rounded down.

    The published ReLU of the first two convolutions is kept.
    """
    layers: list[nn.Module] = []
    for before in (inputs, stem):
        layers += [nn.Conv2d(before, stem, 3, padding=1), nn.InstanceNorm2d(stem), nn.ReLU()]
    side, before = image_px, stem
    for channels in stages:
        side //= 2
        layers.append(nn.Conv2d(before, channels, 2, stride=2))
        layers += [PoolingBlock(channels, side) for _ in range(BLOCKS)]
        before = channels
    return nn.Sequential(*layers)
