"""Joseph's method for several maps on one grid: two at a time, whose levels share a 32 bit word (see `numba_reads`).

The two levels of one voxel take the place that `numba_kernels` gives to a voxel and its upper neighbour, so two maps
are as much memory as one there, and where a ray runs is found once for both. As there, every kernel gives the same bits
however many threads there are.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from . import joseph, numba_rays, numba_reads
from .numba_compiling import inner, kernel
from .numba_rays import add_row, fill_gradients
from .numba_reads import aim, level, padded, read_pairs, room_for


@inner
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


@inner
def _mix(cell, number, by_one, by_other):
    """Weighted sum of the levels `number` and `number` + 1 of a cell, those of two channels in one place."""
    return by_one * level(cell, number) + by_other * level(cell, number + 1)


@inner
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


@inner
def _images_row(
    packed, one, other, shape, strides, occupied, block_strides, s, m, v, lengths, places, near, far, by_one, by_other,
):  # fmt: skip
    """Write the line integrals of row v through a pair of channels into `by_one` and `by_other` (W,).

    one, other: scale [1/mm] and zero of each channel.
    """
    room = len(near)
    ahead = aim(packed, shape, strides, occupied, block_strides, s, m, 0, v, places, 0, True)
    for u in range(len(lengths)):
        ray, _, count, step_u, step_w, pu, fb, pw, fe = ahead
        if u + 1 < len(lengths):
            start = (u + 1) % 2 * room
            ahead = aim(packed, shape, strides, occupied, block_strides, s, m, u + 1, v, places, start, True)
        read_pairs(packed, places, u % 2 * room, near, far, ray[0], step_u, step_w, count)
        first, second = _sum_pairs(near, far, pu, fb, pw, fe, count)
        length = lengths[u] / abs(ray[3])
        by_one[u] = one[0] * (first - one[1] * count) * length
        by_other[u] = other[0] * (second - other[1] * count) * length


@inner
def _gradients_row(
    packed, one, other, shape, strides, occupied, block_strides, s, m, v, by_one, by_other,
    places, near, far, totals, gradients,
):  # fmt: skip
    """`numba_kernels._gradients_row` of the sum of two channels, weighted by `by_one` and `by_other` (W,)."""
    room = len(near)
    ahead = aim(packed, shape, strides, occupied, block_strides, s, m, 0, v, places, 0, True)
    for u in range(len(totals)):
        ray, k, count, step_u, step_w, pu, fb, pw, fe = ahead
        if u + 1 < len(totals):
            start = (u + 1) % 2 * room
            ahead = aim(packed, shape, strides, occupied, block_strides, s, m, u + 1, v, places, start, True)
        if by_one[u] == 0 and by_other[u] == 0:
            # Pixels with zero upstream gradient need not be read.
            count = 0
        read_pairs(packed, places, u % 2 * room, near, far, ray[0], step_u, step_w, count)
        first, second = by_one[u] * one[0], by_other[u] * other[0]
        total, du, n_du, dw, n_dw = _five_sums_of_pairs(
            near, far, np.float32(first), np.float32(second), pu, fb, pw, fe, count
        )
        air = (first * one[1] + second * other[1]) * count
        sums = (total - air, np.float64(du), np.float64(n_du), np.float64(dw), np.float64(n_dw))
        totals[u] = fill_gradients(gradients, u, s, ray, k, sums)


@kernel(joseph, numba_rays, numba_reads)
def project_channels(packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, image):
    """Write line integrals into `image` (B, C, H, W).

    packed (P, N), occupied (P, M): a row for each pair of channels; levels (C, 2): scale [1/mm] and zero of each
    channel; the others as for `numba_kernels.project`.
    """
    poses, channels, height, width = image.shape
    room = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        places, near, far = np.empty(2 * room, np.int32), np.empty(room, np.uint64), np.empty(room, np.uint64)
        nowhere = np.empty(width, np.float32)
        for pair in range(len(packed)):
            one, other = 2 * pair, min(2 * pair + 1, channels - 1)
            _images_row(
                packed[pair], levels[one], levels[other], shape, strides, occupied[pair], block_strides,
                source[pose], matrix[pose], v, length_mm[v], places, near, far,
                image[pose, one, v], image[pose, other, v] if other > one else nowhere,
            )  # fmt: skip


@kernel(joseph, numba_rays, numba_reads)
def pull_back_channel_rays(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream, by_row, by_length,
):  # fmt: skip
    """Write the gradients of sum(upstream * image), the image being (B, C, H, W), as `numba_kernels.pull_back_rays`."""
    poses, channels, height, width = upstream.shape
    room = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        places, near, far = np.empty(2 * room, np.int32), np.empty(room, np.uint64), np.empty(room, np.uint64)
        totals, gradients, nothing = np.empty(width), np.empty((2, 3, width)), np.zeros(width, np.float32)
        by_row[pose, v] = 0.0
        by_length[pose, v] = 0.0
        for pair in range(len(packed)):
            one, other = 2 * pair, min(2 * pair + 1, channels - 1)
            _gradients_row(
                packed[pair], levels[one], levels[other], shape, strides, occupied[pair], block_strides,
                source[pose], matrix[pose], v, upstream[pose, one, v],
                upstream[pose, other, v] if other > one else nothing,
                places, near, far, totals, gradients,
            )  # fmt: skip
            for u in range(width):
                by_length[pose, v, u] += totals[u]
            add_row(by_row[pose, v], length_mm[v], gradients, v)
