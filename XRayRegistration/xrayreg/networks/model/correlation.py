"""The correlation-driven similarity (Chen et al., ISBI 2024; methods.md A3): global and local features of both images.

A shared encoder feeds a global branch, which mixes frequencies and has weights for each image, and a local one of
invertible blocks that both images share. Squared differences of the features go through a head for each branch, and the
similarity is the product of the two heads' numbers. The released code does not specify how these are combined; here
each is positive, so that the product is small only if both are small. A published head has 177 million weights, because
it takes the features of every position; ours takes their mean over the image and has some thousands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...settings import DecompositionForm
from .affine_coupling import InvertibleBranch
from .feature_measures import normalised_correlation, repeated
from .fourier_mixing import FourierBlock
from .global_pooling import STAGES, STEM, pooling_encoder
from .learned_similarity import (
    REFINED_CHANNELS,
    FeatureComparison,
    LearnedSimilarity,
    SimilarityDescription,
    for_each_image,
)
from .volume_network import CORRELATION_CHANNELS, volume_network

COUPLINGS = 3
# The published layers 8192-4096 and 1024-256-1, in the same proportions except for one.
HEAD, SCORE = (128, 64), (32, 16)
# Keeps quotients of correlations finite.
EPSILON = 0.01


def decomposition(global_correlation: Tensor, local_correlation: Tensor, form: DecompositionForm) -> Tensor:
    """Decomposition loss (B,) of features, from the correlations (B,) between the images' features.

    printed: (1 + global) / (1 + local + eps): grows with the correlation of global features and falls with that of
        local ones, as the printed quotient does, but bounded, because correlations may be 0 and negative.
    opposite: the same with the two exchanged, in the sense of the text and of CDDFuse (Zhao et al., CVPR 2023):
        features shared by images of two kinds are global, those specific to one kind are local.
    ratio: the printed quotient global / local + eps itself, the local correlation's size being at least eps.
    """
    if form == "printed":
        return (1 + global_correlation) / (1 + local_correlation + EPSILON)
    if form == "opposite":
        return (1 + local_correlation) / (1 + global_correlation + EPSILON)
    sign = torch.where(local_correlation < 0, -1.0, 1.0).to(local_correlation)
    return global_correlation / (sign * local_correlation.abs().clamp(min=EPSILON)) + EPSILON


class _Head(nn.Module):
    """One positive number (B,) of squared feature differences (B, C, H, W): a score times a gate from 0 to 1."""

    def __init__(self, channels: int, description: SimilarityDescription) -> None:
        super().__init__()
        first, second = (description.channels(count) for count in HEAD)
        self.shared = nn.Sequential(nn.Linear(channels, first), nn.GELU(), nn.Linear(first, second), nn.GELU())
        self.score, self.gate = (self._number(second, description) for _ in range(2))

    @staticmethod
    def _number(before: int, description: SimilarityDescription) -> nn.Sequential:
        first, second = (description.channels(count) for count in SCORE)
        return nn.Sequential(
            nn.Linear(before, first), nn.GELU(), nn.Linear(first, second), nn.GELU(), nn.Linear(second, 1)
        )

    def forward(self, differences: Tensor) -> Tensor:
        shared = self.shared(differences.mean((2, 3)))
        number = nn.functional.softplus(self.score(shared)) * self.gate(shared).sigmoid()
        return number[:, 0]


class CorrelationSimilarity(LearnedSimilarity):
    """Dual-branch similarity; its comparison includes the decomposition loss, which training minimises too."""

    def __init__(self, description: SimilarityDescription, form: DecompositionForm = "printed") -> None:
        super().__init__(description, volume_network(description, CORRELATION_CHANNELS))
        self.form: DecompositionForm = form
        stages = tuple(description.channels(count) for count in STAGES)
        features = stages[-1]
        self.encoder = pooling_encoder(description.image_px, REFINED_CHANNELS, description.channels(STEM), stages)
        self.fixed_global, self.moving_global = FourierBlock(features), FourierBlock(features)
        self.local = InvertibleBranch(features, COUPLINGS)
        self.global_head, self.local_head = _Head(features, description), _Head(features, description)

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`; the similarity is above 0."""
        self.require_images(fixed, moving)
        of_fixed, of_moving = (self.encoder(repeated(image, REFINED_CHANNELS)) for image in (fixed, moving))
        global_fixed, local_fixed = (
            for_each_image(branch(of_fixed), len(moving)) for branch in (self.fixed_global, self.local)
        )
        global_moving, local_moving = self.moving_global(of_moving), self.local(of_moving)
        far = self.global_head((global_fixed - global_moving).square())
        near = self.local_head((local_fixed - local_moving).square())
        correlations = (
            normalised_correlation(global_fixed, global_moving),
            normalised_correlation(local_fixed, local_moving),
        )
        return FeatureComparison(far * near, decomposition(*correlations, self.form))
