"""Similarities as defined by published systems (methods.md A0b), as terms.

All of them compare images rescaled to the range 0 to 1 and add their epsilon to every variance, in windows around every
pixel that lie fully inside the image.
"""

from __future__ import annotations

from dataclasses import replace

from ...settings import Term

# DiffDRR's guard within the roots.
EPSILON = 1e-5
# Sigma of xReg's Gaussian [pixels]: OpenCV's default for a kernel of 5 pixels.
XREG_SIGMA = 1.1


def zncc(weight: float = 1.0) -> tuple[Term, ...]:
    """Zero-mean normalised cross-correlation of the whole images."""
    return (Term(weight=weight, floor=0.0, epsilon=EPSILON),)


def local_zncc(window: int, weight: float = 1.0) -> tuple[Term, ...]:
    """The mean correlation of all patches of `window` x `window` pixels."""
    return (Term(window=window, weight=weight, floor=0.0, epsilon=EPSILON),)


def multiscale_zncc(window: int, weight: float = 1.0) -> tuple[Term, ...]:
    """mNCC([None, window], [.5, .5]): half global, half local; windows of 9 pixels in xvr, 13 in DiffPose."""
    return (*zncc(weight / 2), *local_zncc(window, weight / 2))


def gradient_zncc(window: int | None = 11, sigma: float = 0.0, weight: float = 1.0) -> tuple[Term, ...]:
    """gradNCC(window, sigma): Sobel, zero beyond the border, then local correlation, the mean of both derivatives.

    window: None for the whole image. sigma: of a Gaussian before it [pixels], 0 for none.
    """
    (term,) = zncc(weight) if window is None else local_zncc(window, weight)
    if sigma > 0:
        return (replace(term, filter="smooth_sobel", sigma=sigma, padded=True),)
    return (replace(term, filter="sobel", padded=True),)


def patch_gradient_zncc(downsampling: float, weight: float = 1.0) -> tuple[Term, ...]:
    """xReg's patch gradient correlation on images downsampled by `downsampling`.

    OpenCV's Gaussian blur of 5 x 5 pixels (sigma 1.1), Sobel, then the mean correlation of all patches of radius
    41 / downsampling, of both derivatives.
    """
    radius = max(1, round(41 / downsampling))
    (term,) = local_zncc(2 * radius + 1, weight)
    return (replace(term, filter="smooth_sobel", sigma=XREG_SIGMA),)
