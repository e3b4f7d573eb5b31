# mypy: allow-untyped-defs
"""Derivatives of line integrals in Triton: columns and pull-backs from the five sums, and the map's own gradient.

Nothing here depends on the order in which a GPU runs its programs: pull-backs to the rays are partial sums, one for
each block of pixels, and the map's gradient is added up in integers, where the order of additions changes nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_kernels import (
    BLOCK,
    FINE,
    dominant,
    first_other,
    fixed,
    fraction,
    in_slab,
    planes,
    second_other,
    slopes,
    tile_of_pixels,
)

# Numbers of a partial sum: d/dsource and the three columns of d/dmatrix.
NUMBERS = 12


@triton.jit
def _arranged(axis, along, u, w):
    """The values along i, j, k of three that belong to the axis, to u and to w."""
    x = tl.where(axis == 0, along, u)
    y = tl.where(axis == 1, along, tl.where(axis == 0, u, w))
    return x, y, tl.where(axis == 2, along, w)


@triton.jit
def _ray_gradients(sums, pixels, pixel, inside, source, matrix, width, n_i, n_j, n_k):
    """Sum B / |d_m| and its derivatives by the source (3) and the direction (3), all float64; see joseph.ray_gradients.

    sums: pointer to the five sums of this image, planes of `pixels` values; pixel: numbers of the rays' pixels.
    """
    total = tl.load(sums + pixel, mask=inside, other=0.0).to(tl.float64)
    du = tl.load(sums + pixels + pixel, mask=inside, other=0.0).to(tl.float64)
    lever_u = tl.load(sums + 2 * pixels + pixel, mask=inside, other=0.0).to(tl.float64)
    dw = tl.load(sums + 3 * pixels + pixel, mask=inside, other=0.0).to(tl.float64)
    lever_w = tl.load(sums + 4 * pixels + pixel, mask=inside, other=0.0).to(tl.float64)
    axis, inverse, slope_u, slope_w, _, _, start, middle = slopes(
        source, matrix, pixel % width, pixel // width, n_i, n_j, n_k
    )
    scale = tl.abs(inverse)
    # From levers about the middle plane to levers about the source.
    ahead = middle.to(tl.float64) - start
    lever_u, lever_w = (lever_u + ahead * du) * inverse, (lever_w + ahead * dw) * inverse
    s_x, s_y, s_z = _arranged(axis, -(slope_u * du + slope_w * dw) * scale, du * scale, dw * scale)
    d_along = -(slope_u * lever_u + slope_w * lever_w + total * inverse) * scale
    d_x, d_y, d_z = _arranged(axis, d_along, lever_u * scale, lever_w * scale)
    return total * scale, s_x, s_y, s_z, d_x, d_y, d_z


_SIZES = ["width", "pixels", "blocks", "columns", "channels", "n_i", "n_j", "n_k"]


@triton.jit(do_not_specialize=_SIZES)
def columns(
    sums, source, matrix, length_mm, source_tangents, matrix_tangents, jacobian,
    width, pixels, blocks, columns, channels, n_i, n_j, n_k,
    LANES: tl.constexpr,
):  # fmt: skip
    """Write the derivatives along P tangents into `jacobian` (images, P, pixels).

    sums (images, 5, pixels) float32; source (B, 3), matrix (B, 3, 3) float64; source_tangents (B, P, 3),
    matrix_tangents (B, P, 3, 3) float32; images is B * channels.
    """
    which = (tl.program_id(0) // blocks).to(tl.int64)
    pose = which // channels
    pixel = tl.program_id(0) % blocks * LANES + tl.arange(0, LANES)
    inside = pixel < pixels
    _, s_x, s_y, s_z, d_x, d_y, d_z = _ray_gradients(
        sums + which * 5 * pixels, pixels, pixel, inside, source + pose * 3, matrix + pose * 9, width, n_i, n_j, n_k
    )
    length = tl.load(length_mm + pixel, mask=inside, other=0.0)
    s_x, s_y, s_z = s_x.to(tl.float32) * length, s_y.to(tl.float32) * length, s_z.to(tl.float32) * length
    d_x, d_y, d_z = d_x.to(tl.float32) * length, d_y.to(tl.float32) * length, d_z.to(tl.float32) * length
    u, v = (pixel % width).to(tl.float32), (pixel // width).to(tl.float32)
    for column in range(0, columns):
        number = pose * columns + column
        s, m = source_tangents + number * 3, matrix_tangents + number * 9
        change = s_x * tl.load(s) + s_y * tl.load(s + 1) + s_z * tl.load(s + 2)
        change += d_x * (tl.load(m) * u + tl.load(m + 1) * v + tl.load(m + 2))
        change += d_y * (tl.load(m + 3) * u + tl.load(m + 4) * v + tl.load(m + 5))
        change += d_z * (tl.load(m + 6) * u + tl.load(m + 7) * v + tl.load(m + 8))
        tl.store(jacobian + (which * columns + column) * pixels + pixel, change, mask=inside)


@triton.jit(do_not_specialize=_SIZES)
def pull_back_rays(
    sums, source, matrix, length_mm, upstream, partial, by_length,
    width, pixels, blocks, channels, n_i, n_j, n_k,
    LENGTHS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Write the gradients of sum(upstream * image) into `partial` (images, blocks, 12), `by_length` (images, pixels).

    partial: float64; of a block of pixels d/dsource and the three columns of d/dmatrix, for the caller to add up in
    order. upstream: (images, pixels) float32. by_length is written only with LENGTHS.
    """
    which = (tl.program_id(0) // blocks).to(tl.int64)
    pose = which // channels
    pixel = tl.program_id(0) % blocks * LANES + tl.arange(0, LANES)
    inside = pixel < pixels
    total, s_x, s_y, s_z, d_x, d_y, d_z = _ray_gradients(
        sums + which * 5 * pixels, pixels, pixel, inside, source + pose * 3, matrix + pose * 9, width, n_i, n_j, n_k
    )
    above = tl.load(upstream + which * pixels + pixel, mask=inside, other=0.0).to(tl.float64)
    if LENGTHS:
        tl.store(by_length + which * pixels + pixel, (above * total).to(tl.float32), mask=inside)
    weight = above * tl.load(length_mm + pixel, mask=inside, other=0.0).to(tl.float64)
    u, v = (pixel % width).to(tl.float64), (pixel // width).to(tl.float64)
    into = partial + tl.program_id(0).to(tl.int64) * 12
    # Beyond the image there are no rays, not rays that weigh nothing: their numbers need not be finite.
    d_x, d_y, d_z = (
        tl.where(inside, d_x * weight, 0.0),
        tl.where(inside, d_y * weight, 0.0),
        tl.where(inside, d_z * weight, 0.0),
    )
    tl.store(into, tl.sum(tl.where(inside, s_x * weight, 0.0), 0))
    tl.store(into + 1, tl.sum(tl.where(inside, s_y * weight, 0.0), 0))
    tl.store(into + 2, tl.sum(tl.where(inside, s_z * weight, 0.0), 0))
    tl.store(into + 3, tl.sum(d_x * u, 0))
    tl.store(into + 4, tl.sum(d_y * u, 0))
    tl.store(into + 5, tl.sum(d_z * u, 0))
    tl.store(into + 6, tl.sum(d_x * v, 0))
    tl.store(into + 7, tl.sum(d_y * v, 0))
    tl.store(into + 8, tl.sum(d_z * v, 0))
    tl.store(into + 9, tl.sum(d_x, 0))
    tl.store(into + 10, tl.sum(d_y, 0))
    tl.store(into + 11, tl.sum(d_z, 0))


@triton.jit(do_not_specialize=_SIZES)
def ray_weights(
    source, matrix, length_mm, upstream, weights,
    width, pixels, blocks, channels, n_i, n_j, n_k,
    LANES: tl.constexpr,
):  # fmt: skip
    """Write what one plane's value counts in sum(upstream * image): `weights` (images, pixels) float32."""
    which = (tl.program_id(0) // blocks).to(tl.int64)
    pose = which // channels
    pixel = tl.program_id(0) % blocks * LANES + tl.arange(0, LANES)
    inside = pixel < pixels
    _, inverse, _, _, _, _, _, _ = slopes(
        source + pose * 3, matrix + pose * 9, pixel % width, pixel // width, n_i, n_j, n_k
    )
    above = tl.load(upstream + which * pixels + pixel, mask=inside, other=0.0)
    length = tl.load(length_mm + pixel, mask=inside, other=0.0)
    tl.store(weights + which * pixels + pixel, above * length * tl.abs(inverse).to(tl.float32), mask=inside)


@triton.jit(do_not_specialize=["unit", "width", "height", "tiles_across", "tiles", "channels", "n_i", "n_j", "n_k"])
def pull_back_maps(
    gradient, boxes, source, matrix, weights, unit,
    width, height, tiles_across, tiles, channels, n_i, n_j, n_k,
    WIDE: tl.constexpr, TILE_WIDTH: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Add the gradient with respect to the maps to `gradient` (C, k, j, i) int64, in units of 1 / unit.

    weights: (images, H, W), see `ray_weights`; unit: a number. Empty blocks have a gradient too, so none is left
    out; boxes are those of `triton_maps.whole_boxes`.
    """
    which = (tl.program_id(0) // tiles).to(tl.int64)
    pose, channel = which // channels, which % channels
    u, v, inside = tile_of_pixels(tl.program_id(0) % tiles, tiles_across, width, height, TILE_WIDTH, LANES)
    axis, inverse, slope_u, slope_w, place_u, place_w, start, middle = slopes(
        source + pose * 3, matrix + pose * 9, u, v, n_i, n_j, n_k
    )
    low, high = planes(boxes + channel * 6, axis, inverse, slope_u, slope_w, place_u, place_w, start, middle, inside)
    at_u, at_w, by_u, by_w = fixed(place_u, low), fixed(place_w, low), fixed(slope_u, low), fixed(slope_w, low)
    step_fine_u, step_fine_w = (by_u >> 6).to(tl.int32), (by_w >> 6).to(tl.int32)
    gradient += channel * n_i * n_j * n_k
    step, step_u = dominant(axis, 1, n_i, n_i * n_j), first_other(axis, 1, n_i, n_i * n_j)
    step_w = second_other(axis, 1, n_i, n_i * n_j)
    if WIDE:
        step, step_u, step_w = step.to(tl.int64), step_u.to(tl.int64), step_w.to(tl.int64)
    weight = tl.load(weights + which * width * height + v * width + u, mask=inside, other=0.0) * unit
    for slab in range(tl.min(low, 0) // BLOCK, tl.max(high, 0) // BLOCK + 1):
        plane = slab * BLOCK
        ahead = plane - middle
        whole_u, fine_u = in_slab(at_u + by_u * ahead)
        whole_w, fine_w = in_slab(at_w + by_w * ahead)
        place = plane * step + whole_u * step_u + whole_w * step_w
        for n in range(0, BLOCK):
            here_u, here_w = fine_u + step_fine_u * n, fine_w + step_fine_w * n
            fu, fw = fraction(here_u), fraction(here_w)
            here = gradient + (place + n * step + (here_u >> FINE) * step_u + (here_w >> FINE) * step_w)
            met = (low <= plane + n) & (plane + n <= high)
            near, far = weight * (1 - fw), weight * fw
            tl.atomic_add(here, (near * (1 - fu)).to(tl.int64), mask=met, sem="relaxed")
            tl.atomic_add(here + step_u, (near * fu).to(tl.int64), mask=met, sem="relaxed")
            tl.atomic_add(here + step_w, (far * (1 - fu)).to(tl.int64), mask=met, sem="relaxed")
            tl.atomic_add(here + step_u + step_w, (far * fu).to(tl.int64), mask=met, sem="relaxed")
