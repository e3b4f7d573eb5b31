"""Scores without derivatives, for methods that need thousands: X-ray terms are computed once for all its DRRs.

The Gram matrices of `terms`, needed for gradients and normal matrices, give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..settings import Term
from .banded import derivative_matrices, filtered, window_means
from .masks import eroded
from .ranges import one_unit_range

TINY = 1e-12
# Share of a window that must be usable for the window to count: half, less a rounding tolerance.
LEAST_USABLE = 0.5 - 1e-6


@dataclass(frozen=True, eq=False)
class Target:
    """The X-ray side of a comparison: attenuation (H, W) and usable pixels (H, W) of zeros and ones.

    Both may also be (B, H, W), another X-ray for each DRR.
    """

    image: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class _Windows:
    """The X-ray in all N windows of a term: A X-rays, or B where supports differ from DRR to DRR.

    covered (A, N): share of usable pixels. mean (A, N). share (A, N): weight of a window.
    """

    covered: Tensor
    mean: Tensor
    share: Tensor


@dataclass(frozen=True, eq=False)
class _Channel:
    """One channel of a term's filter: the filter for DRRs, and the filtered X-ray.

    matrices: along y and along x, none without a filter. image (A, H, W): of the X-ray, its mean subtracted.
    pixels (A, H, W): weights, which add up to 1 where there are no windows. variance (A, N): of the X-ray, with the
    floor. windows: none for a single window over the whole image. weight: in the sum of all channels.
    """

    term: Term
    matrices: tuple[Tensor, Tensor] | None
    image: Tensor
    pixels: Tensor
    variance: Tensor
    windows: _Windows | None
    weight: float

    def score(self, moving: Tensor) -> Tensor:
        """ZNCC (B,) of DRRs (B, H, W), the mean over the windows."""
        moving = moving if self.matrices is None else filtered(moving, *self.matrices)
        return self._of_whole(moving) if self.windows is None else self._of_windows(moving, self.windows)

    def _of_whole(self, moving: Tensor) -> Tensor:
        moving = moving - _sum(moving * self.pixels)
        weighted = moving * self.pixels
        product, square = self.image * weighted, moving * weighted
        variance = square.flatten(1).sum(1, keepdim=True).clamp(min=0) + TINY + self.term.epsilon
        return (product.flatten(1).sum(1, keepdim=True) / (self.variance * variance).sqrt())[:, 0]

    def _of_windows(self, moving: Tensor, windows: _Windows) -> Tensor:
        moving = _without_mean(moving, self.pixels)
        weighted = moving * self.pixels
        stack = torch.stack([weighted, self.image * weighted, moving * weighted], dim=1)
        mean, product, square = (_means(stack, self.term) / windows.covered[:, None]).unbind(1)
        variance = _with_floor(square - mean * mean, windows.share, self.term)
        correlation = (product - windows.mean * mean) / (self.variance * variance).sqrt()
        return (windows.share * correlation).sum(-1)


@dataclass(frozen=True, eq=False)
class Scorer:
    """An X-ray prepared for comparison with DRRs; see `against`."""

    mask: Tensor
    channels: tuple[_Channel, ...]

    def score(self, moving: Tensor) -> Tensor:
        """Similarity (B,) of DRRs (B, H, W), differentiable with respect to them."""
        ranged = _ranged(moving, self.mask) if any(channel.term.epsilon > 0 for channel in self.channels) else moving
        total = moving.new_zeros(len(moving))
        for channel in self.channels:
            total = total + channel.weight * channel.score(ranged if channel.term.epsilon > 0 else moving)
        return total


def against(terms: tuple[Term, ...], target: Target, like: Tensor, support: Tensor | None = None) -> Scorer:
    """The X-ray side of a comparison by weighted terms, for DRRs of the type of `like`.

    support: optional (B, H, W) or (1, H, W) of zeros and ones, pixels to compare besides the X-ray's own mask.
    """
    mask = batched(target.mask).to(like.dtype)
    image = usable_image(target).to(like.dtype)
    whole = sum(term.weight for term in terms)
    channels = []
    for term in terms:
        fixed = _ranged(image, mask) if term.epsilon > 0 else image
        for matrices, radius in _matrices(term, fixed):
            pixels = mask if matrices is None else eroded(mask, radius, border=not term.padded)
            pixels = pixels if support is None else pixels * support
            weight = term.weight / (whole * (1 if matrices is None else 2))
            channels.append(_channel(term, matrices, fixed, pixels, weight))
    return Scorer(mask, tuple(channels))


def batched(image: Tensor) -> Tensor:
    """An image (H, W) or images (B, H, W) as (B, H, W)."""
    return image if image.dim() == 3 else image[None]


def usable_image(target: Target) -> Tensor:
    """X-rays (A, H, W). Unusable pixels may hold anything, even NaN; zero keeps them finite."""
    return batched(torch.where(target.mask > 0, target.image, 0))


def _matrices(term: Term, like: Tensor) -> list[tuple[tuple[Tensor, Tensor] | None, int]]:
    """For each channel of the term's filter its matrices along y and x, and their radius [pixels]."""
    if term.filter == "none":
        return [(None, 0)]
    height, width = like.shape[-2:]
    smooth_y, slope_y, radius = derivative_matrices(term, height, like.dtype, like.device)
    smooth_x, slope_x, _ = derivative_matrices(term, width, like.dtype, like.device)
    return [((smooth_y, slope_x), radius), ((slope_y, smooth_x), radius)]


