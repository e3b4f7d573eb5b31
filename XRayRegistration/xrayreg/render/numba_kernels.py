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
from numba import njit, prange

from . import joseph, numba_rays, numba_reads
from .numba_compiling import INNER, kernel
from .numba_rays import add_ray, fill_gradients, line, plane_range
from .numba_reads import find_places, level, padded, read_cells, room_for


@njit(inline="always", **INNER)
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


@njit(inline="always", **INNER)
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


@njit(inline="always", **INNER)
def _read_ray(packed, strides, places, cells, ray, k, count):
    """Read the corners that a ray meets on `count` planes from plane k on; return its place on plane k and slopes."""
    axis, first, second, _, a, b, c, e = ray
    step, step_u, step_w = np.int32(strides[axis]), np.int32(strides[first]), np.int32(strides[second])
    pu, pw, fb, fe = np.float32(a + b * k), np.float32(c + e * k), np.float32(b), np.float32(e)
    find_places(places, np.int32(k * strides[axis]), step, step_u, step_w, pu, fb, pw, fe, count)
    read_cells(packed, places, cells, axis, step_u, step_w, count)
    return pu, fb, pw, fe


@kernel(joseph, numba_rays, numba_reads)
def project(packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, image):
    """Write line integrals into `image` (B, H, W).

    packed, occupied: flat; levels: scale [1/mm] and zero of the packed map; shape, strides, block_strides: of axes
    i, j, k; source (B, 3) and matrix (B, 3, 3) in the coordinates of the rimmed map; length_mm (H, W).
    """
    poses, height, width = image.shape
    longest = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        places, cells = np.empty(longest, np.int32), np.empty(longest, np.uint64)
        for u in range(width):
            ray = line(s, m, u, v)
            k, count = plane_range(shape, occupied, block_strides, s, ray)
            pu, fb, pw, fe = _read_ray(packed, strides, places, cells, ray, k, count)
            total = _sum_cells(cells, pu, fb, pw, fe, count) - levels[1] * count
            image[pose, v, u] = levels[0] * total * length_mm[v, u] / abs(ray[3])


@njit(inline="always", **INNER)
def _ray_gradients(
    packed, levels, shape, strides, occupied, block_strides, s, m, u, v, places, cells, gradients,
):  # fmt: skip
    """Fill `gradients` (2, 3) with d/dsource and d/ddirection of sum B / |d_m| and return that sum (see joseph.py)."""
    ray = line(s, m, u, v)
    k, count = plane_range(shape, occupied, block_strides, s, ray)
    pu, fb, pw, fe = _read_ray(packed, strides, places, cells, ray, k, count)
    total, du, n_du, dw, n_dw = five_sums(cells, pu, fb, pw, fe, count)
    scale = levels[0]
    sums = (scale * (total - levels[1] * count), scale * du, scale * n_du, scale * dw, scale * n_dw)
    return fill_gradients(gradients, s, ray, k, sums)


@kernel(joseph, numba_rays, numba_reads)
def project_with_jacobian(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm,
    source_tangents, matrix_tangents, image, jacobian,
):  # fmt: skip
    """Write line integrals into `image` (B, H, W), their derivatives along P tangents into `jacobian` (B, P, H, W)."""
    poses, height, width = image.shape
    columns = source_tangents.shape[1]
    longest = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        source_moves, matrix_moves = source_tangents[pose], matrix_tangents[pose]
        places, cells = np.empty(longest, np.int32), np.empty(longest, np.uint64)
        gradients = np.empty((2, 3))
        for u in range(width):
            total = _ray_gradients(
                packed, levels, shape, strides, occupied, block_strides, s, m, u, v, places, cells, gradients,
            )  # fmt: skip
            length = length_mm[v, u]
            image[pose, v, u] = total * length
            for column in range(columns):
                change = 0.0
                for axis in range(3):
                    along_u, along_v = matrix_moves[column, axis, 0] * u, matrix_moves[column, axis, 1] * v
                    change += gradients[0, axis] * source_moves[column, axis]
                    change += gradients[1, axis] * (along_u + along_v + matrix_moves[column, axis, 2])
                jacobian[pose, column, v, u] = change * length


@kernel(joseph, numba_rays, numba_reads)
def pull_back_rays(
    packed, levels, shape, strides, occupied, block_strides, source, matrix, length_mm, upstream, by_row, by_length,
):  # fmt: skip
    """Write the gradients of sum(upstream * image): `by_row` (B, H, 4, 3) and `by_length` (B, H, W).

    by_row holds for each image row d/dsource and the three columns of d/dmatrix; the caller adds the rows up in order,
    so the result does not depend on the number of threads.
    """
    poses, height, width = upstream.shape
    longest = room_for(shape)
    for row in prange(poses * height):
        pose, v = row // height, row % height
        s, m = source[pose], matrix[pose]
        places, cells = np.empty(longest, np.int32), np.empty(longest, np.uint64)
        gradients = np.empty((2, 3))
        sums = np.zeros((4, 3))
        for u in range(width):
            total = _ray_gradients(
                packed, levels, shape, strides, occupied, block_strides, s, m, u, v, places, cells, gradients,
            )  # fmt: skip
            by_length[pose, v, u] = upstream[pose, v, u] * total
            weight = upstream[pose, v, u] * length_mm[v, u]
            add_ray(sums, weight, gradients, u, v)
        by_row[pose, v] = sums


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
