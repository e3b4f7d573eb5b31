"""The CPU engine: the kernels of `numba_kernels` behind the Projector contract and torch's autograd."""

from __future__ import annotations

import tempfile
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Camera, VoxelGrid, twist_tangents
from ..scene import Attenuation
from .projector import render, render_with_jacobian
from .rays import Rays, RayTangents

try:
    from . import numba_kernels as kernels
except RuntimeError:
    # numba found no folder for its cache: neither the package's nor one at home can be written to. A shared one would
    # be unsafe, because what lies in it is executed; this process gets its own.
    _CACHE = tempfile.TemporaryDirectory(prefix="xrayreg-numba-")
    vars(numba.config)["CACHE_DIR"] = _CACHE.name
    from . import numba_kernels as kernels


# Levels of a packed map: the most that 16 bits count to.
_MOST_LEVELS = 65535


class NumbaProjector:
    """Parallel compiled CPU projector; see `projector.Projector` for the contract.

    Keeps one packed copy of the map (32 bits a voxel, see `numba_kernels`). The copy is refreshed when `mu` takes part
    in autograd, so that a map that is being learned is always the one rendered.
    """

    name = "numba"

    def __init__(self, attenuation: Attenuation) -> None:
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu
        self.renders = 0
        self._rimmed = _Rimmed(attenuation.mu.detach())

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W) in float32."""
        return _Project.apply(rays.source, rays.matrix, rays.length_mm, self.mu, self._current())

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W) in float32."""
        poses, height, width = rays.image_shape
        image = np.empty((poses, height, width), dtype=np.float32)
        jacobian = np.empty((poses, tangents.source.shape[1], height, width), dtype=np.float32)
        kernels.project_with_jacobian(
            *self._current().arguments, *_ray_arrays(rays.source, rays.matrix, rays.length_mm),
            _float64(tangents.source), _float64(tangents.matrix), image, jacobian,
        )  # fmt: skip
        return torch.from_numpy(image), torch.from_numpy(jacobian)

    def _current(self) -> _Rimmed:
        return _Rimmed(self.mu.detach()) if self.mu.requires_grad else self._rimmed


class _Rimmed:
    """A map with a rim of zeros, packed, and the record of its empty blocks, in the form that the kernels take."""

    def __init__(self, mu: Tensor) -> None:
        values = mu.detach().numpy()
        scale, zero = _levels(float(values.min(initial=0.0)), float(values.max(initial=0.0)))
        packed = _packed(values, scale, zero)
        # The record needs a bit a voxel, not a float: what is air, is the level of zero.
        occupied = _occupied_blocks(packed, zero)
        self.layout = (np.array(packed.shape[::-1]), _strides(packed), occupied.reshape(-1), _strides(occupied))
        self.arguments = (packed.reshape(-1), np.array([scale, zero], dtype=np.float64), *self.layout)
        self.padded_shape = packed.shape


def _levels(low: float, high: float) -> tuple[float, int]:
    """Scale and zero of 16 bit levels that reach from `low` <= 0 to `high` >= 0; zero is met exactly."""
    scale = (high - low) / (_MOST_LEVELS - 1) if high > low else 1.0
    return scale, round(-low / scale)


def _packed(values: NDArray, scale: float, zero: int) -> NDArray[np.uint32]:
    """Rimmed map [k, j, i] of words: a voxel's level, and in the upper half that of the next voxel along k."""
    before, after = kernels.RIM_BEFORE, kernels.RIM_AFTER
    shape = tuple(size + before + after for size in values.shape)
    packed = np.empty(shape, dtype=np.uint32)
    level = np.empty(shape[1:], dtype=np.uint32)
    above = np.full(shape[1:], zero, dtype=np.uint32)
    # From the last slice to the first, so that only two slices of levels exist at a time.
    for k in range(shape[0] - 1, -1, -1):
        level[:] = zero
        if before <= k < before + values.shape[0]:
            scaled = np.rint(values[k - before].astype(np.float64) / scale) + zero
            level[before:-after, before:-after] = np.clip(scaled, 0, _MOST_LEVELS)
        packed[k] = level | (above << np.uint32(16))
        above[:] = level
    return packed


