"""The projector of `projector.py`, compiled: trilinear values at evenly spread points, split into soft matter and bone.

The arithmetic is that of `line_integrals` with `partial_densities`; only the order of summation differs.
"""

# numba infers the types, and its decorators take their options in a way that mypy cannot follow.
# mypy: disallow-untyped-defs=False, disable-error-code=call-overload

from __future__ import annotations

import numpy as np
from numba import njit, prange

_OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": True}


@njit(inline="always", **_OPTIONS)
def _bounded(index, size):
    """`index` clamped to an axis of `size` voxels: beyond the outermost centres a field is constant."""
    return min(max(index, 0.0), size - 1.0)


@njit(parallel=True, **_OPTIONS)
def material_paths(field, source, slopes, lengths, enter, span, samples, scale, low, high, bone_per_water):
    """Paths (2, N) [g/cm3 mm] through soft matter and bone.

    field: int16 [k, j, i], attenuation over water's in steps of `scale`. source, slopes: rays in index coordinates
    (i, j, k). lengths: (N,) mm per unit of the parameter. enter, span, samples: (N,) where each ray enters, its length
    and its number of samples. low, high: attenuation over water's at which bone begins and is complete.
    """
    result = np.zeros((2, slopes.shape[0]))
    nk, nj, ni = field.shape
    for ray in prange(slopes.shape[0]):
        count = samples[ray]
        if count > 0:
            step = span[ray] / count
            first = enter[ray] + 0.5 * step
            sum_all = 0.0
            sum_hard = 0.0
            for n in range(count):
                t = first + n * step
                x = _bounded(source[0] + slopes[ray, 0] * t, ni)
                y = _bounded(source[1] + slopes[ray, 1] * t, nj)
                z = _bounded(source[2] + slopes[ray, 2] * t, nk)
                i, j, k = min(int(x), ni - 2), min(int(y), nj - 2), min(int(z), nk - 2)
                u, v, w = np.float32(x - i), np.float32(y - j), np.float32(z - k)
                near0 = field[k, j, i] + u * (field[k, j, i + 1] - field[k, j, i])
                near1 = field[k, j + 1, i] + u * (field[k, j + 1, i + 1] - field[k, j + 1, i])
                far0 = field[k + 1, j, i] + u * (field[k + 1, j, i + 1] - field[k + 1, j, i])
                far1 = field[k + 1, j + 1, i] + u * (field[k + 1, j + 1, i + 1] - field[k + 1, j + 1, i])
                near = near0 + v * (near1 - near0)
                far = far0 + v * (far1 - far0)
                value = scale * (near + w * (far - near))
                share = min(max((value - low) / (high - low), np.float32(0)), np.float32(1))
                sum_all += value
                sum_hard += share * share * (3 - 2 * share) * value
            length = step * lengths[ray]
            result[0, ray] = (sum_all - sum_hard) * length
            result[1, ray] = sum_hard * bone_per_water * length
    return result
