"""Digital subtraction angiograms: images that show only the contrast agent, dark on a uniform background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...scene import Radiograph

_BINS = 512


def subtracted(view: Radiograph) -> Radiograph:
    """The view with attenuation recomputed as the difference of background and pixel, 0 for brighter pixels.

    A subtraction is a difference of logarithms already, so no further logarithm is taken.
    """
    background = background_level(view.recorded[view.valid])
    darker = np.maximum(np.float32(background) - view.recorded, 0)
    note = f"A subtraction image: its background, {background:g}, was taken as unattenuated, what is brighter too."
    return replace(view, attenuation=darker.astype(np.float32), notes=(*view.notes, note))


def background_level(values: NDArray) -> float:
    """The most frequent grey value: the median of the fullest of 512 bins, as float images seldom repeat a value."""
    counts, edges = np.histogram(values, _BINS)
    fullest = int(counts.argmax())
    inside = (values >= edges[fullest]) & (values <= edges[fullest + 1])
    return float(np.median(values[inside]))
