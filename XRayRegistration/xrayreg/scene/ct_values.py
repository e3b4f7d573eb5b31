"""The scale of a volume's values, inferred from their distribution: Hounsfield units or what programs store instead.

Decisions rest on shares of a sample of the voxels, never on a single unusual voxel or a padding value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from ..slabs import slabs

# Linear attenuation of water at 70 keV, about the mean energy of a 120 kV beam [1/mm] (NIST XCOM: 0.1929 cm2/g).
MU_WATER = 0.01929
# Hounsfield units below this are air, including the padding values (-1024, -2000, -3024) that scanners write.
AIR_HU = -900.0
# Only padding lies below this, no tissue and no scanner noise.
_LEAST_HU = -1100.0
# No air lies above this, even with noise.
_NO_AIR_HU = -850.0
# Soft tissue, fat to muscle with noise [HU].
_SOFT_HU = (-200.0, 150.0)
# Scanners that store unsigned numbers add the first of these to Hounsfield units, some programs the second.
_OFFSET_HU, _OTHER_OFFSET_HU = 1024.0, 1000.0
# Non-integer values whose magnitudes stay below this are not Hounsfield units: a CT has air or bone.
_LARGEST_FRACTION = 20.0
# Number of voxels sampled.
_SAMPLE = 1 << 21
# Share of the voxels below which a finding is ignored.
_FEW = 1e-3


class Scale(Enum):
    """The scale of a volume's values."""

    HOUNSFIELD = "Hounsfield units"
    OFFSET = "Hounsfield units with an offset"
    PER_MM = "linear attenuation in 1/mm"
    PER_CM = "linear attenuation in 1/cm"
    # Segmented bones, raw scanner data, angiography: nothing is negative, and air is 0.
    RELATIVE = "values whose air is 0"


@dataclass(frozen=True, eq=False)
class Values:
    """Values [k, j, i], their scale, and one sentence per decision."""

    values: NDArray
    scale: Scale
    notes: tuple[str, ...] = ()


def scale_of(values: NDArray) -> Scale:
    """The scale of the values [k, j, i], inferred from a sample of them.

    Raises InputError for values that are possible neither as Hounsfield units nor as linear attenuation: signed numbers
    stored as unsigned or vice versa, and a shell of padding brighter than metal.
    """
    sample = _sample(values)
    if sample.size == 0:
        return Scale.HOUNSFIELD
    _require_possible(sample)
    if values.dtype.kind == "f" and np.percentile(np.abs(sample), 99.9) < _LARGEST_FRACTION:
        return _small_scale(sample)
    physical = sample[sample >= _LEAST_HU]
    if physical.size == 0:
        return Scale.HOUNSFIELD
    negative = np.unique(physical[physical < 0])
    if negative.size == 1 and negative[0] > _NO_AIR_HU:
        # A single distinct value is padding too.
        physical = physical[physical >= 0]
    if (physical < 0).mean() >= _FEW:
        return Scale.HOUNSFIELD
    dense = physical[physical > _OFFSET_HU / 2]
    soft = (dense >= _OFFSET_HU + _SOFT_HU[0]) & (dense < _OFFSET_HU + _SOFT_HU[1])
    if dense.size >= 0.02 * physical.size and soft.mean() > 0.5:
        return Scale.OFFSET
    # Padding alone shows that the values are signed, as where only bone was kept.
    padded = 1 - physical.size / sample.size
    return Scale.HOUNSFIELD if padded >= _FEW else Scale.RELATIVE


