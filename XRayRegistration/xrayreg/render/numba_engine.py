"""The CPU engine: the kernels of `numba_kernels` behind the Projector contract and torch's autograd."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import VoxelGrid
from ..pieces import Pieces, divisible
from ..scene import Attenuation
from ..scene.slabs import slabs
from .rays import Rays, RayTangents

# Whether compiled kernels outlast this process.
KEPT = True
try:
    from . import numba_kernels as kernels
except RuntimeError:
    # numba found no folder for its cache: neither the package's nor one at home can be written to. A shared one would
    # be unsafe, because what lies in it is executed; this process gets its own.
    _CACHE = tempfile.TemporaryDirectory(prefix="xrayreg-numba-")
    vars(numba.config)["CACHE_DIR"] = _CACHE.name
    KEPT = False
    from . import numba_kernels as kernels


# Levels of a packed map: the most that 16 bits count to.
_MOST_LEVELS = 65535
# One of numba's threading layers (workqueue) ends the process when two threads are in parallel kernels at once.
_ONE_AT_A_TIME = threading.Lock()


class NumbaProjector:
    """Parallel compiled CPU projector; see `projector.Projector` for the contract.

    Keeps one packed copy of the map (32 bits a voxel, see `numba_kernels`). The copy is refreshed when `mu` takes part
    in autograd, so that a map that is being learned is always the one rendered.
    """

    name = "numba"

    def __init__(self, attenuation: Attenuation, rimmed: RimmedMap | None = None) -> None:
        """rimmed: the map packed, where that was done before, piece by piece."""
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu
        self.renders = 0
        self._rimmed = rimmed_map(attenuation.mu) if rimmed is None else rimmed

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W) in float32."""
        return _Project.apply(rays.source, rays.matrix, rays.length_mm, self.mu, self._current())

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W) in float32."""
        arguments = jacobian_arguments(self._current(), rays, tangents)
        with _ONE_AT_A_TIME:
            kernels.project_with_jacobian(*arguments)
        image, jacobian = arguments[-2:]
        return torch.from_numpy(image), torch.from_numpy(jacobian)

    def _current(self) -> RimmedMap:
        return rimmed_map(self.mu) if self.mu.requires_grad else self._rimmed


@dataclass(frozen=True, eq=False)
class RimmedMap:
    """A map with a rim of zeros, packed, and the record of its empty blocks.

    packed: [k, j, i] words (see `numba_kernels`); scale [1/mm], zero: what their levels mean.
    occupied: [k, j, i] blocks that attenuate.
    """

    packed: NDArray[np.uint32]
    scale: float
    zero: int
    occupied: NDArray[np.bool_]

    @cached_property
    def layout(self) -> tuple[NDArray, ...]:
        """Shape, strides and blocks in the form that the kernels take."""
        shape = np.array(self.packed.shape[::-1])
        return shape, _strides(self.packed), self.occupied.reshape(-1), _strides(self.occupied)

    @cached_property
    def arguments(self) -> tuple[NDArray, ...]:
        """The map in the form that the kernels take."""
        return self.packed.reshape(-1), np.array([self.scale, self.zero], dtype=np.float64), *self.layout


@divisible
def rimmed_map(mu: Tensor) -> Pieces[RimmedMap]:
    """A map [k, j, i] in the form that the kernels read."""
    values = mu.detach().numpy()
    lows, highs = [0.0], [0.0]
    for some in slabs(values.shape):
        lows.append(float(values[some].min()))
        highs.append(float(values[some].max()))
        yield
    scale, zero = _levels(float(np.min(lows)), float(np.max(highs)))
    packed = yield from _packed(values, scale, zero)
    # The record needs a bit a voxel, not a float: what is air, is the level of zero.
    occupied = yield from _occupied_blocks(packed, zero)
    return RimmedMap(packed, scale, zero, occupied)


def _levels(low: float, high: float) -> tuple[float, int]:
    """Scale and zero of 16 bit levels that reach from `low` <= 0 to `high` >= 0; zero is met exactly."""
    scale = (high - low) / (_MOST_LEVELS - 1) if high > low else 1.0
    return scale, round(-low / scale)


def _packed(values: NDArray, scale: float, zero: int) -> Pieces[NDArray[np.uint32]]:
    """Rimmed map [k, j, i] of words: a voxel's level, and in the upper half that of the next voxel along k."""
    before, after = kernels.RIM_BEFORE, kernels.RIM_AFTER
    shape = tuple(size + before + after for size in values.shape)
    packed = np.empty(shape, dtype=np.uint32)
    level = np.empty(shape[1:], dtype=np.uint32)
    above = np.full(shape[1:], zero, dtype=np.uint32)
    # From the last slice to the first, so that only two slices of levels exist at a time.
    for some in reversed([*slabs(shape)]):
        for k in reversed(range(some.start, some.stop)):
            level[:] = zero
            if before <= k < before + values.shape[0]:
                scaled = np.rint(values[k - before].astype(np.float64) / scale) + zero
                level[before:-after, before:-after] = np.clip(scaled, 0, _MOST_LEVELS)
            packed[k] = level | (above << np.uint32(16))
            above[:] = level
        yield
    return packed