def _occupied_blocks(packed: NDArray[np.uint32], zero: int) -> NDArray[np.bool_]:
    """For each block [k, j, i] whether it or the first voxel of its upper neighbours attenuates (bilinear reads do)."""
    block = kernels.BLOCK
    occupied = np.empty(packed.shape, dtype=bool)
    # Slice by slice: a mask of the whole map's words would take as much memory again as the map.
    for k, words in enumerate(packed):
        occupied[k] = (words & np.uint32(0xFFFF)) != zero
    for axis in range(3):
        starts = np.arange(0, occupied.shape[axis], block)
        within = np.logical_or.reduceat(occupied, starts, axis=axis)
        next_first = np.roll(np.take(occupied, starts, axis=axis), -1, axis=axis)
        occupied = within | next_first
    return np.ascontiguousarray(occupied)


def _strides(array: NDArray) -> NDArray[np.int64]:
    """Element strides of axes i, j, k of an array [k, j, i]."""
    return np.array([stride // array.itemsize for stride in array.strides[::-1]], dtype=np.int64)


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return np.ascontiguousarray(tensor.detach().to(torch.float64).numpy())


def _ray_arrays(source: Tensor, matrix: Tensor, length_mm: Tensor) -> tuple[NDArray, NDArray, NDArray]:
    """Source in the rimmed map's coordinates, directions, and lengths."""
    return _float64(source) + kernels.RIM_BEFORE, _float64(matrix), _float64(length_mm)


class _Project(torch.autograd.Function):
    """Line integrals with hand-written gradients for the rays, the lengths and the map."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, matrix: Tensor, length_mm: Tensor, mu: Tensor, rimmed: _Rimmed) -> Tensor:
        image = np.empty((source.shape[0], *length_mm.shape), dtype=np.float32)
        kernels.project(*rimmed.arguments, *_ray_arrays(source, matrix, length_mm), image)
        ctx.save_for_backward(source, matrix, length_mm, mu)
        ctx.rimmed = rimmed
        return torch.from_numpy(image)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _PullBack.apply(upstream, *ctx.saved_tensors, ctx.rimmed, ctx.needs_input_grad)
        return (*gradients, None)


class _PullBack(torch.autograd.Function):
    """The gradients of `_Project`; a function of its own, so that a second derivative is refused and never wrong."""

    @staticmethod
    def forward(
        ctx: Any,
        upstream: Tensor,
        source: Tensor,
        matrix: Tensor,
        length_mm: Tensor,
        mu: Tensor,
        rimmed: _Rimmed,
        needed: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        rays = _ray_arrays(source, matrix, length_mm)
        above = np.ascontiguousarray(upstream.to(torch.float32).numpy())
        by_source = by_matrix = by_length = by_map = None
        if any(needed[:3]):
            by_row = np.empty((*above.shape[:2], 4, 3))
            by_pixel = np.empty(above.shape)
            kernels.pull_back_rays(*rimmed.arguments, *rays, above, by_row, by_pixel)
            sums = torch.from_numpy(by_row).sum(1)
            by_source = sums[:, 0].to(source)
            by_matrix = sums[:, 1:].mT.to(matrix)
            by_length = torch.from_numpy(by_pixel).sum(0).to(length_mm)
        if needed[3]:
            gradient = np.zeros(rimmed.padded_shape, dtype=np.float64)
            layout = list(rimmed.layout)
            # Empty blocks have a gradient too, so nothing may be skipped here.
            layout[2] = np.ones_like(layout[2])
            kernels.pull_back_map(gradient.reshape(-1), *layout, *rays, above)
            tissue = slice(kernels.RIM_BEFORE, -kernels.RIM_AFTER)
            by_map = torch.from_numpy(gradient[tissue, tissue, tissue]).to(mu)
        return by_source, by_matrix, by_length, by_map

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("the numba engine has no second derivatives: render with the torch engine")


def warm_up() -> bool:
    """Load the kernels that a registration uses; returns whether they had to be compiled, as on a first run."""
    before = _compilations()
    projector = NumbaProjector(Attenuation(torch.ones(2, 2, 2), VoxelGrid.from_spacing((2, 2, 2), (1.0, 1.0, 1.0))))
    pose = torch.eye(4, dtype=torch.float64)[None]
    pose[:, 2, 3] = 10.0
    camera = Camera.from_sid(20.0, 1.0, 2, 2)
    render(projector, camera, pose)
    render_with_jacobian(projector, camera, pose, twist_tangents(pose, torch.zeros(3, dtype=torch.float64)))
    return _compilations() > before


def _compilations() -> int:
    """How many kernels were compiled so far because no cache held them."""
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in (kernels.project, kernels.project_with_jacobian))
