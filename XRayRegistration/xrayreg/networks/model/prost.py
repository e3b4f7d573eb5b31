"""ProST's similarity (Gao et al., MICCAI 2020): the distance between two encoders' features of X-ray and projection."""

from __future__ import annotations

from torch import Tensor, nn

from .feature_measures import mean_square
from .learned_similarity import FeatureComparison, LearnedSimilarity, SimilarityDescription, for_each_image
from .volume_network import volume_network

STAGES, ENCODED = (16, 64, 128), 64
# Reduction of the channels inside a bottleneck, as in residual networks (He et al., 2016).
_NARROWING = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with a residual connection.

    The paper specifies no activation inside it; GELU is smooth, so that the second derivative needed in training is
    not zero almost everywhere, as that of ReLU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // _NARROWING)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.GELU(),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) of the same shape."""
        change: Tensor = self.layers(features)
        return features + change


def encoder(channels: int, description: SimilarityDescription) -> nn.Sequential:
    """From images (B, channels, H, W) to features (B, 64 width, H/8, W/8), rounded down.

    Three stages of 16, 64 and 128 channels (a 3 x 3 convolution, a bottleneck, maximum pooling), then a convolution
    to 64 and the published ReLU.
    """
    layers: list[nn.Module] = []
    for published in STAGES:
        after = description.channels(published)
        layers += [nn.Conv2d(channels, after, 3, padding=1), Bottleneck(after), nn.MaxPool2d(2)]
        channels = after
    layers += [nn.Conv2d(channels, description.channels(ENCODED), 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class ProstSimilarity(LearnedSimilarity):
    """Mean squared difference of the encodings of an X-ray and of a projection, by encoders with their own weights."""

    def __init__(self, description: SimilarityDescription) -> None:
        super().__init__(description, volume_network(description))
        self.fixed_encoder = encoder(1, description)
        self.moving_encoder = encoder(description.moving_channels, description)

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`."""
        self.require_images(fixed, moving)
        of_fixed = for_each_image(self.fixed_encoder(fixed), len(moving))
        return FeatureComparison(mean_square(of_fixed, self.moving_encoder(moving)))
