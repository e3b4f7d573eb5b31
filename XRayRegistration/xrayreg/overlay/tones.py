"""Grey values for display: the X-ray, and the DRR in the X-ray's tones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..scene import Radiograph

Floats = NDArray[np.float32]

# The window leaves out this share of the pixels at either end.
_TAILS = 0.002
# Contrast-limited equalisation: histogram bins are clipped at this multiple of the mean.
_CONTRAST_LIMIT = 2.0
# Gaussian scale of the background, as a share of the image's longer side.
_BACKGROUND = 0.04
# Collimator and border are shown at this share of their brightness.
_OUTSIDE = 0.3


def shown_grey(view: Radiograph) -> Floats:
    """The X-ray (H, W) for display, 0 black to 1 white, with the recorded polarity.

    Line integrals are windowed between percentiles of the valid pixels and mapped by a contrast-limited equalisation,
    which is the same curve for every pixel; so any detector's tone curve gives about the same picture. Invalid pixels
    are dimmed. A constant image becomes medium grey.
    """
    if not view.valid.any():
        return np.full(view.valid.shape, 0.5 * _OUTSIDE, dtype=np.float32)
    inside = view.attenuation[view.valid]
    low, high = np.quantile(inside, (_TAILS, 1 - _TAILS))
    if not high > low:
        low, high = float(inside.min()), float(inside.max())
    if high > low:
        counts, levels = np.histogram(np.clip(inside, low, high), 512, (low, high))
        limited = np.minimum(counts / counts.mean(), _CONTRAST_LIMIT)
        # The clipped excess is distributed equally over all levels.
        spread = np.concatenate([[0.0], np.cumsum(limited + 1 - limited.mean())])
        grey = np.interp(view.attenuation, levels, spread / spread[-1])
        grey = 1 - grey if dense_is_dark(view) else grey
    else:
        grey = np.full(view.attenuation.shape, 0.5)
    return np.where(view.valid, grey, grey * _OUTSIDE).astype(np.float32)


def dense_is_dark(view: Radiograph) -> bool:
    """Whether the image was recorded with bone dark (fluoroscopy) rather than bright."""
    recorded, dense = (image[view.valid].astype(np.float64) for image in (view.recorded, view.attenuation))
    return bool(((recorded - recorded.mean()) * (dense - dense.mean())).sum() < 0)


def compared_region(drr: NDArray, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels (H, W) where X-ray and DRR can be compared: valid ones near the DRR's content."""
    margin = max(2, round(0.03 * max(drr.shape)))
    return (ndimage.distance_transform_edt(drr <= 0) <= margin) & valid if (drr > 0).any() else valid & False


def matched_tones(drr: NDArray, grey: NDArray, region: NDArray[np.bool_], dense_is_dark: bool) -> Floats:
    """The DRR (H, W) in the tones of the displayed X-ray `grey`, inside `region`; outside it `grey` itself.

    Detail comes from the DRR, with the contrast of the least-squares fit; the broad background, which scatter and
    tissue beyond the rendered structures shape, comes from the X-ray. A DRR that does not fit keeps half the X-ray's
    contrast, so that the misfit is visible.
    """
    weight = region.astype(np.float32)
    scale = _BACKGROUND * max(drr.shape)
    near = np.maximum(ndimage.gaussian_filter(weight, scale), 1e-6)
    background = ndimage.gaussian_filter(weight * grey, scale) / near
    detail = (drr - ndimage.gaussian_filter(weight * drr, scale) / near) * weight
    power = float((detail**2).sum())
    if not power > 0:
        return np.where(region, background, grey).astype(np.float32)
    wanted = (grey - background) * weight
    sign = -1.0 if dense_is_dark else 1.0
    fitted = sign * float((detail * wanted).sum()) / power
    contrast = max(fitted, 0.5 * float(np.sqrt((wanted**2).sum() / power)))
    return np.where(region, np.clip(background + sign * contrast * detail, 0, 1), grey).astype(np.float32)
