# mypy: allow-untyped-defs
"""Joseph's method for CUDA in Triton: one lane per ray, a tile of pixels per program, poses and maps in one launch.

What the march leaves behind are the five sums of `joseph.py`, taken about the middle plane of the ray's own axis, where
levers are short; the kernels of `triton_gradients` make every derivative of them without reading the map again.

Places are worked out in double precision once per ray, at the middle plane, and kept as fixed point numbers with 32
binary places, of which 26 are used within a slab of 16 planes. Stepping from plane to plane is then integer arithmetic:
a source metres away costs no digits, no double precision is spent on the way, and voxel and weight are bits of one
number, which spares the rounding instructions that GPUs have few units for.

The maps come with a rim of RIM zeros (see `triton_maps`). Rays are cut to the box that holds tissue, in single
precision and a hundredth of a voxel too wide; the rim has a whole voxel to spare for that. On their way they leave out
slabs of planes whose blocks hold no tissue.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .joseph import LEAST_AHEAD as _LEAST_AHEAD
from .triton_maps import BLOCK as _BLOCK
from .triton_maps import RIM as _RIM

RIM = tl.constexpr(_RIM)
BLOCK = tl.constexpr(_BLOCK)
BLOCK_BITS = tl.constexpr(_BLOCK.bit_length() - 1)
LEAST_AHEAD = tl.constexpr(_LEAST_AHEAD)
# A place on the middle plane further away than this [voxels] does not fit the fixed point numbers; it misses anyway.
FARTHEST = tl.constexpr(float(1 << 30))
ONE = tl.constexpr(float(1 << 32))
# Binary places within a slab: 16 planes move by less than 17 voxels, which leaves 26 of 32 bits.
FINE = tl.constexpr(26)
FINE_MASK = tl.constexpr((1 << 26) - 1)
# Of a float32: the bits of the number 1, and where the mantissa is.
ONE_BITS = tl.constexpr(0x3F800000)
MANTISSA = tl.constexpr(0x7FFFFF)
# Planes of a ray that misses: the first after all others, the last before them.
NEVER = tl.constexpr(1 << 30)
MARGIN = tl.constexpr(0.01)
FLAT = tl.constexpr(1e-6)
ENDLESS = tl.constexpr(1e9)


@triton.jit
def write_one(there):
    """Write 1 to a float32: a minimal test kernel."""
    tl.store(there, 1.0)


@triton.jit
def dominant(axis, x, y, z):
    """Of three values along i, j, k the one along the axis."""
    return tl.where(axis == 0, x, tl.where(axis == 1, y, z))


@triton.jit
def first_other(axis, x, y, z):
    """Of three values along i, j, k the one along u (see joseph.OTHER_AXES)."""
    return tl.where(axis == 0, y, x)


@triton.jit
def second_other(axis, x, y, z):
    """Of three values along i, j, k the one along w."""
    return tl.where(axis == 2, y, z)


@triton.jit
def slopes(source, matrix, u, v, n_i, n_j, n_k):
    """Of rays through pixels (u, v): axis, 1 / d_m, b, e, where they cross the middle plane, s_m, its number.

    source (3,), matrix (3, 3): pointers to float64; n_i, n_j, n_k: sizes of the rimmed map, in whose coordinates the
    answer is. All but the axis and the plane's number are float64.
    """
    column, row = u.to(tl.float64), v.to(tl.float64)
    x = tl.load(matrix) * column + tl.load(matrix + 1) * row + tl.load(matrix + 2)
    y = tl.load(matrix + 3) * column + tl.load(matrix + 4) * row + tl.load(matrix + 5)
    z = tl.load(matrix + 6) * column + tl.load(matrix + 7) * row + tl.load(matrix + 8)
    at_x, at_y, at_z = tl.load(source) + RIM, tl.load(source + 1) + RIM, tl.load(source + 2) + RIM
    far_x, far_y, far_z = tl.abs(x), tl.abs(y), tl.abs(z)
    axis = tl.where((far_x >= far_y) & (far_x >= far_z), 0, tl.where(far_y >= far_z, 1, 2))
    inverse = 1.0 / dominant(axis, x, y, z)
    slope_u, slope_w = first_other(axis, x, y, z) * inverse, second_other(axis, x, y, z) * inverse
    start = dominant(axis, at_x, at_y, at_z)
    middle = dominant(axis, n_i, n_j, n_k) // 2
    ahead = middle.to(tl.float64) - start
    place_u = first_other(axis, at_x, at_y, at_z) + ahead * slope_u
    place_w = second_other(axis, at_x, at_y, at_z) + ahead * slope_w
    return axis, inverse, slope_u, slope_w, place_u, place_w, start, middle


@triton.jit
def _clip(start, slope, low, high, first, last):
    """Narrow [first, last] to the t with low <= start + slope t <= high, a MARGIN too wide."""
    low, high = low - MARGIN, high + MARGIN
    steep = tl.abs(slope) > FLAT
    divisor = tl.where(steep, slope, 1.0)
    one, other = (low - start) / divisor, (high - start) / divisor
    passes = tl.where((start >= low) & (start <= high), ENDLESS, -ENDLESS)
    enter = tl.where(steep, tl.minimum(one, other), -passes)
    leave = tl.where(steep, tl.maximum(one, other), passes)
    return tl.maximum(first, enter), tl.minimum(last, leave)


@triton.jit
def planes(box, axis, inverse, slope_u, slope_w, place_u, place_w, start, middle, inside):
    """First and last plane that rays have to read, NEVER and -1 for those that miss.

    box: pointer to the lowest and highest i, j, k that hold tissue (int32).
    """
    low_i, low_j, low_k = tl.load(box).to(tl.float32), tl.load(box + 1).to(tl.float32), tl.load(box + 2).to(tl.float32)
    high_i, high_j = tl.load(box + 3).to(tl.float32), tl.load(box + 4).to(tl.float32)
    high_k = tl.load(box + 5).to(tl.float32)
    hit = inside & (tl.abs(place_u) < FARTHEST) & (tl.abs(place_w) < FARTHEST)
    centre = middle.to(tl.float32)
    first = dominant(axis, low_i, low_j, low_k) - centre
    last = dominant(axis, high_i, high_j, high_k) - centre
    # Half a voxel's tent reaches one voxel beyond the tissue.
    first, last = _clip(
        tl.where(hit, place_u, 0.0).to(tl.float32),
        slope_u.to(tl.float32),
        first_other(axis, low_i, low_j, low_k) - 1,
        first_other(axis, high_i, high_j, high_k) + 1,
        first,
        last,
    )
    first, last = _clip(
        tl.where(hit, place_w, 0.0).to(tl.float32),
        slope_w.to(tl.float32),
        second_other(axis, low_i, low_j, low_k) - 1,
        second_other(axis, high_i, high_j, high_k) + 1,
        first,
        last,
    )
    hit = hit & (first <= last)
    low = tl.ceil(tl.where(hit, first, 0.0)).to(tl.int32) + middle
    high = tl.floor(tl.where(hit, last, 0.0)).to(tl.int32) + middle
    # Only what lies in front of the source counts; how near it is, is decided in double precision.
    near = tl.minimum(tl.maximum(start, -FARTHEST), FARTHEST)
    low = tl.where(inverse > 0, tl.maximum(low, tl.ceil(near + LEAST_AHEAD).to(tl.int32)), low)
    high = tl.where(inverse > 0, high, tl.minimum(high, tl.floor(near - LEAST_AHEAD).to(tl.int32)))
    hit = hit & (low <= high)
    return tl.where(hit, low, NEVER), tl.where(hit, high, -1)


@triton.jit
def fixed(place, low):
    """Fixed point numbers (int64, 32 binary places) of places; zero for rays that miss."""
    return (tl.where(low == NEVER, 0.0, place) * ONE).to(tl.int64)


@triton.jit
def in_slab(place):
    """Fixed point numbers as their integer part and what lies above it, int32 with 26 binary places."""
    return (place >> 32).to(tl.int32), ((place >> 6) & FINE_MASK).to(tl.int32)


@triton.jit
def fraction(fine):
    """What lies above the integer part of int32 numbers with 26 binary places: the upper 23 as a float32's mantissa."""
    return (((fine >> 3) & MANTISSA) | ONE_BITS).to(tl.float32, bitcast=True) - 1.0


