"""Attenuation maps in the form that the compiled kernels read: packed words, a rim of zeros, the empty blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..slabs import slabs
from .numba_rays import BLOCK, RIM_AFTER, RIM_BEFORE

# Highest level of a packed map: the largest 16-bit value.
_MOST_LEVELS = 65535


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
        return _layout(self.packed, self.occupied)

    @cached_property
    def arguments(self) -> tuple[NDArray, ...]:
        """The map in the form that the kernels take."""
        return self.packed.reshape(-1), np.array([self.scale, self.zero], dtype=np.float64), *self.layout


@dataclass(frozen=True, eq=False)
class PairedMaps:
    """C maps on one grid, packed by twos (the last one alone where C is odd), with a rim of zeros.

    packed: [pair, k, j, i] words (see `numba_channel_kernels`); levels: (C, 2) scale [1/mm] and zero of each map.
    occupied: [pair, k, j, i] blocks in which either attenuates.
    """

    packed: NDArray[np.uint32]
    levels: NDArray[np.float64]
    occupied: NDArray[np.bool_]

    @cached_property
    def layout(self) -> tuple[NDArray, ...]:
        """Shape, strides and blocks of one pair in the form that the kernels take."""
        return _layout(self.packed[0], self.occupied[0])

    @cached_property
    def arguments(self) -> tuple[NDArray, ...]:
        """The maps in the form that the kernels take."""
        pairs = len(self.packed)
        shape, strides, _, block_strides = self.layout
        occupied = self.occupied.reshape(pairs, -1)
        return self.packed.reshape(pairs, -1), self.levels, shape, strides, occupied, block_strides


def rimmed_map(mu: Tensor) -> RimmedMap:
    """A map [k, j, i] in the form that the kernels read."""
    values = mu.detach().numpy()
    scale, zero = _levels(values)
    packed = _packed(values, scale, zero)
    # The record needs a bit a voxel, not a float: what is air, is the level of zero.
    occupied = _occupied_blocks(packed, zero, 0xFFFF)
    return RimmedMap(packed, scale, zero, occupied)


def paired_maps(mus: Sequence[Tensor]) -> PairedMaps:
    """Maps [k, j, i] of one shape in the form that the kernels of channels read."""
    maps = [mu.detach().numpy() for mu in mus]
    levels = []
    for values in maps:
        levels.append(_levels(values))
    pairs, airs = -(-len(maps) // 2), np.zeros(2 * -(-len(maps) // 2), dtype=np.uint32)
    airs[: len(maps)] = [zero for _, zero in levels]
    words = airs[::2] | airs[1::2] << np.uint32(16)
    shape = _rimmed_shape(maps[0])
    packed = np.empty((pairs, *shape), dtype=np.uint32)
    occupied = []
    for pair, air in enumerate(words):
        packed[pair] = air
        for channel in range(2 * pair, min(2 * pair + 2, len(maps))):
            _put(packed[pair], maps[channel], *levels[channel], shift=16 * (channel % 2))
        occupied.append(_occupied_blocks(packed[pair], int(air), 0xFFFFFFFF))
    return PairedMaps(packed, np.array(levels, dtype=np.float64), np.stack(occupied))


def _levels(values: NDArray) -> tuple[float, int]:
    """Scale and zero of 16 bit levels that hold 0, exactly, and all values."""
    lows, highs = [0.0], [0.0]
    for some in slabs(values.shape):
        lows.append(float(values[some].min()))
        highs.append(float(values[some].max()))
    low, high = float(np.min(lows)), float(np.max(highs))
    scale = (high - low) / (_MOST_LEVELS - 1) if high > low else 1.0
    return scale, round(-low / scale)


def _level(values: NDArray, scale: float, zero: int) -> NDArray[np.float64]:
    return np.clip(np.rint(values.astype(np.float64) / scale) + zero, 0, _MOST_LEVELS)


def _rimmed_shape(values: NDArray) -> tuple[int, ...]:
    return tuple(size + RIM_BEFORE + RIM_AFTER for size in values.shape)


def _packed(values: NDArray, scale: float, zero: int) -> NDArray[np.uint32]:
    """Rimmed map [k, j, i] of words: a voxel's level, and in the upper half that of the next voxel along k."""
    shape = _rimmed_shape(values)
    packed = np.empty(shape, dtype=np.uint32)
    level = np.empty(shape[1:], dtype=np.uint32)
    above = np.full(shape[1:], zero, dtype=np.uint32)
    # From the last slice to the first, so that only two slices of levels exist at a time.
    for some in reversed([*slabs(shape)]):
        for k in reversed(range(some.start, some.stop)):
            level[:] = zero
            if RIM_BEFORE <= k < RIM_BEFORE + values.shape[0]:
                level[RIM_BEFORE:-RIM_AFTER, RIM_BEFORE:-RIM_AFTER] = _level(values[k - RIM_BEFORE], scale, zero)
            packed[k] = level | (above << np.uint32(16))
            above[:] = level
    return packed


def _put(packed: NDArray[np.uint32], values: NDArray, scale: float, zero: int, shift: int) -> None:
    """Write a map's levels into the bits from `shift` on of the words [k, j, i], within their rim."""
    tissue = packed[RIM_BEFORE:-RIM_AFTER, RIM_BEFORE:-RIM_AFTER, RIM_BEFORE:-RIM_AFTER]
    others = np.uint32(0xFFFF0000 >> shift)
    for some in slabs(values.shape):
        level = _level(values[some], scale, zero).astype(np.uint32)
        tissue[some] = tissue[some] & others | level << np.uint32(shift)


def _occupied_blocks(packed: NDArray[np.uint32], air: int, bits: int) -> NDArray[np.bool_]:
    """For each block [k, j, i] whether it or the first voxel of its upper neighbours attenuates (bilinear reads do).

    air: what the `bits` of a word are where nothing attenuates.
    """
    occupied = np.empty((-(-len(packed) // BLOCK), *packed.shape[1:]), dtype=bool)
    for number in range(len(occupied)):
        # With the first slice of the next block; beyond the last one there is only rim.
        words = packed[number * BLOCK : (number + 1) * BLOCK + 1]
        occupied[number] = ((words & np.uint32(bits)) != air).any(axis=0)
    for axis in (1, 2):
        starts = np.arange(0, occupied.shape[axis], BLOCK)
        within = np.logical_or.reduceat(occupied, starts, axis=axis)
        next_first = np.roll(np.take(occupied, starts, axis=axis), -1, axis=axis)
        occupied = within | next_first
    return np.ascontiguousarray(occupied)


def _layout(packed: NDArray[np.uint32], occupied: NDArray[np.bool_]) -> tuple[NDArray, ...]:
    """Shape, strides and blocks of a map [k, j, i] in the form that the kernels take."""
    return np.array(packed.shape[::-1]), _strides(packed), occupied.reshape(-1), _strides(occupied)


def _strides(array: NDArray) -> NDArray[np.int64]:
    """Element strides of axes i, j, k of an array [k, j, i]."""
    return np.array([stride // array.itemsize for stride in array.strides[::-1]], dtype=np.int64)
