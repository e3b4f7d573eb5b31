"""Masks of the compared pixels: eroded by the filters' radius, and the support of the rendered structure."""

from __future__ import annotations

import torch
from torch import Tensor


def eroded(mask: Tensor, radius: int, border: bool = True) -> Tensor:
    """Mask (..., H, W) without the pixels closer than `radius` [pixels, square] to an unusable one or the border.

    border: whether the border counts as unusable.
    """
    if radius <= 0:
        return mask
    flat = mask.reshape(-1, 1, *mask.shape[-2:]).to(torch.float32)
    outside = torch.nn.functional.pad(1 - flat, (radius,) * 4, value=1.0 if border else 0.0)
    return (1 - _grown(outside, 2 * radius + 1)).reshape(mask.shape).to(mask.dtype)


def support_mask(image: Tensor, margin_px: int, threshold: float = 0.02) -> Tensor:
    """Mask of the structure in DRRs (B, H, W), dilated by `margin_px` pixels: float (B, H, W) of zeros and ones.

    A pixel belongs to the structure when it is above `threshold` times the DRR's largest value.
    """
    peak = image.amax(dim=(-2, -1), keepdim=True)
    inside = (image > threshold * peak).to(image.dtype)
    return _grown(torch.nn.functional.pad(inside[:, None], (margin_px,) * 4), 2 * margin_px + 1)[:, 0]


def _grown(images: Tensor, size: int) -> Tensor:
    """The largest value in each square of `size` pixels that lies inside the images (..., H, W)."""
    # Rows first, then columns: a fraction of the time of whole squares.
    by_row = torch.nn.functional.max_pool2d(images, (1, size), stride=1)
    return torch.nn.functional.max_pool2d(by_row, (size, 1), stride=1)
