"""Preprocessing of a CT for alignment: coarse, along RAS axes, with normalised values, table and air removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import InputError
from ..geometry import VoxelGrid
from ..scene import Volume

# HU range of anatomy: from fat to dense bone. Lower is air, higher is metal.
_LOW_HU, _HIGH_HU = -200.0, 800.0
# A table top is a few millimetres thick, arms and legs are not.
_TABLE_MM = 12.0
# Width of the shell around the body that is compared.
_SHELL_MM = 12.0


@dataclass(frozen=True, eq=False)
class CoarseVolume:
    """One CT on a coarse isotropic grid whose axes are those of RAS.

    values: float32 [k, j, i], 0 (air) to 1 (dense bone); 0 wherever there is no body.
    covered: mask of the scan. body: mask of the patient. near: the body and a shell about it, inside the scan.
    origin: RAS position (3,) of voxel (0, 0, 0) [mm]. voxel_mm: edge of the voxels.
    """

    values: NDArray[np.float32]
    covered: NDArray[np.bool_]
    body: NDArray[np.bool_]
    near: NDArray[np.bool_]
    origin: NDArray[np.float64]
    voxel_mm: float

    @property
    def centre(self) -> NDArray[np.float64]:
        """The centre of the body (3,) in RAS millimetres."""
        middle = np.argwhere(self.body).mean(axis=0)[::-1]
        return np.asarray(self.origin + self.voxel_mm * middle)


def coarse_volume(volume: Volume, voxel_mm: float = 4.0) -> CoarseVolume:
    """The volume averaged over blocks of about `voxel_mm` and resampled along RAS axes, for any grid.

    A volume without negative values is normalised to its own range. Raises InputError where no body is found.
    """
    low, high = _window(volume)
    blocks, grid = block_means(volume, voxel_mm, lambda values: np.clip((values - low) / (high - low), 0.0, 1.0))
    corners = grid.corners()
    origin = corners.min(axis=0) + voxel_mm / 2
    size = np.maximum(np.ceil(np.ptp(corners, axis=0) / voxel_mm).astype(int), 1)
    values = _upright(blocks, grid, origin, size, voxel_mm)
    covered = _upright(np.ones_like(blocks), grid, origin, size, voxel_mm) > 0.99
    body = _body(np.where(covered, values, 0.0), voxel_mm)
    return _masked(values, covered, body, origin, voxel_mm)


def downsample(coarse: CoarseVolume, factor: int) -> CoarseVolume:
    """The same with voxels `factor` times as large; a remainder at the far ends is cut off."""
    step = (factor, factor, factor)
    values = _blocks(coarse.values, step).mean(axis=(1, 3, 5))
    covered = np.asarray(_blocks(coarse.covered, step).all(axis=(1, 3, 5)))
    body = np.asarray(_blocks(coarse.body, step).mean(axis=(1, 3, 5)) >= 0.5)
    origin = coarse.origin + coarse.voxel_mm * (factor - 1) / 2
    return _masked(values, covered, body, origin, coarse.voxel_mm * factor)


def _masked(
    values: NDArray, covered: NDArray, body: NDArray, origin: NDArray[np.float64], voxel_mm: float
) -> CoarseVolume:
    body = body & covered
    if not body.any():
        raise InputError(
            "volume", expected="a body to align", found="no tissue of its size", remedy="check that this is a CT"
        )
    # The half voxel at the edge belongs to the body and not to air.
    shown = ndimage.binary_dilation(body)
    near = ndimage.binary_dilation(body, iterations=max(1, round(_SHELL_MM / voxel_mm))) & covered
    return CoarseVolume(
        np.where(shown & covered, values, 0.0).astype(np.float32), covered, body, near, origin, float(voxel_mm)
    )


def block_means(
    volume: Volume, voxel_mm: float, transform: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], VoxelGrid]:
    """Means of `transform(values)` over blocks of about `voxel_mm`, and their grid; a remainder is cut off.

    A thin volume keeps two blocks along each axis. Computed a few slices at a time to save memory.
    """
    shape = np.asarray(volume.grid.shape)
    factors = np.clip((voxel_mm / volume.grid.spacing_mm + 1e-6).astype(int), 1, np.maximum(shape // 2, 1))
    (fi, fj, fk), (ni, nj, nk) = factors.tolist(), (shape // factors).tolist()
    means = np.empty((nk, nj, ni), np.float32)
    for k in range(nk):
        slices = transform(volume.values[k * fk : (k + 1) * fk, : nj * fj, : ni * fi].astype(np.float32))
        means[k] = _blocks(slices, (fk, fj, fi)).mean(axis=(0, 1, 3, 5))
    grid = volume.grid.cropped((0, 0, 0), (ni * fi, nj * fj, nk * fk))
    return means, grid.coarsened((fi, fj, fk))


def _window(volume: Volume) -> tuple[float, float]:
    if volume.is_hounsfield:
        return _LOW_HU, _HIGH_HU
    # No Hounsfield units (MR angiography, cut-out bones): air is 0, the rest is relative to its own brightest part.
    brightest = float(np.percentile(volume.values[:: max(1, len(volume.values) // 64)], 99.5))
    return 0.0, max(brightest, 1e-6)


def _blocks(values: NDArray, factors: tuple[int, int, int]) -> NDArray:
    fk, fj, fi = factors
    nk, nj, ni = (size // factor for size, factor in zip(values.shape, factors, strict=True))
    return values[: nk * fk, : nj * fj, : ni * fi].reshape(nk, fk, nj, fj, ni, fi)


def _upright(
    values: NDArray, grid: VoxelGrid, origin: NDArray[np.float64], size: NDArray, voxel_mm: float
) -> NDArray[np.float32]:
    volume_from_upright = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    volume_from_upright[:3, 3] = origin
    index_from_upright = grid.index_from_volume @ volume_from_upright
    sampled: NDArray[np.float32] = ndimage.affine_transform(
        values,
        # Arrays are [k, j, i], matrices speak of (i, j, k).
        index_from_upright[:3, :3][::-1, ::-1],
        index_from_upright[:3, 3][::-1],
        output_shape=tuple(size[::-1].tolist()),
        order=1,
        mode="grid-constant",
    )
    return sampled


def _body(values: NDArray, voxel_mm: float) -> NDArray[np.bool_]:
    """The largest connected piece of tissue, without parts as thin as a table top."""
    tissue = values > 0.1
    steps = max(1, round(_TABLE_MM / voxel_mm / 2))
    # Outside the scan counts as tissue, so that the opening does not erode a body at the border.
    core = ndimage.binary_erosion(tissue, iterations=steps, border_value=1)
    pieces, count = ndimage.label(core)
    if count == 0:
        return np.asarray(tissue)
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    grown = ndimage.binary_dilation(pieces == largest, iterations=steps + 1)
    return np.asarray(grown & tissue)
