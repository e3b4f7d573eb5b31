"""Conversion of an X-ray's stored pixels to the radiograph of a pinhole camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from ..geometry import Camera, require_xray_camera
from .field import find_field
from .intensity import IntensityKind, line_integrals, zero_of_counts
from .radiograph import Radiograph

_INTENSITIES: tuple[IntensityKind, ...] = get_args(IntensityKind)
# An X-ray with less than this share of its pixels between the darkest and the brightest tone counts as saturated.
_LEAST_SHOWN = 0.01


def radiograph_from_array(
    stored: NDArray,
    camera: Camera,
    *,
    intensity: str = "auto",
    quarter_turns: int = 0,
    mirrored: bool = False,
    negated: bool = False,
    zero: float | None = None,
    custom: tuple[IntensityKind, str] | None = None,
    open_area: NDArray[np.bool_] | None = None,
    name: str = "view",
    origins: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
) -> Radiograph:
    """The radiograph of an image as stored: (height, width) or, with equal channels, (height, width, 3 or more).

    camera: of the upright pinhole image, obtained from the stored one by `quarter_turns` counter-clockwise and then,
        where it is `mirrored`, a reflection.
    intensity: "transmission" (bright = unattenuated), "attenuation" (bright = dense) or "auto" (by the histogram).
    negated: whether the grey scale is inverted with respect to `intensity`.
    zero: the stored value that means no X-rays, where an offset was added to the counts; by default 0, or inferred
        from signed whole numbers (`zero_of_counts`).
    custom: how to read the image where "auto" is inconclusive, and the reason.
    open_area: (height, width), the stored pixels not covered by a blade; all of them by default.
    name, origins, notes: see `Radiograph`; sentences on findings are added to the notes.

    Raises InputError for an image that is coloured, constant, saturated, not finite, or not of the camera's size, and
    for an implausible camera.
    """
    kind = intensity_named(intensity)
    require_xray_camera(camera, f"camera of {name}")
    recorded, told = grey(stored, name)
    recorded = np.ascontiguousarray(np.rot90(recorded, quarter_turns))
    if zero is None and not negated and kind != "attenuation" and (counted_from := zero_of_counts(stored)):
        zero = counted_from
        told = (*told, f"The values are signed and their offset was undone: {zero:g} was taken for no X-rays.")
    readable = _readable(recorded, negated, zero)
    valid, found = find_field(readable)
    if open_area is not None:
        valid &= np.rot90(open_area, quarter_turns)
    # Only radiographs have a convention of their own.
    integrals, decided = line_integrals(readable, valid, kind, *(() if custom is None else (custom,)))
    # The camera of the image as recorded; the reflection below converts it back to that of the pinhole image.
    recorded_camera = camera.mirrored_columns() if mirrored else camera
    view = Radiograph(
        recorded, integrals, valid, recorded_camera, name, dict(origins or {}), (*told, *notes, *found, *decided)
    )
    return view.mirrored() if mirrored else view


def _readable(recorded: NDArray[np.float32], negated: bool, zero: float | None) -> NDArray[np.float32]:
    """The image with correct grey-scale polarity and without offset."""
    if negated:
        return (recorded.max() + recorded.min() if zero is None else np.float32(zero)) - recorded
    return recorded if zero is None else recorded - np.float32(zero)


def intensity_named(name: str) -> IntensityKind:
    """The intensity kind with a given name; raises InputError for another word."""
    for kind in _INTENSITIES:
        if kind == name:
            return kind
    raise InputError("intensity", expected=", ".join(_INTENSITIES), found=repr(name), remedy="choose one of them")


def grey(pixels: NDArray, name: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """A non-constant grey image (height, width) in float32, and a sentence where colour channels were dropped.

    Raises InputError for colours, a constant or saturated image, and non-finite values.
    """
    pixels = pixels.astype(np.float32)
    notes: tuple[str, ...] = ()
    if pixels.ndim == 3:
        channels = pixels[..., :3]
        if channels.shape[-1] < 3 or (channels != channels[..., :1]).any():
            raise InputError(
                f"X-ray {name}",
                expected="a grey image",
                found=f"{pixels.shape[-1]} channels of different content",
                remedy="export the original grey values, not a coloured screenshot",
            )
        pixels = np.ascontiguousarray(channels[..., 0])
        notes = ("A colour image with equal channels was read as grey.",)
    if not np.isfinite(pixels).all():
        raise InputError(
            f"X-ray {name}", expected="finite values", found="NaN or infinity", remedy="replace them in the file"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        raise InputError(
            f"X-ray {name}",
            expected="an image",
            found=f"the constant value {low:g} (empty or saturated)",
            remedy="check the export",
        )
    shown = float(np.mean((pixels > low) & (pixels < high)))
    if shown < _LEAST_SHOWN:
        raise InputError(
            f"X-ray {name}",
            expected="grey tones",
            found=f"{1 - shown:.1%} of the pixels black or white (a mask, or saturated)",
            remedy="use the recorded image before windowing",
        )
    return pixels, notes
