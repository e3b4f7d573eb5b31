"""Conversion of recorded counts to line integrals: polarity and zero level of the grey scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import InputError

IntensityKind = Literal["auto", "transmission", "attenuation"]

# Smoothing [pixels] before reading the brightest level, so that no single hot pixel sets it (variance 2, xReg).
_BRIGHT_BLUR_PX = 2.0**0.5
# A pixel below this fraction of the median of its eight neighbours is photon-starved.
_SPECKLE = 0.4
# Counts below 0 by less than this share of the brightest ones are noise of a subtracted dark image.
_DARK_NOISE = 0.02
# Evidence for a polarity (from -1 to 1) below which it stays undecided.
_UNDECIDED = 0.04
# Line integrals that differ by less than this are constant: a tenth of a millimetre of water attenuates twice as much.
_LEAST_CONTRAST = 1e-3


def line_integrals(
    recorded: NDArray[np.float32],
    valid: NDArray[np.bool_],
    kind: IntensityKind = "auto",
    custom: tuple[IntensityKind, str] | None = None,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Line integrals (height, width), float32, bright = dense and not negative, and a sentence on each decision.

    recorded: the image as recorded. valid: pixels that hold image; every level is read from them alone.
    kind: "transmission" (bright = unattenuated) gives -log(I / I0) by Beer and Lambert's law, I0 being the smoothed
    maximum; an unknown tone curve or an image without air leaves the result right up to an affine map.
    "attenuation" (bright = dense) is passed through with its zero shifted. "auto" decides from the image.
    custom: the kind to use where the image is inconclusive, and the reason; transmission by default.

    Raises InputError for an image that is empty, not finite, constant or all but saturated, for counts that are not
    positive, and where the attenuation comes out constant.
    """
    _require_usable(recorded, valid)
    notes: tuple[str, ...] = ()
    if kind == "auto":
        kind, turned, note = _sense(recorded, valid, custom)
        recorded = recorded[valid].max() + recorded[valid].min() - recorded if turned else recorded
        notes = (note,)
    if kind == "attenuation":
        zero = float(np.quantile(recorded[valid], 0.001))
        shifted = np.maximum(recorded - np.float32(zero), 0).astype(np.float32)
        # Values that single precision cannot distinguish count as equal.
        resolution = 4 * float(np.finfo(np.float32).eps) * float(np.abs(recorded[valid]).max())
        return _varied(shifted, valid, resolution), notes
    _require_counts(recorded[valid])
    counts, starved = _without_speckle(np.maximum(recorded, 0).astype(np.float32), valid)
    bright = _bright_level(counts, valid)
    floor = _trusted_floor(counts, valid)
    if starved:
        notes += (f"{starved} pixels that counted almost no photons took the median of their neighbours.",)
    saturated = float((recorded[valid] >= recorded[valid].max()).mean())
    if saturated > 0.02:
        notes += (
            f"{saturated:.0%} of the field has the brightest value of all; if saturated, thin tissue there is lost.",
        )
    integrals = np.maximum(np.log(bright / np.maximum(counts, floor)), 0).astype(np.float32)
    return _varied(integrals, valid, _LEAST_CONTRAST), notes


def zero_of_counts(stored: NDArray) -> float:
    """The value that means no X-rays in counts stored as whole numbers: 0, or the lower end of a signed scale.

    Detector counts are not negative, so clearly negative ones were shifted: the scale is assumed to be that of the
    fewest bits (8, 10, 12, 14, 16, ...) that hold both ends. Values just below 0 are noise of a subtracted dark image,
    and floating-point numbers carry no information on an offset: there it is 0.
    """
    if stored.dtype.kind != "i" or stored.size == 0 or _is_barely_negative(stored):
        return 0.0
    low, high = int(stored.min()), int(stored.max())
    bits = 8
    while not (-(1 << bits - 1) <= low and high < 1 << bits - 1):
        bits += 2
    return -float(1 << bits - 1)


