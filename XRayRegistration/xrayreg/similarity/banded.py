"""Separable filters as banded matrices: filtering an image is a matrix product on either side.

At registration sizes (32 to 512 pixels) two dense products beat a general convolution several times over, run alike on
every device, and can be differentiated any number of times.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..settings import Term

# Edge of an image [pixels] from which sums are faster than products with banded matrices.
_LARGE = 128
_SOBEL_SMOOTH = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
_SOBEL_SLOPE = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)


@functools.lru_cache(maxsize=64)
def derivative_matrices(term: Term, size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Smoothing and derivative matrices (size, size) of the term's filter and its radius [pixels].

    Beyond the border the image counts as zero.
    """
    smooth, slope = _kernels(term)
    radius = len(smooth) // 2
    return _banded(smooth, size).to(device, dtype), _banded(slope, size).to(device, dtype), radius


@functools.lru_cache(maxsize=64)
def window_matrix(window: int, stride: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Means over windows of `window` pixels every `stride` pixels that lie fully inside: (count, size)."""
    starts = torch.arange(0, size - window + 1, stride)
    at = torch.arange(size)
    inside = (at >= starts[:, None]) & (at < starts[:, None] + window)
    return (inside.to(torch.float64) / window).to(device, dtype)


def filtered(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (..., H, W) with `rows` (H', H) applied along the columns' direction (y) and `columns` (W', W) along x."""
    return rows @ images @ columns.mT


def window_means(images: Tensor, window: int, stride: int) -> Tensor:
    """Means (..., H', W') over the windows of `window` x `window` pixels of images (..., H, W) that lie inside."""
    height, width = images.shape[-2:]
    # For windows at every pixel of a large image sums are four times as fast, but not with a backward pass.
    if stride == 1 and min(height, width) >= _LARGE and not images.requires_grad and images.device.type == "cpu":
        return _shifted_sum(_shifted_sum(images, window, -2), window, -1) / window**2
    rows = window_matrix(window, stride, height, images.dtype, images.device)
    columns = window_matrix(window, stride, width, images.dtype, images.device)
    return filtered(images, rows, columns)


def _shifted_sum(images: Tensor, window: int, axis: int) -> Tensor:
    """The sum of every `window` neighbours along an axis."""
    count = images.shape[axis] - window + 1
    total = images.narrow(axis, 0, count).clone()
    for first in range(1, window):
        total += images.narrow(axis, first, count)
    return total


def _kernels(term: Term) -> tuple[Tensor, Tensor]:
    """Smoothing and derivative kernel of odd length, as correlations: the derivative of a rising ramp is positive."""
    if term.filter == "sobel":
        return _SOBEL_SMOOTH, _SOBEL_SLOPE
    radius = max(1, math.ceil(2.5 * term.sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    smooth = torch.exp(-0.5 * (at / term.sigma) ** 2)
    smooth = smooth / smooth.sum()
    if term.filter == "smooth_sobel":
        return _convolved(smooth, _SOBEL_SMOOTH), _convolved(smooth, _SOBEL_SLOPE)
    return smooth, at * smooth / term.sigma**2


def _convolved(smooth: Tensor, kernel: Tensor) -> Tensor:
    """The kernel equivalent to a symmetric one followed by another."""
    full = torch.nn.functional.conv1d(kernel[None, None], smooth[None, None], padding=len(smooth) - 1)
    return full[0, 0]


def _banded(kernel: Tensor, size: int) -> Tensor:
    matrix = torch.zeros(size, size, dtype=torch.float64)
    radius = len(kernel) // 2
    for offset, weight in enumerate(kernel.tolist(), start=-radius):
        if abs(offset) < size:
            matrix.diagonal(offset).fill_(weight)
    return matrix
