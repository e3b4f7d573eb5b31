"""Joseph's method for CPUs: one ray at a time, all cores, the inner loops left to the compiler's vector units.

A voxel is kept as a 16 bit level, value = scale * (level - zero), and a 32 bit word holds the level of a voxel and, in
its upper half, that of the next voxel along k: one or two reads bring the four corners of a cell (see `numba_reads`).
The step between levels is finer than the CT's own Hounsfield unit as long as nothing attenuates 60 times as much as
water.

Every kernel gives the same bits however many threads there are: each pixel is one thread's, gradients are added up row
by row in order, and the gradient of a map is made by one thread.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from . import joseph, numba_rays, numba_reads
from .numba_compiling import inner, kernel
from .numba_rays import add_row, fill_gradients, line, plane_range
from .numba_reads import aim, level, padded, read_cells, room_for


@inner
def _sum_cells(cells, u, slope_u, w, slope_w, count):
    """Sum of the bilinear values on `count` planes, whose corners are `cells`."""
    total = np.float32(0)
    for n in range(padded(count)):
        fn = np.float32(np.int32(n))
        un, wn = u + slope_u * fn, w + slope_w * fn
        fu, fw = un - np.float32(np.int32(un)), wn - np.float32(np.int32(wn))
        cell = cells[n]
        v00, v01, v10, v11 = level(cell, 0), level(cell, 1), level(cell, 2), level(cell, 3)
        near = v00 + fu * (v10 - v00)
        far = v01 + fu * (v11 - v01)
        total += near + fw * (far - near)
    return total


@inner
def five_sums(cells, u, slope_u, w, slope_w, count):
    """Sums of the bilinear values and of their derivatives along u and w, each alone and times the plane's number."""
    total, du, n_du, dw, n_dw = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for n in range(padded(count)):
        fn = np.float32(np.int32(n))
        un, wn = u + slope_u * fn, w + slope_w * fn
        fu, fw = un - np.float32(np.int32(un)), wn - np.float32(np.int32(wn))
        cell = cells[n]
        v00, v01, v10, v11 = level(cell, 0), level(cell, 1), level(cell, 2), level(cell, 3)
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


@inner
def _image_row(packed, levels, shape, strides, occupied, block_strides, s, m, v, lengths, places, cells, image):
    """Write the line integrals of row v, whose lengths are `lengths` (W,), into `image` (W,).

    places: room for two lists of `aim`, that of the ray being read and that of the next; cells: room for one list.
    """
    room = len(cells)
    ahead = aim(packed, shape, strides, occupied, block_strides, s, m, 0, v, places, 0, False)
    for u in range(len(image)):
        ray, _, count, step_u, step_w, pu, fb, pw, fe = ahead
        if u + 1 < len(image):
            start = (u + 1) % 2 * room
            ahead = aim(packed, shape, strides, occupied, block_strides, s, m, u + 1, v, places, start, False)
        read_cells(packed, places, u % 2 * room, cells, ray[0], step_u, step_w, count)
        total = _sum_cells(cells, pu, fb, pw, fe, count) - levels[1] * count
        image[u] = levels[0] * total * lengths[u] / abs(ray[3])


@inner
def _gradients_row(packed, levels, shape, strides, occupied, block_strides, s, m, v, places, cells, totals, gradients):
    """Fill `gradients` (2, 3, W) with d/dsource and d/ddirection of sum B / |d_m| (see joseph.py), `totals` with that.

    Both are those of the rays of row v.
    """
    room, scale = len(cells), levels[0]
    ahead = aim(packed, shape, strides, occupied, block_strides, s, m, 0, v, places, 0, False)
    for u in range(len(totals)):
        ray, k, count, step_u, step_w, pu, fb, pw, fe = ahead
        if u + 1 < len(totals):
            start = (u + 1) % 2 * room
            ahead = aim(packed, shape, strides, occupied, block_strides, s, m, u + 1, v, places, start, False)
        read_cells(packed, places, u % 2 * room, cells, ray[0], step_u, step_w, count)
        total, du, n_du, dw, n_dw = five_sums(cells, pu, fb, pw, fe, count)
        sums = (scale * (total - levels[1] * count), scale * du, scale * n_du, scale * dw, scale * n_dw)
        totals[u] = fill_gradients(gradients, u, s, ray, k, sums)


