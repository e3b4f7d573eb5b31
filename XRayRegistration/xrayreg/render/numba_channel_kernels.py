"""Joseph's method for several maps on one grid: two at a time, whose levels share a 32 bit word (see `numba_reads`).

The two levels of one voxel take the place that `numba_kernels` gives to a voxel and its upper neighbour, so two maps
are as much memory as one there, and where a ray runs is found once for both. As there, every kernel gives the same bits
however many threads there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from . import joseph, numba_rays, numba_reads
from .numba_compiling import INNER, kernel
from .numba_rays import add_ray, fill_gradients, line, plane_range
from .numba_reads import find_places, level, padded, read_pairs, room_for


@njit(inline="always", **INNER)
def _sum_pairs(near, far, u, slope_u, w, slope_w, count):
    """Sums of the bilinear values of two channels on `count` planes, whose corners are `near` and `far`."""
    one, other = np.float32(0), np.float32(0)
    for n in range(padded(count)):
        fn = np.float32(np.int32(n))
        un, wn = u + slope_u * fn, w + slope_w * fn
        fu, fw = un - np.float32(np.int32(un)), wn - np.float32(np.int32(wn))
        here, there = near[n], far[n]
        close = level(here, 0) + fu * (level(here, 2) - level(here, 0))
        distant = level(there, 0) + fu * (level(there, 2) - level(there, 0))
        one += close + fw * (distant - close)
        close = level(here, 1) + fu * (level(here, 3) - level(here, 1))
        distant = level(there, 1) + fu * (level(there, 3) - level(there, 1))
        other += close + fw * (distant - close)
    return one, other


@njit(inline="always", **INNER)
def _mix(cell, number, by_one, by_other):
    """Weighted sum of the levels `number` and `number` + 1 of a cell, those of two channels in one place."""
    return by_one * level(cell, number) + by_other * level(cell, number + 1)


@njit(inline="always", **INNER)
def _five_sums_of_pairs(near, far, by_one, by_other, u, slope_u, w, slope_w, count):
    """`numba_kernels.five_sums` of the sum of two channels, weighted by `by_one` and `by_other`."""
    total, du, n_du, dw, n_dw = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for n in range(padded(count)):
        fn = np.float32(np.int32(n))
        un, wn = u + slope_u * fn, w + slope_w * fn
        fu, fw = un - np.float32(np.int32(un)), wn - np.float32(np.int32(wn))
        here, there = near[n], far[n]
        v00, v10 = _mix(here, 0, by_one, by_other), _mix(here, 2, by_one, by_other)
        v01, v11 = _mix(there, 0, by_one, by_other), _mix(there, 2, by_one, by_other)
        near_slope, far_slope = v10 - v00, v11 - v01
        close, distant = v00 + fu * near_slope, v01 + fu * far_slope
        along_w = distant - close
        along_u = near_slope + fw * (far_slope - near_slope)
        total += close + fw * along_w
        du += along_u
        n_du += fn * along_u
        dw += along_w
        n_dw += fn * along_w
    return total, du, n_du, dw, n_dw


@njit(inline="always", **INNER)
def _read_ray(packed, strides, places, near, far, ray, k, count):
    """Read the corners that a ray meets on `count` planes from plane k on; return its place on plane k and slopes."""
    axis, first, second, _, a, b, c, e = ray
    step, step_u, step_w = np.int32(strides[axis]), np.int32(strides[first]), np.int32(strides[second])
    pu, pw, fb, fe = np.float32(a + b * k), np.float32(c + e * k), np.float32(b), np.float32(e)
    find_places(places, np.int32(k * strides[axis]), step, step_u, step_w, pu, fb, pw, fe, count)
    read_pairs(packed, places, near, far, axis, step_u, step_w, count)
    return pu, fb, pw, fe


@kernel(joseph, numba_rays, numba_reads)
def project_channels(packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, image):
    """Write line integrals into `image` (B, C, H, W).

    packed (P, N), occupied (P, M): a row for each pair of channels; levels (2 P, 2): scale [1/mm] and zero of each
    channel; the others as for `numba_kernels.project`.
    """
    poses, channels, height, width = image.shape
    longest = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        places = np.empty(longest, np.int32)
        near, far = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
        for pair in range(len(packed)):
            words, blocks = packed[pair], occupied[pair]
            one, other = 2 * pair, 2 * pair + 1
            for u in range(width):
                ray = line(s, m, u, v)
                k, count = plane_range(shape, blocks, block_strides, s, ray)
                pu, fb, pw, fe = _read_ray(words, strides, places, near, far, ray, k, count)
                by_one, by_other = _sum_pairs(near, far, pu, fb, pw, fe, count)
                length = length_mm[v, u] / abs(ray[3])
                image[pose, one, v, u] = levels[one, 0] * (by_one - levels[one, 1] * count) * length
                if other < channels:
                    image[pose, other, v, u] = levels[other, 0] * (by_other - levels[other, 1] * count) * length


@kernel(joseph, numba_rays, numba_reads)
def pull_back_channel_rays(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream, by_row, by_length,
):  # fmt: skip
    """Write the gradients of sum(upstream * image), the image being (B, C, H, W), as `numba_kernels.pull_back_rays`."""
    poses, channels, height, width = upstream.shape
    longest = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        places = np.empty(longest, np.int32)
        near, far = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
        gradients = np.empty((2, 3))
        sums = np.zeros((4, 3))
        by_length[pose, v, :] = 0.0
        for pair in range(len(packed)):
            words, blocks = packed[pair], occupied[pair]
            one, other = 2 * pair, min(2 * pair + 1, channels - 1)
            for u in range(width):
                by_one = upstream[pose, one, v, u] * levels[one, 0]
                by_other = upstream[pose, other, v, u] * levels[other, 0] if other > one else 0.0
                if by_one == 0 and by_other == 0:
                    continue
                ray = line(s, m, u, v)
                k, count = plane_range(shape, blocks, block_strides, s, ray)
                pu, fb, pw, fe = _read_ray(words, strides, places, near, far, ray, k, count)
                total, du, n_du, dw, n_dw = _five_sums_of_pairs(
                    near, far, np.float32(by_one), np.float32(by_other), pu, fb, pw, fe, count
                )
                air = (by_one * levels[one, 1] + by_other * levels[other, 1]) * count
                five = (total - air, np.float64(du), np.float64(n_du), np.float64(dw), np.float64(n_dw))
                by_length[pose, v, u] += fill_gradients(gradients, s, ray, k, five)
                add_ray(sums, length_mm[v, u], gradients, u, v)
        by_row[pose, v] = sums
