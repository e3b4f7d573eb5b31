"""A ray in the compiled kernels: its line, the planes it has to read, and its gradient from the sums along it.

The map comes with a rim of zeros, so a bilinear read never leaves the array and the inner loops have no branch: one
voxel before the first, over which the outermost voxels fade, and two after the last, so that a place on the outer edge
of the first still has an upper neighbour.
Rays skip the slabs of planes at either end in which their blocks hold no tissue.
"""

from __future__ import annotations

import math

from .joseph import LEAST_AHEAD
from .numba_compiling import inner

# Edge of the blocks [voxels] in which emptiness is recorded; a power of two near what a vector loop digests at once.
BLOCK = 16
RIM_BEFORE, RIM_AFTER = 1, 2
# Limit of the source distance [voxels]: beyond it double precision cannot resolve which voxels a ray meets.
FARTHEST = 1e9


@inner
def _axes(dx, dy, dz):
    """The dominant axis of a direction (the first one of equals) and the two others."""
    ax, ay, az = abs(dx), abs(dy), abs(dz)
    if ax >= ay and ax >= az:
        return 0, 1, 2
    if ay >= az:
        return 1, 0, 2
    return 2, 0, 1


@inner
def direction(matrix, u, v, axis):
    return matrix[axis, 0] * u + matrix[axis, 1] * v + matrix[axis, 2]


@inner
def line(source, matrix, u, v):
    """The ray of pixel (u, v) as a line: (axis, first, second, along, a, b, c, e).

    axis, first, second: along which it runs fastest, and the two others; along: voxels along it per unit of t. On plane
    k it is at a + b k, c + e k.
    """
    axis, first, second = _axes(direction(matrix, u, v, 0), direction(matrix, u, v, 1), direction(matrix, u, v, 2))
    along = direction(matrix, u, v, axis)
    b, e = direction(matrix, u, v, first) / along, direction(matrix, u, v, second) / along
    return axis, first, second, along, source[first] - source[axis] * b, b, source[second] - source[axis] * e, e


@inner
def _clip(start, slope, last, low, high):
    """Narrow [low, high] to the k with 0 <= start + slope k <= last."""
    if slope > 1e-12:
        return max(low, -start / slope), min(high, (last - start) / slope)
    if slope < -1e-12:
        return max(low, (last - start) / slope), min(high, -start / slope)
    if start < 0 or start > last:
        return 1.0, 0.0
    return low, high


@inner
def _slab_is_empty(occupied, strides, axis, first, second, k_low, k_high, a, b, c, e):
    """Whether no block that the ray can touch between planes k_low and k_high holds tissue.

    Within one slab a ray moves by at most one block each way, so the blocks of its two ends and of the two mixed
    corners are all it can touch.
    """
    u0, u1 = int(a + b * k_low) // BLOCK, int(a + b * k_high) // BLOCK
    w0, w1 = int(c + e * k_low) // BLOCK, int(c + e * k_high) // BLOCK
    slab = (k_low // BLOCK) * strides[axis]
    su, sw = strides[first], strides[second]
    return not (
        occupied[slab + u0 * su + w0 * sw]
        or occupied[slab + u1 * su + w1 * sw]
        or occupied[slab + u0 * su + w1 * sw]
        or occupied[slab + u1 * su + w0 * sw]
    )


@inner
def plane_range(shape, occupied, block_strides, source, ray):
    """First plane and number of planes that a `line` from `source` has to read; none when it misses."""
    axis, first, second, along, a, b, c, e = ray
    if not (abs(a) < FARTHEST and abs(c) < FARTHEST):
        return 0, 0
    low, high = _clip(a, b, shape[first] - 2.0, 1.0, shape[axis] - 3.0)
    low, high = _clip(c, e, shape[second] - 2.0, low, high)
    # Only what lies in front of the source counts.
    if along > 0:
        low = max(low, source[axis] + LEAST_AHEAD)
    else:
        high = min(high, source[axis] - LEAST_AHEAD)
    if low > high:
        return 0, 0
    k_low, k_high = int(math.ceil(low)), int(math.floor(high))
    while k_low <= k_high:
        k_end = min(k_high, (k_low // BLOCK + 1) * BLOCK - 1)
        if not _slab_is_empty(occupied, block_strides, axis, first, second, k_low, k_end, a, b, c, e):
            break
        k_low = k_end + 1
    while k_high >= k_low:
        k_end = max(k_low, (k_high // BLOCK) * BLOCK)
        if not _slab_is_empty(occupied, block_strides, axis, first, second, k_end, k_high, a, b, c, e):
            break
        k_high = k_end - 1
    return k_low, max(0, k_high - k_low + 1)


@inner
def fill_gradients(gradients, u, source, ray, k, sums):
    """Fill `gradients` (2, 3, W) at u with d/dsource and d/ddirection of sum B / |d_m|; return that sum (joseph.py).

    k: the first plane; sums: over the planes from there on, see `numba_kernels.five_sums`.
    """
    axis, first, second, along, _, b, _, e = ray
    ahead = k - source[axis]
    total, du, n_du, dw, n_dw = sums
    scale = 1 / abs(along)
    lever_u, lever_w = (n_du + ahead * du) / along, (n_dw + ahead * dw) / along
    gradients[0, first, u], gradients[0, second, u] = scale * du, scale * dw
    gradients[0, axis, u] = -scale * (b * du + e * dw)
    gradients[1, first, u], gradients[1, second, u] = scale * lever_u, scale * lever_w
    gradients[1, axis, u] = -scale * (b * lever_u + e * lever_w + total / along)
    return total * scale


@inner
def add_row(sums, weights, gradients, v):
    """Add the gradients (2, 3, W) of row v, times `weights` (W,), to `sums` (4, 3): d/dsource, columns of d/dmatrix."""
    for axis in range(3):
        by_source, by_u, by_one = 0.0, 0.0, 0.0
        for u in range(len(weights)):
            by_source += weights[u] * gradients[0, axis, u]
            by_direction = weights[u] * gradients[1, axis, u]
            by_u += by_direction * u
            by_one += by_direction
        sums[0, axis] += by_source
        sums[1, axis] += by_u
        sums[2, axis] += by_one * v
        sums[3, axis] += by_one