def in_hounsfield(values: NDArray) -> Values:
    """The values in Hounsfield units where they can be converted, else (`Scale.RELATIVE`) with air at 0.

    An offset of 1024 or 1000 is subtracted, linear attenuation is converted to Hounsfield units, and the flat value
    outside the patient that resampling and masking leave (mostly 0, which is water) becomes air. Each is noted. Values
    already in Hounsfield units are returned unchanged, not copied. Raises InputError as `scale_of` does.
    """
    scale = scale_of(values)
    if scale is Scale.OFFSET:
        offset = _offset(_sample(values))
        note = f"The CT's values are Hounsfield units with an offset of {offset:g} (soft tissue near 1000): taken off."
        return Values(_without_offset(values, offset), Scale.HOUNSFIELD, (note,))
    if scale in (Scale.PER_MM, Scale.PER_CM):
        low, high = float(values.min()), float(values.max())
        note = f"The CT's values ({low:.3g} to {high:.3g}) are {scale.value}: turned into Hounsfield units."
        return Values(_from_attenuation(values, scale), Scale.HOUNSFIELD, (note,))
    if scale is Scale.RELATIVE:
        note = "The volume has no negative values: 0 is read as air and the rest as attenuation in proportion."
        return Values(values, scale, (note,))
    return _with_air_outside(Values(values, scale))


def _sample(values: NDArray) -> NDArray:
    """Finite values of evenly spaced voxels in double precision, about two million of a large volume."""
    step = max(1, round((values.size / _SAMPLE) ** (1 / 3)))
    some = np.asarray(values[::step, ::step, ::step], dtype=np.float64).ravel()
    return some[np.isfinite(some)]


def _small_scale(sample: NDArray) -> Scale:
    """The scale of small non-integer values, which are not Hounsfield units: linear attenuation or relative."""
    if (_share(sample, 0.012, 0.03, above=0.008)) > 0.5:
        return Scale.PER_MM
    # Values rescaled to 0 ... 1 are not attenuation, although soft tissue may have the same values.
    stretched = sample.min() >= 0 and np.isclose(sample.max(), 1.0, rtol=0, atol=1e-6)
    if not stretched and _share(sample, 0.12, 0.3, above=0.08) > 0.5:
        return Scale.PER_CM
    if (sample < 0).mean() < _FEW:
        return Scale.RELATIVE
    raise InputError(
        "CT values",
        expected="Hounsfield units, or linear attenuation with soft tissue near 0.02 per mm (0.2 per cm)",
        found=f"values from {sample.min():.3g} to {sample.max():.3g}",
        remedy="save the CT in Hounsfield units (air -1000, water 0)",
    )


def _share(sample: NDArray, low: float, high: float, above: float) -> float:
    """The share of values from `low` to `high` among those `above` a limit that air and its noise stay below."""
    dense = sample[sample > above]
    return float(((dense >= low) & (dense < high)).mean()) if dense.size >= 0.02 * sample.size else 0.0


def _require_possible(sample: NDArray) -> None:
    """Raise InputError for values that no CT can have, unless they are few or padding that reads as air."""
    top = sample > 60000
    between = (sample > 40000) & ~top
    if top.mean() >= _FEW and between.mean() < _FEW / 10 and np.unique(sample[top]).size > 1:
        raise _wrapped(
            sample,
            "with a gap between: signed values stored as unsigned (65535 stands for -1)",
            "signed 16-bit integers",
        )
    low, high = sample < -10000, sample > 10000
    if min(low.mean(), high.mean()) >= _FEW and np.unique(sample[low]).size > 10:
        raise _wrapped(sample, "at both ends: unsigned values stored as signed", "unsigned 16-bit integers")
    bright = sample[high]
    if bright.size >= 0.02 * sample.size and np.unique(bright).size == 1:
        raise InputError(
            "CT values",
            expected="Hounsfield units",
            found=f"exactly {bright[0]:g} in {bright.size / sample.size:.0%} of the voxels, a padding value",
            remedy="fill what lies outside with -1000 (air)",
        )


def _require_upright(sample: NDArray, edges: NDArray) -> None:
    """Raise InputError for an inverted volume, in which the patient's surroundings are bright instead of dark."""
    inverted = np.abs(sample - 1000) < 150
    dark = sample[sample < 0]
    if (
        abs(np.median(edges) - 1000) < 150
        and inverted.mean() > 0.2
        and dark.size > 0.05 * sample.size
        and (dark < _NO_AIR_HU).mean() < 0.1
        and dark.std() > 1
    ):
        raise InputError(
            "CT values",
            expected="Hounsfield units, air near -1000",
            found=f"{inverted.mean():.0%} of the voxels near +1000 and hardly any air: grey levels that are inverted",
            remedy="export the CT with bright bone (MONOCHROME2)",
        )


