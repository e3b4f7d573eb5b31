"""Similarities as weighted sums of terms; a term is a linear filter followed by correlation in windows.

    filter none,     window none:   global ZNCC
    filter none,     window p:      local (patch) ZNCC
    filter gradient, window none:   gradient correlation, the mean of the ZNCC of the two derivatives
    filter gradient, window p:      patch gradient correlation
    filter sobel, window p:         local gradient correlation (DiffDRR); smooth_sobel: of smoothed images (xReg)
Derivatives are linear, so the Jacobian images pass through the same filter and every term is a least-squares term.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..settings import Term
from .banded import derivative_matrices, filtered, window_means
from .gram import Agreement, agreement_from_gram, empty_agreement, stacked
from .masks import eroded
from .ranges import unit_range
from .scores import LEAST_USABLE, TINY, Scorer, Target, against, batched, usable_image


@dataclass(frozen=True)
class Similarity:
    """A weighted sum of terms; 1 for images equal up to an increasing affine map of their values."""

    terms: tuple[Term, ...]

    def score(self, target: Target, moving: Tensor, support: Tensor | None = None) -> Tensor:
        """Similarity (B,) of DRRs (B, H, W) to the X-ray, differentiable with respect to the DRRs.

        support: optional (B, H, W) or (1, H, W) of zeros and ones, pixels to compare besides the X-ray's own mask.
        """
        return self.against(target, moving, support).score(moving)

    def against(self, target: Target, like: Tensor, support: Tensor | None = None) -> Scorer:
        """The X-ray prepared for the scores of many DRRs, which are of the type of `like`; see `score`."""
        return against(self.terms, target, like, support)

    def agreement(
        self, target: Target, moving: Tensor, jacobian: Tensor, support: Tensor | None = None, *, normals: bool = True
    ) -> Agreement:
        """Score, gradient and normal matrix for DRRs (B, H, W) with Jacobians (B, P, H, W).

        normals: False for the gradient alone, with normal matrices of zeros, in half the time.
        """
        if not normals:
            return self._sloped(target, moving, jacobian, support)
        total = empty_agreement(moving.shape[0], jacobian.shape[1], moving)
        for term in self.terms:
            for images, weight in _filtered(term, target, [moving, jacobian], support):
                gram, share, floors = _windows(term, images, weight)
                part = agreement_from_gram(gram, share, *floors)
                total = total + part.scaled(term.weight / _channels(term))
        return total.scaled(1 / self._total_weight)

    def _sloped(self, target: Target, moving: Tensor, jacobian: Tensor, support: Tensor | None) -> Agreement:
        """Score and gradient by one backward pass to the pixels, for any number of parameters."""
        with torch.enable_grad():
            pixels = moving.detach().requires_grad_()
            score = self.score(target, pixels, support)
            (slope,) = torch.autograd.grad(score.sum(), pixels)
        nothing = empty_agreement(jacobian.shape[0], jacobian.shape[1], moving)
        return replace(nothing, score=score.detach(), gradient=-(slope[:, None] * jacobian).sum((-2, -1)))

    @property
    def _total_weight(self) -> float:
        return sum(term.weight for term in self.terms)


def _channels(term: Term) -> int:
    return 1 if term.filter == "none" else 2


def _filtered(term: Term, target: Target, images: list[Tensor], support: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """For each channel of the term's filter: stacked images (B, 2 or 2 + P, H, W) and pixel weights (B, H, W)."""
    mask = batched(target.mask).to(images[0].dtype)
    # The zeros at unusable pixels are excluded by the eroded mask.
    everything = stacked([usable_image(target).to(images[0].dtype), *images])
    if term.epsilon > 0:
        everything = torch.where(mask[:, None] > 0, unit_range(everything, mask), 0)
    if term.filter == "none":
        weights = mask if support is None else mask * support
        return [(everything, weights.expand(everything.shape[0], -1, -1))]
    height, width = everything.shape[-2:]
    smooth_y, slope_y, radius = derivative_matrices(term, height, everything.dtype, everything.device)
    smooth_x, slope_x, _ = derivative_matrices(term, width, everything.dtype, everything.device)
    mask = eroded(mask, radius, border=not term.padded)
    weights = mask if support is None else mask * support
    weights = weights.expand(everything.shape[0], -1, -1)
    return [(filtered(everything, smooth_y, slope_x), weights), (filtered(everything, slope_y, smooth_x), weights)]


def _windows(term: Term, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Centred Gram matrices (B, N, C, C) of the windows, their shares (B, N) and the floors of both variances."""
    if term.window is None:
        gram = _global_gram(images, weight)
        share = torch.ones_like(gram[..., 0, 0])
        nothing = torch.full_like(share, TINY + term.epsilon)
        return gram, share, (nothing, nothing)
    return _local_gram(term, images, weight)


def _global_gram(images: Tensor, weight: Tensor) -> Tensor:
    """One Gram matrix (B, 1, C, C) for the whole image."""
    flat, w = images.flatten(2), weight.flatten(1)[:, None]
    share = w / w.sum(-1, keepdim=True).clamp(min=TINY)
    centred = flat - (flat * share).sum(-1, keepdim=True)
    return ((centred * share) @ centred.mT)[:, None]


def _local_gram(term: Term, images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Gram matrices (B, N, C, C) of all patches, with shares and floors; patches with too few pixels get no share."""
    batch, channels = images.shape[:2]
    size = min(term.window or 1, *images.shape[-2:])
    # Subtracting the global mean first keeps the differences of sums below accurate in float32.
    usable = weight.flatten(1).sum(-1).clamp(min=TINY)[:, None, None, None]
    images = images - (images * weight[:, None]).sum((-2, -1), keepdim=True) / usable

    def patch_means(stack: Tensor) -> Tensor:
        return window_means(stack, size, term.stride).flatten(2)

    covered = patch_means(weight[:, None])
    share_of_pixels = covered.clamp(min=TINY)
    means = patch_means(images * weight[:, None]) / share_of_pixels
    gram = images.new_zeros(batch, covered.shape[-1], channels, channels)
    for row in range(channels):
        products = patch_means(images[:, row:] * images[:, row : row + 1] * weight[:, None]) / share_of_pixels
        products = (products - means[:, row:] * means[:, row : row + 1]).mT
        gram[..., row, row:] = products
        gram[..., row:, row] = products
    usable_patch = (covered[:, 0] >= LEAST_USABLE).to(images.dtype)
    share = usable_patch / usable_patch.sum(-1, keepdim=True).clamp(min=1)
    least = TINY + term.epsilon
    floors = [
        (term.floor * (gram[..., n, n].clamp(min=0) * share).sum(-1, keepdim=True)).detach().expand_as(share) + least
        for n in range(2)
    ]
    return gram, share, (floors[0], floors[1])
