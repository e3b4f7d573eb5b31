"""Split attention (ResNeSt: Zhang et al., CVPR workshops 2022): two groups of features weighted against each other."""

from __future__ import annotations

from torch import Tensor, nn

SPLITS = 2
_NARROWING = 4


class SplitAttention(nn.Module):
    """A 3 x 3 convolution into two groups, which a softmax over their global means weighs channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // _NARROWING)
        self.split = nn.Sequential(
            nn.Conv2d(channels, SPLITS * channels, 3, padding=1, groups=SPLITS),
            nn.GroupNorm(1, SPLITS * channels),
            nn.GELU(),
        )
        self.weigh = nn.Sequential(nn.Linear(channels, inner), nn.GELU(), nn.Linear(inner, SPLITS * channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of the same shape."""
        groups = self.split(features).unflatten(1, (SPLITS, -1))
        weights = self.weigh(groups.sum(1).mean((2, 3))).unflatten(1, (SPLITS, -1)).softmax(dim=1)
        return (groups * weights[..., None, None]).sum(1)


class SplitAttentionBottleneck(nn.Module):
    """1 x 1, split attention and 1 x 1 with a residual connection; (B, C, H, W) to the same shape. Smooth."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // SPLITS)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.GELU(), SplitAttention(inner), nn.Conv2d(inner, channels, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of the same shape."""
        change: Tensor = self.layers(features)
        return features + change
