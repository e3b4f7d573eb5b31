"""Processing large arrays a few slices at a time, so that temporaries stay small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

# Voxels of a slab: 16 MB in single precision.
_VOXELS = 1 << 22


def slabs(shape: tuple[int, ...], voxels: int | None = None) -> Iterator[slice]:
    """Ranges of the first axis of an array of `shape`, of at most about `voxels` voxels."""
    thickness = max(1, (voxels or _VOXELS) // max(1, math.prod(shape[1:])))
    return (slice(first, min(first + thickness, shape[0])) for first in range(0, shape[0], thickness))


def bounds(shape: tuple[int, ...], occupied: Callable[[slice], NDArray[np.bool_]]) -> NDArray[np.intp]:
    """First and last occupied index along each axis (3, 2) of an array [k, j, i]; IndexError where none is.

    occupied: the occupied voxels of a range of slices.
    """
    hit: list[NDArray[np.bool_]] = [np.zeros(size, dtype=bool) for size in shape]
    for some in slabs(shape):
        here = occupied(some)
        seen = np.logical_or.reduce(here, axis=0)
        hit[0][some] = here.reshape(len(here), -1).any(axis=1)
        hit[1] |= seen.any(axis=1)
        hit[2] |= seen.any(axis=0)
    return np.array([np.flatnonzero(along)[[0, -1]] for along in hit])
