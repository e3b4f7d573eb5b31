"""Attenuation maps downsampled to larger voxels of any size, by averaging.

`scene.coarsened` averages whole blocks, which keeps edges where they are; a network's coarse images need voxels as
large as their pixels, or rendering takes up to three times as long and its samples alias.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...geometry import VoxelGrid
from ...scene import Attenuation
from ...slabs import slabs


def downsample_map(
    attenuation: Attenuation, voxel_mm: float, part: Callable[[Tensor], Tensor] = lambda mu: mu
) -> Attenuation:
    """The map averaged over voxels of `voxel_mm`; along an axis whose voxels are larger already it stays as it is.

    part: function of the voxel values whose result is averaged; called with a few slices at a time.
    Values count as constant within a voxel, so mass is conserved, and none moves by more than half a new voxel. The
    outermost voxels extend beyond the map into air, equally at both ends.
    """
    grid = attenuation.grid
    steps = np.maximum(1.0, voxel_mm / grid.spacing_mm)
    if steps.max() == 1.0:
        return Attenuation(part(attenuation.mu), grid)
    counts = [math.ceil(size / step - 1e-6) for size, step in zip(grid.shape, steps, strict=True)]
    i, j, k = (
        _weights(size, step, count).to(attenuation.mu)
        for size, step, count in zip(grid.shape, steps.tolist(), counts, strict=True)
    )
    mu = attenuation.mu.new_zeros(counts[::-1])
    for some in slabs(tuple(attenuation.mu.shape)):
        mu += torch.tensordot(k[:, some], j @ (part(attenuation.mu[some]) @ i.mT), dims=1)
    first = (np.array(grid.shape) - steps * counts) / 2 + (steps - 1) / 2
    volume_from_index = grid.volume_from_index.copy()
    volume_from_index[:3, 3] += volume_from_index[:3, :3] @ first
    volume_from_index[:3, :3] *= steps
    return Attenuation(mu, VoxelGrid((counts[0], counts[1], counts[2]), volume_from_index))


def _weights(size: int, step: float, count: int) -> Tensor:
    """Share (count, size) of each new voxel that each old one fills; a new one is `step` old ones long."""
    edges = np.arange(count + 1) * step - (count * step - size) / 2
    old = np.arange(size)
    shared = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return torch.from_numpy(np.maximum(shared, 0.0) / step)
