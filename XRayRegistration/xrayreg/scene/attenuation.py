"""Conversion of Hounsfield units to linear attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import InputError
from ..geometry import VoxelGrid
from ..slabs import bounds, slabs
from .ct_values import AIR_HU, MU_WATER
from .volume import Volume

__all__ = [
    "MU_WATER",
    "Attenuation",
    "attenuation_by_label",
    "attenuation_of",
    "coarsened",
    "rendered_grid",
]

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Attenuation:
    """Linear attenuation [1/mm] on a voxel grid, cropped to the voxels that attenuate.

    mu: float tensor [k, j, i], not negative.
    grid: voxel positions (RAS mm).
    """

    mu: Tensor
    grid: VoxelGrid

    def __post_init__(self) -> None:
        if tuple(self.mu.shape) != self.grid.shape[::-1]:
            raise ValueError(f"mu: expected shape {self.grid.shape[::-1]} [k, j, i], found {tuple(self.mu.shape)}")


def attenuation_of(volume: Volume, structures: tuple[int, ...] = ()) -> Attenuation:
    """Attenuation of the volume, or of the given structures alone, cropped to their bounding box.

    mu = MU_WATER (1 + HU / 1000), zero below AIR_HU. A volume without negative values has its air at 0 and is
    read as mu = MU_WATER value / 1000. Peak memory: the volume in float32 and one slice.
    """
    mask = volume.structure_mask(structures) if structures else None
    air = AIR_HU if volume.is_hounsfield else 0.0
    (k0, k1), (j0, j1), (i0, i1) = _box(volume, mask)
    offset = 1000.0 if volume.is_hounsfield else 0.0
    mu = np.empty((k1 - k0, j1 - j0, i1 - i0), dtype=np.float32)
    tissue = False
    for some in slabs(mu.shape):
        for row in range(some.start, some.stop):
            values = volume.values[k0 + row, j0:j1, i0:i1].astype(np.float32)
            mu[row] = np.where(values > air, np.maximum(values + offset, 0.0) * (MU_WATER / 1000), 0.0)
            if mask is not None:
                mu[row] *= mask[k0 + row, j0:j1, i0:i1]
        tissue = tissue or bool(mu[some].any())
    if not tissue:
        raise InputError(
            "structures", expected="tissue", found="only air", remedy="check that the label map belongs to this CT"
        )
    return Attenuation(torch.from_numpy(mu), _cropped(volume, ((k0, k1), (j0, j1), (i0, i1))))


def attenuation_by_label(volume: Volume, structures: tuple[int, ...] = ()) -> list[Attenuation]:
    """Attenuation of each structure separately, all on the grid of their union; of every label if none are given.

    Their sum is `attenuation_of` the union. Raises InputError as `Volume.structure_mask` does, also where the map has
    no label. Peak memory: one map for each label and one more.
    """
    wanted = tuple(dict.fromkeys(structures)) or volume.present_labels()
    union = attenuation_of(volume, wanted)
    first = volume.grid.index_from_volume @ union.grid.volume_from_index[:, 3]
    window = tuple(
        slice(start, start + size)
        for start, size in zip(np.rint(first[2::-1]).astype(int).tolist(), union.mu.shape, strict=True)
    )
    assert volume.labels is not None
    labels = volume.labels[window]
    maps = []
    for label in wanted:
        mu = np.empty(labels.shape, dtype=np.float32)
        for some in slabs(mu.shape):
            mu[some] = np.where(labels[some] == label, union.mu[some].numpy(), 0)
        maps.append(Attenuation(torch.from_numpy(mu), union.grid))
    return maps


def rendered_grid(volume: Volume, structures: tuple[int, ...] = ()) -> VoxelGrid:
    """The grid of `attenuation_of`, without computing the attenuation."""
    mask = volume.structure_mask(structures) if structures else None
    return _cropped(volume, _box(volume, mask))


def coarsened(attenuation: Attenuation, voxel_mm: float) -> Attenuation:
    """The attenuation averaged over blocks of voxels, per axis as many as exist and fit into `voxel_mm`.

    Blocks cut by the border are filled up with air, so mass and position of every voxel are kept.
    """
    # At most the whole axis: larger blocks, padded with air, would take more memory the coarser they are.
    ni, nj, nk = (
        max(1, min(size, int(voxel_mm / spacing + 1e-6)))
        for spacing, size in zip(attenuation.grid.spacing_mm, attenuation.grid.shape, strict=True)
    )
    if (ni, nj, nk) == (1, 1, 1):
        return attenuation
    grid = attenuation.grid.coarsened((ni, nj, nk))
    blocks = attenuation.mu.new_empty(grid.shape[::-1])
    for some in slabs((grid.shape[2], nk * grid.shape[1] * nj, grid.shape[0] * ni)):
        fine = _padded_to_multiple(attenuation.mu[nk * some.start : nk * some.stop], (nk, nj, ni))
        blocks[some] = torch.nn.functional.avg_pool3d(fine[None, None], (nk, nj, ni))[0, 0]
    return Attenuation(blocks, grid)


def _box(volume: Volume, mask: NDArray[np.bool_] | None) -> Box:
    """First and one-past-last index along k, j and i of the voxels that are not air, or of the mask."""
    air = AIR_HU if volume.is_hounsfield else 0.0
    box = bounds(volume.values.shape, lambda some: volume.values[some] > air if mask is None else mask[some])
    (k0, k1), (j0, j1), (i0, i1) = box.tolist()
    return (k0, k1 + 1), (j0, j1 + 1), (i0, i1 + 1)


def _cropped(volume: Volume, box: Box) -> VoxelGrid:
    (k0, k1), (j0, j1), (i0, i1) = box
    return volume.grid.cropped((i0, j0, k0), (i1 - i0, j1 - j0, k1 - k0))


def _padded_to_multiple(mu: Tensor, block: tuple[int, int, int]) -> Tensor:
    missing = [-size % step for size, step in zip(mu.shape, block, strict=True)]
    return torch.nn.functional.pad(mu, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else mu
