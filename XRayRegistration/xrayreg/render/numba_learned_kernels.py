"""Joseph's method for maps that a network makes: C float maps on one grid, with the adjoint of image and Jacobian.

Such maps change with every step of training, have no empty blocks and both signs, so they are read as they come: C
float32 values side by side for each voxel, without the packing of `numba_maps`. Every kernel gives the same bits
however many threads there are: each pixel, and in the adjoint each channel, is one thread's.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from . import joseph, numba_kernels, numba_rays
from .numba_compiling import inner, kernel
from .numba_kernels import write_change
from .numba_rays import fill_gradients, line, plane_range


@inner
def _add_plane(maps, at, step_u, step_w, n, fu, fw, sums):
    """Add what plane n holds of each channel's five sums (see joseph.py) to `sums` (C, 5); `at`: the lower corner."""
    for c in range(len(sums)):
        v00, v10 = np.float64(maps[at + c]), np.float64(maps[at + step_u + c])
        v01, v11 = np.float64(maps[at + step_w + c]), np.float64(maps[at + step_u + step_w + c])
        near_slope, far_slope = v10 - v00, v11 - v01
        near, far = v00 + fu * near_slope, v01 + fu * far_slope
        by_w, by_u = far - near, near_slope + fw * (far_slope - near_slope)
        sums[c, 0] += near + fw * by_w
        sums[c, 1] += by_u
        sums[c, 2] += n * by_u
        sums[c, 3] += by_w
        sums[c, 4] += n * by_w


@inner
def _gradients_row(maps, shape, strides, occupied, block_strides, s, m, v, sums, totals, gradients):
    """Fill `totals` (C, W) with sum B / |d_m| of the rays of row v, `gradients` (C, 2, 3, W) with its derivatives."""
    channels, width = totals.shape
    for u in range(width):
        ray = line(s, m, u, v)
        k0, count = plane_range(shape, occupied, block_strides, s, ray)
        axis, first, second, _, a, b, c, e = ray
        sums[:] = 0.0
        for n in range(count):
            k = k0 + n
            pu, pw = a + b * k, c + e * k
            iu, iw = int(pu), int(pw)
            at = (k * strides[axis] + iu * strides[first] + iw * strides[second]) * channels
            _add_plane(maps, at, strides[first] * channels, strides[second] * channels, n, pu - iu, pw - iw, sums)
        for channel in range(channels):
            of_ray = sums[channel]
            five = (of_ray[0], of_ray[1], of_ray[2], of_ray[3], of_ray[4])
            totals[channel, u] = fill_gradients(gradients[channel], u, s, ray, k0, five)


@kernel(joseph, numba_kernels, numba_rays)
def project_learned(
    maps, shape, strides, occupied, block_strides, source, matrix, length_mm,
    source_tangents, matrix_tangents, image, jacobian,
):  # fmt: skip
    """Write line integrals into `image` (B, C, H, W), their derivatives along P tangents into (B, C, P, H, W).

    maps: flat, rimmed, the C channels of a voxel side by side; strides count voxels; the others as for
    `numba_kernels.project_with_jacobian`.
    """
    poses, channels, height, width = image.shape
    for row in prange(poses * height):
        pose, v = row // height, row % height
        sums, totals, gradients = (
            np.empty((channels, 5)),
            np.empty((channels, width)),
            np.empty((channels, 2, 3, width)),
        )
        _gradients_row(
            maps, shape, strides, occupied, block_strides, source[pose], matrix[pose], v, sums, totals, gradients
        )
        for channel in range(channels):
            for u in range(width):
                image[pose, channel, v, u] = totals[channel, u] * length_mm[v, u]
            for column in range(source_tangents.shape[1]):
                write_change(
                    source_tangents[pose, column], matrix_tangents[pose, column], v, length_mm[v],
                    gradients[channel], jacobian[pose, channel, column, v],
                )  # fmt: skip