def _wrapped(sample: NDArray, found: str, remedy: str) -> InputError:
    return InputError(
        "CT values",
        expected="Hounsfield units",
        found=f"values from {sample.min():g} to {sample.max():g} {found}",
        remedy=f"save the volume again as {remedy}",
    )


def _offset(sample: NDArray) -> float:
    """The offset that moves air, with its noise, to -1000 HU; exact zeros may be padding or clipped values."""
    air = sample[(sample > 0) & (sample < 150)]
    return _OFFSET_HU if air.size < _FEW * sample.size or np.median(air) > 12 else _OTHER_OFFSET_HU


def _without_offset(values: NDArray, offset: float) -> NDArray:
    made = np.empty(values.shape, np.float32 if values.dtype.kind == "f" else np.int16)
    for some in slabs(values.shape):
        made[some] = np.clip(values[some].astype(np.float32) - np.float32(offset), -32768, 32767)
    return made


def _from_attenuation(values: NDArray, scale: Scale) -> NDArray[np.float32]:
    water = MU_WATER if scale is Scale.PER_MM else 10 * MU_WATER
    made = np.empty(values.shape, np.float32)
    for some in slabs(values.shape):
        made[some] = values[some].astype(np.float32) * np.float32(1000 / water) - 1000
    return made


def _with_air_outside(read: Values) -> Values:
    """Hounsfield units with a flat value at the edges of the grid (0 or a clipped window) replaced by air."""
    values = read.values
    edges = _edges(values)
    _require_upright(_sample(values), edges)
    outside, count = _most_frequent(edges)
    sample = _sample(values)
    least = sample[sample >= _LEAST_HU].min(initial=0.0)
    flat = outside == 0 or (outside == least and AIR_HU < outside < 0)
    if not flat or count < 0.3 * edges.size:
        return read
    filled = values.copy()
    share = _fill(filled, outside)
    if share < 0.01:
        return read
    note = (
        f"{share:.0%} of the CT's voxels, its edges among them, are exactly {outside:g} HU"
        f"{' (water)' if outside == 0 else ''}: read as air (-1000 HU), as left by masking, resampling or clipping."
    )
    return replace(read, values=filled, notes=(*read.notes, note))


def _edges(values: NDArray) -> NDArray:
    """The values along the twelve edges of the grid, which the patient rarely reaches."""
    ends = (slice(None, None, max(1, size - 1)) for size in values.shape)
    k, j, i = ends
    return np.concatenate([values[k, j, :].ravel(), values[k, :, i].ravel(), values[:, j, i].ravel()])


def _most_frequent(values: NDArray) -> tuple[float, int]:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()]), int(counts.max())


def _fill(values: NDArray, flat: float) -> float:
    """Set to -1000, in place, the voxels of value `flat` that lie in flat neighbourhoods; their share of the volume.

    A neighbourhood is a voxel and its six neighbours (fewer at the border): isolated tissue voxels may have the value.
    """
    same = values == flat
    whole = _of_neighbours(same, np.logical_and)
    outside = _of_neighbours(whole, np.logical_or) & same
    values[outside] = -1000
    return float(outside.mean())


def _of_neighbours(mask: NDArray[np.bool_], combine: np.ufunc) -> NDArray[np.bool_]:
    """Each voxel combined with its six neighbours."""
    made = mask.copy()
    for axis in range(mask.ndim):
        here, there = np.moveaxis(made, axis, 0), np.moveaxis(mask, axis, 0)
        combine(here[1:], there[:-1], out=here[1:])
        combine(here[:-1], there[1:], out=here[:-1])
    return made