def _require_usable(recorded: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    if recorded.shape != valid.shape or recorded.ndim != 2:
        raise InputError(
            "X-ray",
            expected="an image and a mask of one size",
            found=f"shapes {recorded.shape} and {valid.shape}",
            remedy="pick one frame and make the mask for it",
        )
    if not valid.any():
        raise InputError("X-ray field", expected="pixels that hold image", found="none", remedy="check the mask")
    if not np.isfinite(recorded).all():
        raise InputError("X-ray", expected="finite values", found="NaN or infinity", remedy="replace them in the file")
    values = recorded[valid]
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError("X-ray", expected="an image", found=f"the constant {low:g}", remedy="check the file and frame")
    for level, end in ((high, "bright"), (low, "dark")):
        share = float((values == level).mean())
        if share >= 0.9:
            raise InputError(
                "X-ray",
                expected="grey values that tell tissue from air",
                found=f"{share:.0%} of the field saturated at its {end} end ({level:g})",
                remedy="use an image with another exposure or window",
            )


def _require_counts(values: NDArray[np.float32]) -> None:
    """Raise InputError unless `values` can be X-ray counts: positive, apart from noise."""
    if float(values.max()) > 0 and _is_barely_negative(values):
        return
    raise InputError(
        "X-ray read as transmission",
        expected="counts, which are not negative",
        found=f"values from {float(values.min()):g} to {float(values.max()):g}",
        remedy='undo the offset in the file, or say "intensity": "attenuation" if bright means dense',
    )


def _is_barely_negative(values: NDArray) -> bool:
    """Whether no value is further below 0 than noise, relative to the brightest."""
    return float(values.min()) >= -_DARK_NOISE * max(float(values.max()), 0.0)


def _varied(integrals: NDArray[np.float32], valid: NDArray[np.bool_], least: float) -> NDArray[np.float32]:
    """`integrals`, checked to differ by more than `least` within the field; raises InputError where they do not."""
    values = integrals[valid]
    low, high = float(values.min()), float(values.max())
    if high - low > least:
        return integrals
    raise InputError(
        "X-ray",
        expected="attenuation that tells tissue from air",
        found=f"the same everywhere in the field ({low:.3g} to {high:.3g})",
        remedy="check the file and frame",
    )


def _bright_level(counts: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """The unattenuated level I0: maximum of the field smoothed within itself."""
    weight = ndimage.gaussian_filter(valid.astype(np.float32), _BRIGHT_BLUR_PX, truncate=3)
    smooth = ndimage.gaussian_filter(np.where(valid, counts, 0), _BRIGHT_BLUR_PX, truncate=3)
    inner = valid & (weight > 0.5)
    return float((smooth[inner] / weight[inner]).max()) if inner.any() else float(counts[valid].max())


def _trusted_floor(counts: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Half the level below which one positive pixel in two hundred lies: lower ones are photon noise, not tissue."""
    values = counts[valid]
    positive = values[values > 0]
    return 0.5 * float(np.quantile(positive, 0.005))


def _without_speckle(counts: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], int]:
    """`counts` with isolated photon-starved pixels replaced, and their number; metal, dark as a whole, is kept."""
    low = float(np.quantile(counts[valid], 0.25))
    rows, columns = np.nonzero(valid & (counts <= low))
    mean = ndimage.uniform_filter(counts, 3)
    dark = counts[rows, columns] < 0.7 * mean[rows, columns]
    rows, columns = rows[dark], columns[dark]
    height, width = counts.shape
    ring = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    around = np.stack(
        [counts[np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)] for dy, dx in ring]
    )
    median = np.median(around, axis=0) if len(rows) else np.zeros(0)
    starved = counts[rows, columns] < _SPECKLE * median
    # A few such pixels are left to the similarity; many of them hide the anatomy.
    if starved.sum() < 0.002 * valid.sum():
        return counts, 0
    cleaned = counts.copy()
    cleaned[rows[starved], columns[starved]] = median[starved]
    return cleaned, int(starved.sum())


def _sense(
    recorded: NDArray[np.float32], valid: NDArray[np.bool_], custom: tuple[IntensityKind, str] | None
) -> tuple[IntensityKind, bool, str]:
    """Transmission or attenuation, whether the grey scale has to be inverted first, and the reason."""
    if _is_barely_negative(recorded[valid]):
        kind, note = _polarity(recorded, valid, custom)
        return kind, False, note
    evidence = _evidence(recorded, valid)
    if evidence is not None and evidence > 6 * _UNDECIDED:
        note = "Read as attenuation turned round: it has negative values, counts have none, and air is bright."
        return "attenuation", True, note
    note = "Read as attenuation (bright = dense) for sure: it has negative values, counts have none."
    return "attenuation", False, note


def _polarity(
    recorded: NDArray[np.float32], valid: NDArray[np.bool_], custom: tuple[IntensityKind, str] | None
) -> tuple[IntensityKind, str]:
    """Transmission or attenuation, and the reason."""
    evidence = _evidence(recorded, valid)
    if evidence is None:
        kind, reason = custom or ("transmission", "custom has it")
        return kind, f"Read as {kind}, as {reason}: the field is too small to tell."
    if custom is not None and abs(evidence) <= 3 * _UNDECIDED:
        kind, reason = custom
        return kind, f"Read as {kind}, as {reason}: the grey values alone do not tell for sure."
    if abs(evidence) < _UNDECIDED:
        return (
            "transmission",
            "Read as transmission (bright = unattenuated) by custom: neither end of the grey scale looks like air; "
            "say which it is if bones come out dark.",
        )
    sure = "" if abs(evidence) > 3 * _UNDECIDED else " probably"
    if evidence > 0:
        return "transmission", f"Read as transmission (bright = unattenuated):{sure} air, along the rim, is bright."
    return "attenuation", f"Read as attenuation (bright = dense):{sure} air, along the rim, is dark."


def _evidence(recorded: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
    """Evidence from -1 (air is dark) to 1 (air is bright); None where the field is too small to decide.

    The patient covers the middle of the field and open air lies along its rim, for any tone curve: therefore ranks of
    grey values are compared between rim and middle, as are the distances from the rim at which both extremes lie.
    """
    small, inside = _reduced(recorded, valid)
    if not inside.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1][inside]
    depth /= depth.max()
    # Ranks with ties averaged: as SciPy's rankdata, without half a second of imports.
    _, place, count = np.unique(small[inside], return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place] / inside.sum()
    rim, middle = rank[depth < 0.2], rank[depth > 0.5]
    lift = float(rim.mean() - middle.mean()) if rim.size and middle.size else 0.0
    # A saturated end has a single rank, which may lie inside these limits.
    dark, bright = rank <= max(0.05, float(rank.min())), rank >= min(0.95, float(rank.max()))
    shift = float(depth[dark].mean() - depth[bright].mean())
    return (lift + shift) / 2


def _reduced(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Means of the valid pixels over blocks, about 128 along the longer side, and the blocks mostly valid."""
    factor = max(1, round(max(image.shape) / 128))
    height, width = image.shape[0] // factor, image.shape[1] // factor

    def sums(values: NDArray) -> NDArray[np.float64]:
        blocks = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
        return blocks.sum(axis=(1, 3), dtype=np.float64)

    weight = sums(valid)
    return sums(np.where(valid, image, 0)) / np.maximum(weight, 1), weight >= factor**2 / 2