def _channel(
    term: Term, matrices: tuple[Tensor, Tensor] | None, fixed: Tensor, pixels: Tensor, weight: float
) -> _Channel:
    image = _without_mean(fixed if matrices is None else filtered(fixed, *matrices), pixels)
    if term.window is None:
        pixels = pixels / _sum(pixels).clamp(min=TINY)
        variance = _sum(image * image * pixels)[..., 0].clamp(min=0) + TINY + term.epsilon
        return _Channel(term, matrices, image, pixels, variance, None, weight)
    stack = torch.stack([pixels.expand_as(image), image * pixels, image * image * pixels], dim=1)
    covered, mean, square = _means(stack, term).unbind(1)
    usable = (covered >= LEAST_USABLE).to(image.dtype)
    covered = covered.clamp(min=TINY)
    mean = mean / covered
    share = usable / usable.sum(-1, keepdim=True).clamp(min=1)
    variance = _with_floor(square / covered - mean * mean, share, term)
    return _Channel(term, matrices, image, pixels, variance, _Windows(covered, mean, share), weight)


def _ranged(images: Tensor, mask: Tensor) -> Tensor:
    """Images (B, H, W) from 0 to 1 within the mask, and 0 beyond."""
    return torch.where(mask > 0, one_unit_range(images[:, None], mask)[:, 0], 0)


def _without_mean(images: Tensor, pixels: Tensor) -> Tensor:
    """Subtract the global mean first, which keeps the following differences of sums accurate in float32."""
    return images - _sum(images * pixels) / _sum(pixels).clamp(min=TINY)


def _means(stack: Tensor, term: Term) -> Tensor:
    """Means (B, C, N) over the windows of images (B, C, H, W)."""
    size = min(term.window or 1, *stack.shape[-2:])
    return window_means(stack, size, term.stride).flatten(2)


def _with_floor(variance: Tensor, share: Tensor, term: Term) -> Tensor:
    """Variances (B, N), none below 0, with the floor added so that a flat window scores 0."""
    variance = variance.clamp(min=0)
    return variance + ((term.floor * (variance * share).sum(-1, keepdim=True)).detach() + TINY + term.epsilon)


def _sum(images: Tensor) -> Tensor:
    return images.sum((-2, -1), keepdim=True)
