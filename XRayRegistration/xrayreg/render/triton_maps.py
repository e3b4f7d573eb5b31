"""Attenuation maps in the form that the Triton kernels read; nothing here waits for the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Zeros around a map, so that a bilinear read never needs a bound: a tent reaches one voxel out, rounding a little more.
RIM = 2
# Edge of the blocks [voxels] in which emptiness is recorded, and planes in a slab.
BLOCK = 16
STORAGES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class RimmedMaps:
    """C maps of one grid, each with a rim of RIM zeros, and the record of where they are empty.

    values: (C, k, j, i) in the storage's dtype, contiguous; times `scales` (C,) float32 they are attenuations [1/mm].
    occupied: (C, blocks k, j, i) uint8, 1 where a block or the first voxel of its upper neighbours is not zero, which
        is all that a bilinear read that begins in the block can meet.
    boxes: (C, 6) int32, the lowest and highest i, j, k that hold anything; for an empty map the lowest is the higher.
    """

    values: Tensor
    scales: Tensor
    occupied: Tensor
    boxes: Tensor

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along i, j, k with the rim."""
        _, n_k, n_j, n_i = self.values.shape
        return n_i, n_j, n_k


@torch.no_grad()
def rimmed_maps(mu: Tensor, storage: torch.dtype = torch.float32) -> RimmedMaps:
    """Maps (C, k, j, i) with their rims.

    storage: float32, or float16 or bfloat16 for half the memory; those are relative to the map's largest value, so that
    the unit of the attenuation costs no digits.
    """
    channels = mu.shape[0]
    scales = torch.ones(channels, dtype=torch.float32, device=mu.device)
    if storage != torch.float32 and mu[0].numel():
        peaks = mu.abs().amax((1, 2, 3)).to(torch.float32)
        scales = torch.where(peaks > 0, peaks, scales)
    shape = [channels, *(size + 2 * RIM for size in mu.shape[1:])]
    values = torch.zeros(shape, dtype=storage, device=mu.device)
    inner = (slice(None), *3 * (slice(RIM, -RIM),))
    values[inner] = mu if storage == torch.float32 else mu / scales[:, None, None, None]
    holds = values != 0
    return RimmedMaps(values, scales, _occupied(holds), _boxes(holds))


def whole_boxes(maps: RimmedMaps) -> Tensor:
    """Boxes (C, 6) around all voxels, empty or not."""
    n_i, n_j, n_k = maps.size
    first = maps.boxes.new_full((3,), RIM)
    # Filled one by one: making a tensor of Python's numbers would wait for the device.
    last = torch.stack([maps.boxes.new_full((), size - RIM - 1) for size in (n_i, n_j, n_k)])
    return torch.cat([first, last]).expand(len(maps.boxes), 6).contiguous()


def _occupied(holds: Tensor) -> Tensor:
    """Which blocks (C, blocks k, j, i) hold something, or the first voxels of their upper neighbours do."""
    for axis in (1, 2, 3):
        size = holds.shape[axis]
        blocks = -(-size // BLOCK)
        missing = list(holds.shape)
        missing[axis] = blocks * BLOCK - size
        holds = torch.cat([holds, holds.new_zeros(missing)], axis).unflatten(axis, (blocks, BLOCK))
        first = holds.select(axis + 1, 0)
        next_first = torch.cat([first.narrow(axis, 1, blocks - 1), torch.zeros_like(first.narrow(axis, 0, 1))], axis)
        holds = holds.any(axis + 1) | next_first
    return holds.to(torch.uint8).contiguous()


def _boxes(holds: Tensor) -> Tensor:
    lowest, highest = [], []
    for axis, others in ((3, (1, 2)), (2, (1, 3)), (1, (2, 3))):
        size = holds.shape[axis]
        numbers = torch.arange(size, dtype=torch.int32, device=holds.device)
        met = holds.any(others[1]).any(others[0])
        lowest.append(torch.where(met, numbers, size).amin(1))
        highest.append(torch.where(met, numbers, -1).amax(1))
    return torch.stack([*lowest, *highest], 1).to(torch.int32).contiguous()
