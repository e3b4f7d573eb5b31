"""Joseph's method for CPUs: one ray at a time, all cores, the inner loop left to the compiler's vector units.

The map comes with a rim of zeros, so a bilinear read never leaves the array and the inner loop has no branch: one voxel
before the first, over which the outermost voxels fade, and two after the last, so that a place on the outer edge of the
first still has an upper neighbour.
Rays skip the slabs of planes at either end in which their blocks hold no tissue.

A voxel is kept as a 16 bit level, value = scale * (level - zero), and a 32 bit word holds the level of a voxel and, in
its upper half, that of the next voxel along k. Reading memory is what a CPU spends its time on; this way two reads
bring the four corners of a cell for every ray that does not run along k, a third off the time. The step between levels
is finer than the CT's own Hounsfield unit as long as nothing attenuates 60 times as much as water.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .joseph import LEAST_AHEAD

# Edge of the blocks [voxels] in which emptiness is recorded; a power of two near what a vector loop digests at once.
BLOCK = 16
RIM_BEFORE, RIM_AFTER = 1, 2
# A source further away [voxels] is too far for double precision to say which voxels a ray meets.
FARTHEST = 1e9
_INNER = {"fastmath": True, "error_model": "numpy"}
_OPTIONS = {**_INNER, "cache": True}


@njit(inline="always", **_OPTIONS)
def _clip(start, slope, last, low, high):
    """Narrow [low, high] to the k with 0 <= start + slope k <= last."""
    if slope > 1e-12:
        return max(low, -start / slope), min(high, (last - start) / slope)
    if slope < -1e-12:
        return max(low, (last - start) / slope), min(high, -start / slope)
    if start < 0 or start > last:
        return 1.0, 0.0
    return low, high


@njit(inline="always", **_OPTIONS)
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


@njit(inline="always", **_OPTIONS)
def _plane_range(shape, occupied, block_strides, axis, first, second, a, b, c, e, source, along):
    """First plane and number of planes that the ray a + b k, c + e k has to read; none when it misses."""
    if not (abs(a) < FARTHEST and abs(c) < FARTHEST):
        return 0, 0
    low, high = _clip(a, b, shape[first] - 2.0, 1.0, shape[axis] - 3.0)
    low, high = _clip(c, e, shape[second] - 2.0, low, high)
    # Only what lies in front of the source counts.
    if along > 0:
        low = max(low, source + LEAST_AHEAD)
    else:
        high = min(high, source - LEAST_AHEAD)
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


@njit(inline="always", **_OPTIONS)
def _paired_corners(packed, at, step_u, step_w):
    """The four corners (v00, v10, v01, v11) of a cell when w runs along k: each word holds both of its neighbours."""
    here, next_u = packed[np.uint32(at)], packed[np.uint32(at + step_u)]
    return _low(here), _low(next_u), _high(here), _high(next_u)


@njit(inline="always", **_OPTIONS)
def _single_corners(packed, at, step_u, step_w):
    """The four corners (v00, v10, v01, v11) of a cell when w does not run along k."""
    return (
        _low(packed[np.uint32(at)]),
        _low(packed[np.uint32(at + step_u)]),
        _low(packed[np.uint32(at + step_w)]),
        _low(packed[np.uint32(at + step_u + step_w)]),
    )


@njit(inline="always", **_OPTIONS)
def _low(word):
    return np.float32(np.int32(word & np.uint32(0xFFFF)))


@njit(inline="always", **_OPTIONS)
def _high(word):
    return np.float32(np.int32(word >> np.uint32(16)))


def _sums_over_planes(corners):
    """The two sums along a ray, `sum_planes` and `five_sums`, for a way of reading a cell's corners.

    Both take the first plane's offset in the map, the steps from plane to plane and along u and w, the position (u, w)
    on the first plane with its slopes, and the number of planes; places are counted in 32 bits, which vectorise.
    """

    @njit(**_INNER)
    def sum_planes(packed, offset, step, step_u, step_w, u, slope_u, w, slope_w, count):
        total = np.float32(0)
        for n in range(np.uint32(count)):
            un, wn = u + slope_u * np.float32(n), w + slope_w * np.float32(n)
            iu, iw = np.uint32(np.int32(un)), np.uint32(np.int32(wn))
            fu, fw = un - np.float32(np.int32(iu)), wn - np.float32(np.int32(iw))
            at = np.uint32(offset + np.uint32(n) * step + iu * step_u + iw * step_w)
            v00, v10, v01, v11 = corners(packed, at, step_u, step_w)
            near = v00 + fu * (v10 - v00)
            far = v01 + fu * (v11 - v01)
            total += near + fw * (far - near)
        return total

    @njit(**_INNER)
    def five_sums(packed, offset, step, step_u, step_w, u, slope_u, w, slope_w, count):
        total, du, n_du, dw, n_dw = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for n in range(np.uint32(count)):
            fn = np.float32(n)
            un, wn = u + slope_u * fn, w + slope_w * fn
            iu, iw = np.uint32(np.int32(un)), np.uint32(np.int32(wn))
            fu, fw = un - np.float32(np.int32(iu)), wn - np.float32(np.int32(iw))
            at = np.uint32(offset + np.uint32(n) * step + iu * step_u + iw * step_w)
            v00, v10, v01, v11 = corners(packed, at, step_u, step_w)
            near_slope, far_slope = v10 - v00, v11 - v01
            near, far = v00 + fu * near_slope, v01 + fu * far_slope
            by_w = far - near
            by_u = near_slope + fw * (far_slope - near_slope)
            total += near + fw * by_w
            du += by_u
            n_du += fn * by_u
            dw += by_w
            n_dw += fn * by_w
        return total, du, n_du, dw, n_dw

    return sum_planes, five_sums


_sum_paired, _five_paired = _sums_over_planes(_paired_corners)
_sum_single, _five_single = _sums_over_planes(_single_corners)


@njit(inline="always", **_OPTIONS)
def _axes(dx, dy, dz):
    """The dominant axis of a direction (the first one of equals) and the two others."""
    ax, ay, az = abs(dx), abs(dy), abs(dz)
    if ax >= ay and ax >= az:
        return 0, 1, 2
    if ay >= az:
        return 1, 0, 2
    return 2, 0, 1


@njit(inline="always", **_OPTIONS)
def _direction(matrix, u, v, axis):
    return matrix[axis, 0] * u + matrix[axis, 1] * v + matrix[axis, 2]


@njit(parallel=True, **_OPTIONS)
def project(packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, image):
    """Write line integrals into `image` (B, H, W).

    packed, occupied: flat; levels: scale [1/mm] and zero of the packed map; shape, strides, block_strides: of axes
    i, j, k; source (B, 3) and matrix (B, 3, 3) in the coordinates of the rimmed map; length_mm (H, W).
    """
    poses, height, width = image.shape
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        for u in range(width):
            axis, first, second = _axes(_direction(m, u, v, 0), _direction(m, u, v, 1), _direction(m, u, v, 2))
            along = _direction(m, u, v, axis)
            b, e = _direction(m, u, v, first) / along, _direction(m, u, v, second) / along
            a, c = s[first] - s[axis] * b, s[second] - s[axis] * e
            k, count = _plane_range(shape, occupied, block_strides, axis, first, second, a, b, c, e, s[axis], along)
            step, step_u, step_w = np.uint32(strides[axis]), np.uint32(strides[first]), np.uint32(strides[second])
            place = np.uint32(k * strides[axis])
            pu, pw, fb, fe = np.float32(a + b * k), np.float32(c + e * k), np.float32(b), np.float32(e)
            if axis == 2:
                total = _sum_single(packed, place, step, step_u, step_w, pu, fb, pw, fe, count)
            else:
                total = _sum_paired(packed, place, step, step_u, step_w, pu, fb, pw, fe, count)
            image[pose, v, u] = levels[0] * (total - levels[1] * count) * length_mm[v, u] / abs(along)


@njit(inline="always", **_OPTIONS)
def _ray_gradients(packed, levels, shape, strides, occupied, block_strides, s, m, u, v, gradients):
    """Fill `gradients` (2, 3) with d/dsource and d/ddirection of sum B / |d_m| and return that sum (see joseph.py)."""
    axis, first, second = _axes(_direction(m, u, v, 0), _direction(m, u, v, 1), _direction(m, u, v, 2))
    along = _direction(m, u, v, axis)
    b, e = _direction(m, u, v, first) / along, _direction(m, u, v, second) / along
    a, c = s[first] - s[axis] * b, s[second] - s[axis] * e
    k, count = _plane_range(shape, occupied, block_strides, axis, first, second, a, b, c, e, s[axis], along)
    step, step_u, step_w = np.uint32(strides[axis]), np.uint32(strides[first]), np.uint32(strides[second])
    place = np.uint32(k * strides[axis])
    pu, pw, fb, fe = np.float32(a + b * k), np.float32(c + e * k), np.float32(b), np.float32(e)
    if axis == 2:
        total, du, n_du, dw, n_dw = _five_single(packed, place, step, step_u, step_w, pu, fb, pw, fe, count)
    else:
        total, du, n_du, dw, n_dw = _five_paired(packed, place, step, step_u, step_w, pu, fb, pw, fe, count)
    total = total - levels[1] * count
    scale = levels[0] / abs(along)
    lever_u, lever_w = (n_du + (k - s[axis]) * du) / along, (n_dw + (k - s[axis]) * dw) / along
    gradients[0, first], gradients[0, second] = scale * du, scale * dw
    gradients[0, axis] = -scale * (b * du + e * dw)
    gradients[1, first], gradients[1, second] = scale * lever_u, scale * lever_w
    gradients[1, axis] = -scale * (b * lever_u + e * lever_w + total / along)
    return total * scale


@njit(parallel=True, **_OPTIONS)
def project_with_jacobian(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm,
    source_tangents, matrix_tangents, image, jacobian,
):  # fmt: skip
    """Write line integrals into `image` (B, H, W), their derivatives along P tangents into `jacobian` (B, P, H, W)."""
    poses, height, width = image.shape
    columns = source_tangents.shape[1]
    for row in prange(poses * height):
        pose, v = row // height, row % height
        gradients = np.empty((2, 3))
        for u in range(width):
            total = _ray_gradients(
                packed, levels, shape, strides, occupied, block_strides, source[pose], matrix[pose], u, v, gradients
            )
            length = length_mm[v, u]
            image[pose, v, u] = total * length
            for column in range(columns):
                change = 0.0
                for axis in range(3):
                    change += gradients[0, axis] * source_tangents[pose, column, axis]
                    change += gradients[1, axis] * _direction(matrix_tangents[pose, column], u, v, axis)
                jacobian[pose, column, v, u] = change * length


@njit(parallel=True, **_OPTIONS)
def pull_back_rays(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream, by_row, by_length,
):  # fmt: skip
    """Write the gradients of sum(upstream * image): `by_row` (B, H, 4, 3) and `by_length` (B, H, W).

    by_row holds for each image row d/dsource and the three columns of d/dmatrix; the caller adds the rows up in order,
    so the result does not depend on the number of threads.
    """
    poses, height, width = upstream.shape
    for row in prange(poses * height):
        pose, v = row // height, row % height
        gradients = np.empty((2, 3))
        sums = np.zeros((4, 3))
        for u in range(width):
            total = _ray_gradients(
                packed, levels, shape, strides, occupied, block_strides, source[pose], matrix[pose], u, v, gradients
            )
            by_length[pose, v, u] = upstream[pose, v, u] * total
            weight = upstream[pose, v, u] * length_mm[v, u]
            for axis in range(3):
                sums[0, axis] += weight * gradients[0, axis]
                by_direction = weight * gradients[1, axis]
                sums[1, axis] += by_direction * u
                sums[2, axis] += by_direction * v
                sums[3, axis] += by_direction
        by_row[pose, v] = sums


@njit(**_OPTIONS)
def pull_back_map(mu_gradient, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream):
    """Add the gradient of sum(upstream * image) with respect to the map to `mu_gradient` (flat, rimmed).

    One thread: neighbouring rays write to the same voxels, and the order of the additions must not change.
    """
    poses, height, width = upstream.shape
    for pose in range(poses):
        s, m = source[pose], matrix[pose]
        for v in range(height):
            for u in range(width):
                axis, first, second = _axes(_direction(m, u, v, 0), _direction(m, u, v, 1), _direction(m, u, v, 2))
                along = _direction(m, u, v, axis)
                b, e = _direction(m, u, v, first) / along, _direction(m, u, v, second) / along
                a, c = s[first] - s[axis] * b, s[second] - s[axis] * e
                k0, count = _plane_range(
                    shape, occupied, block_strides, axis, first, second, a, b, c, e, s[axis], along
                )
                weight = upstream[pose, v, u] * length_mm[v, u] / abs(along)
                step_u, step_w = strides[first], strides[second]
                for k in range(k0, k0 + count):
                    pu, pw = a + b * k, c + e * k
                    iu, iw = int(pu), int(pw)
                    fu, fw = pu - iu, pw - iw
                    at = k * strides[axis] + iu * step_u + iw * step_w
                    mu_gradient[at] += weight * (1 - fu) * (1 - fw)
                    mu_gradient[at + step_u] += weight * fu * (1 - fw)
                    mu_gradient[at + step_w] += weight * (1 - fu) * fw
                    mu_gradient[at + step_u + step_w] += weight * fu * fw
