"""Separable filters as banded matrices: filtering an image is a matrix product on either side.

At registration sizes (32 to 512 pixels) two dense products beat a general convolution several times over, run alike on
every device, and are differentiable as often as one likes.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..settings import Term


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


def _kernels(term: Term) -> tuple[Tensor, Tensor]:
    """Smoothing and derivative kernel of odd length, as correlations: the derivative of a rising ramp is positive."""
    if term.filter == "sobel":
        return torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    radius = max(1, math.ceil(2.5 * term.sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    smooth = torch.exp(-0.5 * (at / term.sigma) ** 2)
    smooth = smooth / smooth.sum()
    return smooth, at * smooth / term.sigma**2


def _banded(kernel: Tensor, size: int) -> Tensor:
    matrix = torch.zeros(size, size, dtype=torch.float64)
    radius = len(kernel) // 2
    for offset, weight in enumerate(kernel.tolist(), start=-radius):
        if abs(offset) < size:
            matrix.diagonal(offset).fill_(weight)
    return matrix
