"""SOPI's similarity of embedded features (ICASSP 2024; methods.md A4): masked differences on three levels.

Each image has a composite encoder similar to CBNet (Liu et al., AAAI 2020): an assisting backbone of split attention
passes its features, level by level, to a leading one of focal modulation. The paper does not specify kernel sizes and
activations; all of ours are smooth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .focal_modulation import FocalBlock
from .learned_similarity import FeatureComparison, LearnedSimilarity, SimilarityDescription, for_each_image
from .split_attention import SplitAttentionBottleneck
from .volume_network import volume_network

LEVELS = (64, 128, 256)


class CompositeEncoder(nn.Module):
    """From images (B, C, H, W) to features of 64, 128 and 256 channels at a half, a quarter, an eighth of the size."""

    def __init__(self, channels: int, description: SimilarityDescription) -> None:
        super().__init__()
        levels = [description.channels(count) for count in LEVELS]
        steps = list(zip((channels, *levels[:-1]), levels, strict=True))
        self.assisting = nn.ModuleList(
            [nn.Sequential(_halved(before, after), SplitAttentionBottleneck(after)) for before, after in steps]
        )
        self.halvings = nn.ModuleList([_halved(before, after) for before, after in steps])
        self.handed_over = nn.ModuleList([nn.Conv2d(after, after, 1) for after in levels])
        self.leading = nn.ModuleList([FocalBlock(after) for after in levels])

    def forward(self, images: Tensor) -> list[Tensor]:
        """The leading backbone's features, finest first."""
        assisting, leading, levels = images, images, []
        for assist, halve, hand_over, lead in zip(
            self.assisting, self.halvings, self.handed_over, self.leading, strict=True
        ):
            assisting = assist(assisting)
            leading = lead(halve(leading) + hand_over(assisting))
            levels.append(leading)
        return levels


def _halved(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=2, padding=1)


class SopiSimilarity(LearnedSimilarity):
    """Mean squared differences of the embedded features within the CT's projection; the mean of the three levels."""

    def __init__(self, description: SimilarityDescription) -> None:
        super().__init__(description, volume_network(description))
        self.fixed_encoder = CompositeEncoder(1, description)
        self.moving_encoder = CompositeEncoder(description.moving_channels, description)

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`."""
        self.require_images(fixed, moving)
        mask = projected_mask(moving)
        of_fixed = [for_each_image(level, len(moving)) for level in self.fixed_encoder(fixed)]
        levels = zip(of_fixed, self.moving_encoder(moving), strict=True)
        distances = [masked_mean_square(one, other, mask) for one, other in levels]
        return FeatureComparison(torch.stack(distances).mean(0))


def projected_mask(moving: Tensor) -> Tensor:
    """Mask (B, 1, H, W): 1 where any channel of images (B, C, H, W) is not zero, else 0; all 1 for an empty image.

    Otherwise a CT outside the image would be the most similar of all.
    """
    shown = (moving.detach() != 0).any(1, keepdim=True)
    return (shown | ~shown.any(dim=(2, 3), keepdim=True)).to(moving)


def masked_mean_square(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference (B,) of features (B, C, h, w) under a mask (B, 1, H, W), averaged down to their size."""
    weights = nn.functional.adaptive_avg_pool2d(mask, (one.shape[-2], one.shape[-1]))
    squares = (one - other).square().mean(1, keepdim=True)
    return (squares * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
