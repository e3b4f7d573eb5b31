"""The CT resampled to another grid, so that test images do not share the voxels that methods render (methods.md E5)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from ...geometry import VoxelGrid
from ...scene import Volume
from ...scene.volume import AIR_HU
from ...simulation import Patient, patient_on, relative_steps
from ...slabs import slabs

VOXEL_MM = 0.7
# Weights of a cubic spline beyond this distance are negligible: a thousandth of a Hounsfield unit.
_LEAST_WEIGHT = 1e-6
# Number of voxels of the new grid computed at a time.
_AT_ONCE = 1 << 23


def resampled_patient(volume: Volume, file: Path, voxel_mm: float = VOXEL_MM) -> Patient:
    """The patient on voxels of `voxel_mm`, stored in `file` (.npy), which several processes can map to memory.

    Values come from the cubic spline through the CT's voxels. The new voxels fill the CT's box from its corner, so that
    their centres differ from the CT's. Resampling adds no detail to a coarser CT.
    Peak memory: a slab of the new grid. Raises OSError if the file cannot be written.
    """
    grid, weights = resampled_grid(volume.grid, voxel_mm)
    shape = grid.shape[::-1]
    field: Any = np.lib.format.open_memmap(file, mode="w+", dtype=np.int16, shape=shape)
    _reserve(file)
    low, high = float(volume.values.min()), float(volume.values.max())
    along_k, along_j, along_i = weights[::-1]
    thickness = max(1, _AT_ONCE // (shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        here = along_k[first : first + thickness]
        used = np.flatnonzero(np.abs(here).max(axis=0) > _LEAST_WEIGHT)
        some = slice(used[0], used[-1] + 1)
        values = np.tensordot(here[:, some], volume.values[some].astype(np.float32), axes=(1, 0))
        values = np.matmul(along_j, values) @ along_i.T
        # A spline overshoots at edges; values are clipped to the range of the voxels.
        field[first : first + len(here)] = relative_steps(np.clip(values, low, high), AIR_HU)
    field.flush()
    return patient_on(field, grid)


def bones_of(volume: Volume, structures: tuple[int, ...]) -> Volume:
    """The volume with air everywhere except in its `structures`; raises InputError if one of them is missing."""
    mask = volume.structure_mask(structures)
    values = np.full_like(volume.values, volume.values.min())
    for some in slabs(mask.shape):
        np.copyto(values[some], volume.values[some], where=mask[some])
    return replace(volume, values=values)


def _reserve(file: Path) -> None:
    """Allocate a file's disk space now: if it ran out during writes to mapped memory, the whole process would end."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def resampled_grid(grid: VoxelGrid, voxel_mm: float) -> tuple[VoxelGrid, list[NDArray[np.float32]]]:
    """The grid of voxels of `voxel_mm` along the axes of `grid`, and the weights (new, old) along i, j and k."""
    counts, weights = [], []
    for size, spacing in zip(grid.shape, grid.spacing_mm, strict=True):
        count = max(2, int(size * spacing / voxel_mm + 1e-6))
        places = np.clip((np.arange(count) + 0.5) * voxel_mm / spacing - 0.5, 0, size - 1)
        spline = make_interp_spline(np.arange(size), np.eye(size), k=min(3, size - 1))
        counts.append(count)
        weights.append(spline(places).astype(np.float32))
    matrix = grid.volume_from_index.copy()
    matrix[:3, :3] *= voxel_mm / grid.spacing_mm
    corner = grid.volume_from_index @ [-0.5, -0.5, -0.5, 1.0]
    matrix[:3, 3] = corner[:3] + matrix[:3, :3] @ [0.5, 0.5, 0.5]
    return VoxelGrid((counts[0], counts[1], counts[2]), matrix), weights
