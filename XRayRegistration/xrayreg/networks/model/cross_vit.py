"""A vision transformer with cross-attention between small and large patches (CrossViT: Chen et al., ICCV 2021).

The sizes are those of ProST's later version (Gao et al., TMI 2024; methods.md A1). Attention is implemented
explicitly, because torch's fused one lacks second derivatives on some devices.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .learned_similarity import FeatureComparison, LearnedSimilarity, SimilarityDescription, for_each_image
from .volume_network import volume_network

SMALL_PATCH, SMALL_DIM, SMALL_DEPTH = 8, 16, 2
LARGE_PATCH, LARGE_DIM, LARGE_DEPTH = 64, 64, 3
HEADS, MLP_DIM, CROSS_DEPTH, ROUNDS, OUTPUTS = 4, 256, 2, 3, 1000
# X-ray and projection, one channel each.
_IMAGES = 2


class Attention(nn.Module):
    """Multi-head attention of tokens (B, N, dim) to tokens (B, M, dim), with dim / heads features per head."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """The update to be added to the tokens; they attend to `context`, or to one another."""
        normed = self.norm(tokens)
        seen = normed if context is None else context
        key, value = self.key_value(seen).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query(normed), key, value)
        )
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return out


class Transformer(nn.Module):
    """Layers of self-attention and a two-layer perceptron, each added to its input."""

    def __init__(self, dim: int, depth: int, mlp_dim: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(dim) for _ in range(depth)])
        self.perceptrons = nn.ModuleList(
            [
                nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim))
                for _ in range(depth)
            ]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, dim) of the same shape."""
        for attention, perceptron in zip(self.attentions, self.perceptrons, strict=True):
            tokens = tokens + attention(tokens)
            tokens = tokens + perceptron(tokens)
        normed: Tensor = self.norm(tokens)
        return normed


class CrossAttention(nn.Module):
    """The first token of one branch, projected to the other branch's dimension, attends to the other's patches."""

    def __init__(self, dim: int, other_dim: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(dim, other_dim), nn.Linear(other_dim, dim)
        self.attentions = nn.ModuleList([Attention(other_dim) for _ in range(CROSS_DEPTH)])

    def forward(self, tokens: Tensor, other: Tensor) -> Tensor:
        """Tokens (B, N, dim) with a new first one, from the patches of `other` (B, M, other_dim)."""
        first, patches = self.enter(tokens[:, :1]), other[:, 1:]
        for attention in self.attentions:
            first = first + attention(first, torch.cat([first, patches], dim=1))
        return torch.cat([tokens[:, :1] + self.leave(first), tokens[:, 1:]], dim=1)


class PatchTokens(nn.Module):
    """Images cut into patches, each a token with a positional embedding, preceded by a class token.

    Images are zero-padded to a whole number of patches.
    """

    def __init__(self, image_px: int, patch: int, dim: int) -> None:
        super().__init__()
        count = -(-image_px // patch)
        self.missing = count * patch - image_px
        pixels = _IMAGES * patch**2
        self.cut = nn.Unfold(patch, stride=patch)
        self.embed = nn.Sequential(nn.LayerNorm(pixels), nn.Linear(pixels, dim), nn.LayerNorm(dim))
        self.first = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.places = nn.Parameter(torch.randn(1, count**2 + 1, dim) * 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens (B, 1 + patches, dim) of images (B, 2, H, W)."""
        padded = nn.functional.pad(images, (0, self.missing, 0, self.missing))
        patches = self.embed(self.cut(padded).mT)
        return torch.cat([self.first.expand(len(images), -1, -1), patches], dim=1) + self.places


class _Round(nn.Module):
    """One round of the two branches: self-attention in each, then cross-attention of each first token to the other."""

    def __init__(self, small: int, large: int, mlp_dim: int) -> None:
        super().__init__()
        self.small, self.large = Transformer(small, SMALL_DEPTH, mlp_dim), Transformer(large, LARGE_DEPTH, mlp_dim)
        self.small_at_large, self.large_at_small = CrossAttention(small, large), CrossAttention(large, small)

    def forward(self, small: Tensor, large: Tensor) -> tuple[Tensor, Tensor]:
        small, large = self.small(small), self.large(large)
        return self.small_at_large(small, large), self.large_at_small(large, small)


class CrossVit(nn.Module):
    """From pairs of images (B, 2, H, W) to 1000 numbers (B, 1000)."""

    def __init__(self, description: SimilarityDescription) -> None:
        super().__init__()
        small, large, mlp = (description.channels(count) for count in (SMALL_DIM, LARGE_DIM, MLP_DIM))
        self.small_tokens = PatchTokens(description.image_px, SMALL_PATCH, small)
        self.large_tokens = PatchTokens(description.image_px, LARGE_PATCH, large)
        self.rounds = nn.ModuleList([_Round(small, large, mlp) for _ in range(ROUNDS)])
        self.small_head = nn.Sequential(nn.LayerNorm(small), nn.Linear(small, OUTPUTS))
        self.large_head = nn.Sequential(nn.LayerNorm(large), nn.Linear(large, OUTPUTS))

    def forward(self, images: Tensor) -> Tensor:
        """Outputs (B, 1000) of images (B, 2, H, W)."""
        small, large = self.small_tokens(images), self.large_tokens(images)
        for both in self.rounds:
            small, large = both(small, large)
        out: Tensor = self.small_head(small[:, 0]) + self.large_head(large[:, 0])
        return out


class ProstVitSimilarity(LearnedSimilarity):
    """ProST's later similarity (TMI 2024): a CrossViT maps X-ray and projection together to one number.

    The projection's three channels are reduced to one by a convolution, whose size, 3 x 3, is our choice.
    """

    def __init__(self, description: SimilarityDescription) -> None:
        super().__init__(description, volume_network(description, batch_norm=True))
        self.to_one = nn.Conv2d(description.moving_channels, 1, 3, padding=1)
        self.transformer = CrossVit(description)
        self.score = nn.Linear(OUTPUTS, 1)

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`; the number may have either sign."""
        self.require_images(fixed, moving)
        together = torch.cat([self.to_one(moving), for_each_image(fixed, len(moving))], dim=1)
        return FeatureComparison(self.score(self.transformer(together))[:, 0])