@triton.jit
def tile_of_pixels(tile, tiles_across, width, height, TILE_WIDTH: tl.constexpr, LANES: tl.constexpr):
    """Pixel coordinates of a tile's lanes, and whether they lie in the image."""
    lane = tl.arange(0, LANES)
    u = (tile % tiles_across) * TILE_WIDTH + lane % TILE_WIDTH
    v = (tile // tiles_across) * (LANES // TILE_WIDTH) + lane // TILE_WIDTH
    return u, v, (u < width) & (v < height)


@triton.jit
def _holds_tissue(
    occupied, slab, axis, step_j, step_k, whole_u, fine_u, by_u, whole_w, fine_w, by_w, first, last, crosses
):
    """Whether one of the blocks that rays touch between planes `first` and `last` of a slab holds tissue.

    Within one slab a ray moves by at most one block each way, so the blocks of its two ends and of the two mixed
    corners are all it can touch.
    """
    across_u, across_w = first_other(axis, 1, step_j, step_k), second_other(axis, 1, step_j, step_k)
    here = occupied + slab * dominant(axis, 1, step_j, step_k)
    u_first = ((whole_u + ((fine_u + by_u * first) >> FINE)) >> BLOCK_BITS) * across_u
    u_last = ((whole_u + ((fine_u + by_u * last) >> FINE)) >> BLOCK_BITS) * across_u
    w_first = ((whole_w + ((fine_w + by_w * first) >> FINE)) >> BLOCK_BITS) * across_w
    w_last = ((whole_w + ((fine_w + by_w * last) >> FINE)) >> BLOCK_BITS) * across_w
    found = tl.load(here + u_first + w_first, mask=crosses, other=0)
    found = found | tl.load(here + u_last + w_last, mask=crosses, other=0)
    found = found | tl.load(here + u_first + w_last, mask=crosses, other=0)
    found = found | tl.load(here + u_last + w_first, mask=crosses, other=0)
    return crosses & (found != 0)


_SIZES = ["width", "height", "tiles_across", "tiles", "images", "channels", "parts", "n_i", "n_j", "n_k"]


@triton.jit(do_not_specialize=_SIZES)
def project(
    maps, occupied, boxes, scales, source, matrix, length_mm, image, sums,
    width, height, tiles_across, tiles, images, channels, parts, n_i, n_j, n_k,
    FIVE: tl.constexpr, WIDE: tl.constexpr, TILE_WIDTH: tl.constexpr, LANES: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Write line integrals into `image` (parts, images, H, W); with FIVE the five sums into `sums` (.., 5, H, W) too.

    maps (C, k, j, i) with rim, occupied (C, blocks k, j, i) uint8, boxes (C, 6) int32, scales (C,) float32: what
    `triton_maps.rimmed_maps` makes; source (B, 3), matrix (B, 3, 3) float64; length_mm (H, W) float32; images is B * C.
    A ray's slabs of planes are dealt out to `parts` programs in turn; the caller adds up what they leave.
    WIDE: places in a map need 64 bits. AT_ONCE: planes read before the first value is used.
    """
    program = tl.program_id(0)
    part = program % parts
    which = program // parts // tiles
    pose, channel = (which // channels).to(tl.int64), (which % channels).to(tl.int64)
    u, v, inside = tile_of_pixels(program // parts % tiles, tiles_across, width, height, TILE_WIDTH, LANES)
    axis, inverse, slope_u, slope_w, place_u, place_w, start, middle = slopes(
        source + pose * 3, matrix + pose * 9, u, v, n_i, n_j, n_k
    )
    low, high = planes(boxes + channel * 6, axis, inverse, slope_u, slope_w, place_u, place_w, start, middle, inside)
    at_u, at_w, by_u, by_w = fixed(place_u, low), fixed(place_w, low), fixed(slope_u, low), fixed(slope_w, low)
    step_fine_u, step_fine_w = (by_u >> 6).to(tl.int32), (by_w >> 6).to(tl.int32)
    blocks_i, blocks_j, blocks_k = tl.cdiv(n_i, BLOCK), tl.cdiv(n_j, BLOCK), tl.cdiv(n_k, BLOCK)
    occupied += channel * blocks_i * blocks_j * blocks_k
    maps += channel * n_i * n_j * n_k
    step, step_u = dominant(axis, 1, n_i, n_i * n_j), first_other(axis, 1, n_i, n_i * n_j)
    step_w = second_other(axis, 1, n_i, n_i * n_j)
    if WIDE:
        step, step_u, step_w = step.to(tl.int64), step_u.to(tl.int64), step_w.to(tl.int64)
    total = tl.zeros([LANES], tl.float32)
    sum_u, lever_u = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    sum_w, lever_w = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    for slab in range(tl.min(low, 0) // BLOCK + part, tl.max(high, 0) // BLOCK + 1, parts):
        plane = slab * BLOCK
        ahead = plane - middle
        whole_u, fine_u = in_slab(at_u + by_u * ahead)
        whole_w, fine_w = in_slab(at_w + by_w * ahead)
        first, last = tl.maximum(low - plane, 0), tl.minimum(high - plane, BLOCK - 1)
        crosses = _holds_tissue(
            occupied, slab, axis, blocks_i, blocks_i * blocks_j,
            whole_u, fine_u, step_fine_u, whole_w, fine_w, step_fine_w, first, last, first <= last,
        )  # fmt: skip
        if tl.max(crosses.to(tl.int32), 0) > 0:
            # A lane without tissue in this slab reads none of its planes.
            first = tl.where(crosses, first, BLOCK)
            values = tl.zeros([LANES], tl.float32)
            du, n_du = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
            dw, n_dw = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
            place = plane * step + whole_u * step_u + whole_w * step_w
            for n_first in range(0, BLOCK, AT_ONCE):
                for more in tl.static_range(AT_ONCE):
                    n = n_first + more
                    here_u, here_w = fine_u + step_fine_u * n, fine_w + step_fine_w * n
                    fu, fw = fraction(here_u), fraction(here_w)
                    here = maps + (place + n * step + (here_u >> FINE) * step_u + (here_w >> FINE) * step_w)
                    read = (first <= n) & (n <= last)
                    v00 = tl.load(here, mask=read).to(tl.float32)
                    v10 = tl.load(here + step_u, mask=read).to(tl.float32)
                    v01 = tl.load(here + step_w, mask=read).to(tl.float32)
                    v11 = tl.load(here + step_u + step_w, mask=read).to(tl.float32)
                    near, far = v00 + fu * (v10 - v00), v01 + fu * (v11 - v01)
                    # Values that a lane has not read are undefined, possibly non-finite.
                    values += tl.where(read, near + fw * (far - near), 0.0)
                    if FIVE:
                        change_u = tl.where(read, (v10 - v00) + fw * ((v11 - v01) - (v10 - v00)), 0.0)
                        change_w = tl.where(read, far - near, 0.0)
                        du += change_u
                        n_du += change_u * n
                        dw += change_w
                        n_dw += change_w * n
            total += values
            if FIVE:
                sum_u += du
                lever_u += n_du + du * ahead
                sum_w += dw
                lever_w += n_dw + dw * ahead
    scale = tl.load(scales + channel)
    which = part.to(tl.int64) * images + which
    pixels = width * height
    pixel = v * width + u
    length = tl.load(length_mm + pixel, mask=inside, other=0.0)
    tl.store(image + which * pixels + pixel, total * scale * length * tl.abs(inverse).to(tl.float32), mask=inside)
    if FIVE:
        sums += which * 5 * pixels + pixel
        tl.store(sums, total * scale, mask=inside)
        tl.store(sums + pixels, sum_u * scale, mask=inside)
        tl.store(sums + 2 * pixels, lever_u * scale, mask=inside)
        tl.store(sums + 3 * pixels, sum_w * scale, mask=inside)
        tl.store(sums + 4 * pixels, lever_w * scale, mask=inside)
