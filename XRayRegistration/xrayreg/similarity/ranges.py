"""Scaling images to the range 0 to 1, as in systems that add fixed numbers to variances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TINY = 1e-12


def unit_range(images: Tensor, mask: Tensor) -> Tensor:
    """Images (B, C, H, W) with channels 0 (X-ray), 1 (DRR) and the DRR's derivatives, the first two from 0 to 1.

    mask: (B or 1, H, W), the pixels whose least and greatest value define the range. The derivatives become those of
    the scaled DRR, exactly where its extremes are single pixels.
    """
    return torch.cat([one_unit_range(columns, mask) for columns in (images[:, :1], images[:, 1:])], dim=1)


def one_unit_range(columns: Tensor, mask: Tensor) -> Tensor:
    """The same for images alone (B, C, H, W): the first channel from 0 to 1, and its derivatives."""
    usable = mask.expand(columns.shape[0], -1, -1).flatten(1) > 0
    low, span = _extremes(columns, columns[:, 0].detach().flatten(1), usable)
    first = (columns[:, :1] - low[:, :1]) / span[:, :1]
    if columns.shape[1] == 1:
        return first
    changed = columns[:, 1:] - low[:, 1:] - first * span[:, 1:]
    return torch.cat([first, changed / span[:, :1]], dim=1)


def _extremes(columns: Tensor, values: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (B, C, H, W) at the pixel of the least value, and their rise to that of the greatest: (B, C, 1, 1)."""
    flat = columns.flatten(2)
    lowest = torch.where(usable, values, math.inf).argmin(1)
    highest = torch.where(usable, values, -math.inf).argmax(1)
    low, high = (flat.gather(2, at[:, None, None].expand(-1, flat.shape[1], 1)) for at in (lowest, highest))
    span = high - low
    # A flat image stays flat.
    span = torch.cat([span[:, :1].clamp(min=_TINY), span[:, 1:]], dim=1)
    return low[..., None], span[..., None]