def _occupied_blocks(packed: NDArray[np.uint32], zero: int) -> Pieces[NDArray[np.bool_]]:
    """For each block [k, j, i] whether it or the first voxel of its upper neighbours attenuates (bilinear reads do)."""
    block = kernels.BLOCK
    occupied = np.empty((-(-len(packed) // block), *packed.shape[1:]), dtype=bool)
    for number in range(len(occupied)):
        # With the first slice of the next block; beyond the last one there is only rim.
        words = packed[number * block : (number + 1) * block + 1]
        occupied[number] = ((words & np.uint32(0xFFFF)) != zero).any(axis=0)
        yield
    for axis in (1, 2):
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


def image_arguments(rimmed: RimmedMap, rays: Rays) -> tuple[NDArray, ...]:
    """What `numba_kernels.project` takes; the last array is the image (B, H, W) that it writes."""
    image = np.empty(rays.image_shape, dtype=np.float32)
    return *rimmed.arguments, *_ray_arrays(rays.source, rays.matrix, rays.length_mm), image


def jacobian_arguments(rimmed: RimmedMap, rays: Rays, tangents: RayTangents) -> tuple[NDArray, ...]:
    """What `numba_kernels.project_with_jacobian` takes; the last two arrays are those that it writes."""
    poses, height, width = rays.image_shape
    jacobian = np.empty((poses, tangents.source.shape[1], height, width), dtype=np.float32)
    *arguments, image = image_arguments(rimmed, rays)
    return *arguments, _float64(tangents.source), _float64(tangents.matrix), image, jacobian


class _Project(torch.autograd.Function):
    """Line integrals with hand-written gradients for the rays, the lengths and the map."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, matrix: Tensor, length_mm: Tensor, mu: Tensor, rimmed: RimmedMap) -> Tensor:
        arguments = image_arguments(rimmed, Rays(source, matrix, length_mm))
        with _ONE_AT_A_TIME:
            kernels.project(*arguments)
        ctx.save_for_backward(source, matrix, length_mm, mu)
        ctx.rimmed = rimmed
        return torch.from_numpy(arguments[-1])

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
        rimmed: RimmedMap,
        needed: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        rays = _ray_arrays(source, matrix, length_mm)
        above = np.ascontiguousarray(upstream.to(torch.float32).numpy())
        by_source = by_matrix = by_length = by_map = None
        if any(needed[:3]):
            by_row = np.empty((*above.shape[:2], 4, 3))
            by_pixel = np.empty(above.shape)
            with _ONE_AT_A_TIME:
                kernels.pull_back_rays(*rimmed.arguments, *rays, above, by_row, by_pixel)
            sums = torch.from_numpy(by_row).sum(1)
            by_source = sums[:, 0].to(source)
            by_matrix = sums[:, 1:].mT.to(matrix)
            by_length = torch.from_numpy(by_pixel).sum(0).to(length_mm)
        if needed[3]:
            gradient = np.zeros(rimmed.packed.shape, dtype=np.float64)
            layout = list(rimmed.layout)
            # Empty blocks have a gradient too, so nothing may be skipped here.
            layout[2] = np.ones_like(layout[2])
            with _ONE_AT_A_TIME:
                kernels.pull_back_map(gradient.reshape(-1), *layout, *rays, above)
            tissue = slice(kernels.RIM_BEFORE, -kernels.RIM_AFTER)
            by_map = torch.from_numpy(gradient[tissue, tissue, tissue]).to(mu)
        return by_source, by_matrix, by_length, by_map

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("the numba engine has no second derivatives: render with the torch engine")