@inner
def _moved(source_moves, matrix_moves, by_column, u, v, axis):
    """The weighted sums over the tangents of how the ray of pixel (u, v) moves along `axis`: source, direction."""
    by_source, by_direction = 0.0, 0.0
    for column in range(len(by_column)):
        moves = matrix_moves[column, axis]
        by_source += by_column[column, v, u] * source_moves[column, axis]
        by_direction += by_column[column, v, u] * (moves[0] * u + moves[1] * v + moves[2])
    return by_source, by_direction


@inner
def _weights_of_sums(s, ray, k0, length, by_image, source_moves, matrix_moves, by_column, u, v):
    """What the five sums of a ray are multiplied by in by_image * image + sum over p of by_column[p] * jacobian[p].

    The transpose of `numba_rays.fill_gradients` followed by `numba_kernels.write_change`.
    """
    axis, first, second, along, _, b, _, e = ray
    scale = length / abs(along)
    s_a, d_a = _moved(source_moves, matrix_moves, by_column, u, v, axis)
    s_u, d_u = _moved(source_moves, matrix_moves, by_column, u, v, first)
    s_w, d_w = _moved(source_moves, matrix_moves, by_column, u, v, second)
    ahead = k0 - s[axis]
    lever_u, lever_w = (d_u - b * d_a) / along, (d_w - e * d_a) / along
    return (
        scale * (by_image - d_a / along),
        scale * (s_u - b * s_a + ahead * lever_u),
        scale * lever_u,
        scale * (s_w - e * s_a + ahead * lever_w),
        scale * lever_w,
    )


@inner
def _scatter(gradient, strides, ray, k0, count, weights):
    """Add the weights of a ray's five sums to the voxels that these were made of."""
    axis, first, second, _, a, b, c, e = ray
    by_total, by_u, by_nu, by_w, by_nw = weights
    step_u, step_w = strides[first], strides[second]
    for n in range(count):
        k = k0 + n
        pu, pw = a + b * k, c + e * k
        iu, iw = int(pu), int(pw)
        fu, fw = pu - iu, pw - iw
        slope_u, slope_w = by_u + n * by_nu, by_w + n * by_nw
        near_u, far_u = (by_total * fu + slope_u) * (1 - fw), (by_total * fu + slope_u) * fw
        near, far = (by_total * (1 - fu) - slope_u) * (1 - fw), (by_total * (1 - fu) - slope_u) * fw
        at = k * strides[axis] + iu * step_u + iw * step_w
        gradient[at] += near - slope_w * (1 - fu)
        gradient[at + step_u] += near_u - slope_w * fu
        gradient[at + step_w] += far + slope_w * (1 - fu)
        gradient[at + step_u + step_w] += far_u + slope_w * fu


@kernel(joseph, numba_kernels, numba_rays)
def pull_back_learned(
    gradient, shape, strides, occupied, block_strides, source, matrix, length_mm,
    source_tangents, matrix_tangents, by_image, by_jacobian,
):  # fmt: skip
    """Add the adjoint of `project_learned` to `gradient` (C, N), a flat rimmed map for each channel.

    by_image (B, C, H, W), by_jacobian (B, C, P, H, W): derivatives of a scalar by what `project_learned` wrote.
    """
    poses, channels, height, width = by_image.shape
    for channel in prange(channels):
        for pose in range(poses):
            for v in range(height):
                for u in range(width):
                    ray = line(source[pose], matrix[pose], u, v)
                    k0, count = plane_range(shape, occupied, block_strides, source[pose], ray)
                    weights = _weights_of_sums(
                        source[pose], ray, k0, length_mm[v, u], by_image[pose, channel, v, u],
                        source_tangents[pose], matrix_tangents[pose], by_jacobian[pose, channel], u, v,
                    )  # fmt: skip
                    _scatter(gradient[channel], strides, ray, k0, count, weights)