@inner
def write_change(source_move, matrix_move, v, lengths, gradients, change):
    """Write how the integrals of row v change along one tangent into `change` (W,), from their gradients (2, 3, W)."""
    s_i, s_j, s_k = source_move[0], source_move[1], source_move[2]
    u_i, u_j, u_k = matrix_move[0, 0], matrix_move[1, 0], matrix_move[2, 0]
    i = matrix_move[0, 1] * v + matrix_move[0, 2]
    j = matrix_move[1, 1] * v + matrix_move[1, 2]
    k = matrix_move[2, 1] * v + matrix_move[2, 2]
    for u in range(len(change)):
        by_source = gradients[0, 0, u] * s_i + gradients[0, 1, u] * s_j + gradients[0, 2, u] * s_k
        by_i, by_j, by_k = gradients[1, 0, u], gradients[1, 1, u], gradients[1, 2, u]
        change[u] = lengths[u] * (by_source + by_i * (i + u_i * u) + by_j * (j + u_j * u) + by_k * (k + u_k * u))


@kernel(joseph, numba_rays, numba_reads)
def project(packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, image):
    """Write line integrals into `image` (B, H, W).

    packed, occupied: flat; levels: scale [1/mm] and zero of the packed map; shape, strides, block_strides: of axes
    i, j, k; source (B, 3) and matrix (B, 3, 3) in the coordinates of the rimmed map; length_mm (H, W).
    """
    poses, height, _ = image.shape
    room = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        places, cells = np.empty(2 * room, np.int32), np.empty(room, np.uint64)
        _image_row(
            packed, levels, shape, strides, occupied, block_strides, source[pose], matrix[pose], v, length_mm[v],
            places, cells, image[pose, v],
        )  # fmt: skip


@kernel(joseph, numba_rays, numba_reads)
def project_with_jacobian(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm,
    source_tangents, matrix_tangents, image, jacobian,
):  # fmt: skip
    """Write line integrals into `image` (B, H, W), their derivatives along P tangents into `jacobian` (B, P, H, W)."""
    poses, height, width = image.shape
    columns = source_tangents.shape[1]
    room = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        places, cells = np.empty(2 * room, np.int32), np.empty(room, np.uint64)
        totals, gradients = np.empty(width), np.empty((2, 3, width))
        _gradients_row(
            packed, levels, shape, strides, occupied, block_strides, source[pose], matrix[pose], v,
            places, cells, totals, gradients,
        )  # fmt: skip
        for u in range(width):
            image[pose, v, u] = totals[u] * length_mm[v, u]
        for column in range(columns):
            write_change(
                source_tangents[pose, column], matrix_tangents[pose, column], v, length_mm[v],
                gradients, jacobian[pose, column, v],
            )  # fmt: skip


@kernel(joseph, numba_rays, numba_reads)
def pull_back_rays(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream, by_row, by_length,
):  # fmt: skip
    """Write the gradients of sum(upstream * image): `by_row` (B, H, 4, 3) and `by_length` (B, H, W).

    by_row holds for each image row d/dsource and the three columns of d/dmatrix; the caller adds the rows up in order,
    so the result does not depend on the number of threads.
    """
    poses, height, width = upstream.shape
    room = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        places, cells = np.empty(2 * room, np.int32), np.empty(room, np.uint64)
        weights, gradients = np.empty(width), np.empty((2, 3, width))
        _gradients_row(
            packed, levels, shape, strides, occupied, block_strides, source[pose], matrix[pose], v,
            places, cells, by_length[pose, v], gradients,
        )  # fmt: skip
        for u in range(width):
            by_length[pose, v, u] *= upstream[pose, v, u]
            weights[u] = upstream[pose, v, u] * length_mm[v, u]
        by_row[pose, v] = 0.0
        add_row(by_row[pose, v], weights, gradients, v)


@kernel(joseph, numba_rays, parallel=False)
def pull_back_map(mu_gradient, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream):
    """Add the gradient of sum(upstream * image) with respect to the map to `mu_gradient` (flat, rimmed).

    One thread: neighbouring rays write to the same voxels, and the order of the additions must not change.
    """
    poses, height, width = upstream.shape
    for pose in range(poses):
        s, m = source[pose], matrix[pose]
        for v in range(height):
            for u in range(width):
                ray = line(s, m, u, v)
                axis, first, second, along, a, b, c, e = ray
                k0, count = plane_range(shape, occupied, block_strides, s, ray)
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
