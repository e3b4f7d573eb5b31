"""Reading a map along a ray in the compiled kernels: all addresses first, then all words, then the arithmetic.

Reading memory is what a CPU spends its time on. A loop that does it all makes the compiler gather with vector
instructions, which processors carry out one read at a time and without looking far ahead. Places are therefore written
to a short list (vector units), the words there are read one by one into a second list (plain loads, hundreds of them on
their way at once), and sums are made of that list (vector units again): half the time. While a ray is read, the words
of the next one are already asked for: half the time again in a large map.

A map of one channel keeps in a 32 bit word the 16 bit levels of a voxel and of the next one along k; a map of two
channels the two levels of one voxel. The words of voxels i and i + 1 lie side by side and are read as one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .numba_compiling import inner
from .numba_rays import line, plane_range

# What vector units do at once. Loops over planes run to a multiple of it, and lists are as long: what is left would
# be done one by one and take as long as all the rest. Cells behind a ray's last plane are 0 and add nothing.
LANES = 16
# Words of a map (2 MiB) that caches hold anyway; nothing is asked for in smaller ones, which costs more than it saves.
_CACHED = 1 << 19
_LOW_HALVES = np.uint64(0x0000FFFF0000FFFF)


def _reading(bits: int, result: Any) -> Any:
    """A function (words, at) that reads `bits` from the 32 bit word `at` on; `at` counts as unsigned."""

    @intrinsic
    def read(_typing: Any, words: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.gep(data, [builder.zext(arguments[1], ir.IntType(64))])
            value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()))
            # The second word begins anywhere.
            value.align = 4
            return value

        return result(words, at), generate

    return read


_word = _reading(32, types.uint32)
_two_words = _reading(64, types.uint64)


def _asking(_typing: Any, words: Any, at: Any) -> Any:
    """Have the 32 bit word `at`, which counts as unsigned, brought near while something else is done."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [builder.zext(arguments[1], ir.IntType(64))])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        # To be read, into the nearest cache, data.
        builder.call(prefetch, [builder.bitcast(place, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.none(words, at), generate


_ask: Any = intrinsic(_asking)


def _keeping(_typing: Any, cells: Any, at: Any, value: Any) -> Any:
    """cells[at] = value, by an instruction that compilers do not turn into vectors (an unordered atomic store)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "unordered", 8)
        return context.get_dummy_value()

    return types.none(cells, types.int64, value), generate


_keep: Any = intrinsic(_keeping)


@inner
def room_for(shape):
    """Largest length of a ray's lists in a map of `shape`."""
    return max(shape[0], shape[1], shape[2]) + LANES


@inner
def padded(count):
    """The multiple of LANES to which `count` planes are filled up."""
    # In 32 bits, or the loops would count in 64.
    return np.int32(np.int32((count + LANES - 1) // LANES) * np.int32(LANES))


@inner
def _find_places(places, start, offset, step, step_u, step_w, u, slope_u, w, slope_w, count):
    """List the word of the lower corner on each of `count` planes; what follows them in the list means nothing.

    offset: the first plane's in the map; step, step_u, step_w: from plane to plane and along u and w; u, w: where the
    ray meets the first plane, with its slopes. Counted in 32 bits, which vectorise.
    """
    for n in range(padded(count)):
        fn = np.float32(np.int32(n))
        iu, iw = np.int32(u + slope_u * fn), np.int32(w + slope_w * fn)
        # Unsigned, or numba would check every index for counting from the end.
        places[np.uint64(start + n)] = np.int32(offset + np.int32(n) * step + iu * step_u + iw * step_w)


@inner
def _ask_for(packed, places, start, shift, count):
    for n in range(count):
        _ask(packed, np.int32(places[np.uint64(start + n)] + shift))


@inner
def aim(packed, shape, strides, occupied, block_strides, source, matrix, u, v, places, start, paired):
    """List in `places`, from `start` on, what the ray of pixel (u, v) reads, and have it brought near.

    paired: whether the map is one of two channels. Returns the ray's `line`; its first plane and how many there are;
    the steps along u and w; and where it meets the first plane, u, w, with the slope of each.
    """
    ray = line(source, matrix, u, v)
    k, count = plane_range(shape, occupied, block_strides, source, ray)
    axis, first, second, _, a, b, c, e = ray
    step, step_u, step_w = np.int32(strides[axis]), np.int32(strides[first]), np.int32(strides[second])
    pu, pw, fb, fe = np.float32(a + b * k), np.float32(c + e * k), np.float32(b), np.float32(e)
    _find_places(places, start, np.int32(k * strides[axis]), step, step_u, step_w, pu, fb, pw, fe, count)
    if len(packed) > _CACHED:
        _ask_for(packed, places, start, np.int32(0), count)
        if axis == 0:
            _ask_for(packed, places, start, step_u, count)
        if paired or axis == 2:
            _ask_for(packed, places, start, step_w, count)
        if paired and axis == 0:
            _ask_for(packed, places, start, np.int32(step_u + step_w), count)
    return ray, k, count, step_u, step_w, pu, fb, pw, fe


@inner
def read_cells(packed, places, start, cells, axis, step_u, step_w, count):
    """Read the corners on each plane of a map of one channel into `cells`, for a ray that runs along `axis`.

    Each holds 16 bits of the level at (u, w), then at (u, w + 1), (u + 1, w) and (u + 1, w + 1).
    """
    if axis == 1:
        for n in range(count):
            _keep(cells, n, _two_words(packed, places[np.uint64(start + n)]))
    elif axis == 0:
        for n in range(count):
            at = places[np.uint64(start + n)]
            here, next_u = _word(packed, at), _word(packed, np.int32(at + step_u))
            _keep(cells, n, np.uint64(here) | np.uint64(next_u) << np.uint64(32))
    else:
        for n in range(count):
            at = places[np.uint64(start + n)]
            here, next_w = _two_words(packed, at), _two_words(packed, np.int32(at + step_w))
            _keep(cells, n, here & _LOW_HALVES | (next_w & _LOW_HALVES) << np.uint64(16))
    for n in range(count, padded(count)):
        _keep(cells, n, np.uint64(0))


@inner
def read_pairs(packed, places, start, near, far, axis, step_u, step_w, count):
    """Read the corners on each plane of a map of two channels: those at w into `near`, those at w + 1 into `far`.

    Each holds 16 bits of the one channel, then of the other, at u, then at u + 1.
    """
    if axis == 0:
        for n in range(count):
            at = places[np.uint64(start + n)]
            here, next_u = _word(packed, at), _word(packed, np.int32(at + step_u))
            _keep(near, n, np.uint64(here) | np.uint64(next_u) << np.uint64(32))
            here, next_u = _word(packed, np.int32(at + step_w)), _word(packed, np.int32(at + step_u + step_w))
            _keep(far, n, np.uint64(here) | np.uint64(next_u) << np.uint64(32))
    else:
        for n in range(count):
            at = places[np.uint64(start + n)]
            _keep(near, n, _two_words(packed, at))
            _keep(far, n, _two_words(packed, np.int32(at + step_w)))
    for n in range(count, padded(count)):
        _keep(near, n, np.uint64(0))
        _keep(far, n, np.uint64(0))


@inner
def level(cell, number):
    """One of the four levels of a 64 bit cell, as float32."""
    half = np.uint32(cell >> np.uint64(32)) if number >= 2 else np.uint32(cell)
    return np.float32(np.int32(half >> np.uint32(16) if number % 2 else half & np.uint32(0xFFFF)))
