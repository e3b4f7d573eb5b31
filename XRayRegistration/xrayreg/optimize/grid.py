"""Exhaustive search on a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import InputError
from ..settings import GridSettings
from .optimiser import Objective, Query, best_seen, bounds


@best_seen
def grid(objective: Objective, lower: Tensor, upper: Tensor, settings: GridSettings) -> str:
    """Evaluate every point of a grid between bounds (P,) in batches, the last parameter varying fastest."""
    low, high = bounds(lower, upper)
    counts = settings.counts
    if len(counts) != len(low) or min(counts) < 1 or settings.batch < 1:
        raise InputError(
            "counts of a grid", expected=f"{len(low)} numbers above 0", found=str(counts), remedy="one for each number"
        )
    axes = [_axis(float(a), float(b), count) for a, b, count in zip(low, high, counts, strict=True)]
    total = math.prod(counts)
    for first in range(0, total, settings.batch):
        places = torch.unravel_index(torch.arange(first, min(first + settings.batch, total)), counts)
        objective(Query(torch.stack([axis[place] for axis, place in zip(axes, places, strict=True)], dim=1)))
    return "Every point of the grid was looked at."


def _axis(low: float, high: float, count: int) -> Tensor:
    if count == 1:
        return torch.tensor([(low + high) / 2], dtype=torch.float64)
    return torch.linspace(low, high, count, dtype=torch.float64)
