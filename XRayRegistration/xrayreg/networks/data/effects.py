"""Image formation effects of an X-ray: vectorised over a batch (B, H, W), deterministic.

Transmission is 1 where nothing attenuates. Positions in an image are (column, row) shares of its edge, 0 to 1, so that
an effect does not depend on the number of pixels.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

# Mass attenuation at 40 keV over that at 70 keV, the energy at which Hounsfield units are read: water, cortical bone
# (NIST XCOM; the values at 70 keV are interpolated as in simulation.materials).
WATER_40_KEV, BONE_40_KEV = 1.387, 2.544
# Cosine orders kept along each axis of a slowly varying field.
SLOW_ORDERS = 8


def transmission(integrals: Tensor, low_energy: Tensor, bone_contrast: Tensor) -> Tensor:
    """Transmission (B, H, W) of a beam of two energies through soft tissue and bone (B, 2, H, W).

    low_energy: (B,) share of the beam at 40 keV, the rest at 70 keV. bone_contrast: (B,) factor on bone. The sum of two
    exponentials models beam hardening: the more attenuation, the less the low energy contributes.
    """
    share, factor = _each(low_energy), _each(bone_contrast)
    soft, bone = integrals[:, 0], integrals[:, 1] * factor
    high = torch.exp(-(soft + bone))
    return high.lerp_(torch.exp(-(WATER_40_KEV * soft + BONE_40_KEV * bone)), share)


def scattered(primary: Tensor, ratio: Tensor, width: Tensor) -> Tensor:
    """Scatter (B, H, W) of transmissions: of low frequency, and strongest where about half of the beam is attenuated.

    ratio: (B,) of scatter to primary behind the patient. width: (B,) sigma of its spread as a share of the image.
    Its source is -P ln P (Ohnesorge et al., Eur. Radiol. 9, 1999), blurred by a Gaussian with mirrored borders.
    """
    source = -primary * primary.clamp_min(1e-12).log()
    basis = slow_basis(primary.shape[-1], primary.device)
    orders = torch.arange(SLOW_ORDERS, device=primary.device)
    decay = torch.exp(-0.5 * (math.pi * width[:, None] * orders) ** 2)
    coefficients = (basis.mT @ source @ basis) * decay[:, :, None] * decay[:, None, :]
    spread = (basis @ coefficients @ basis.mT).clamp_min_(0)
    behind = (primary < 0.95).to(primary)
    scale = (primary * behind).sum((1, 2)) / (spread * behind).sum((1, 2)).clamp_min(1e-12)
    return spread * _each(ratio * scale)


def slow_field(coefficients: Tensor, px: int) -> Tensor:
    """Sums (B, px, px) of the cosines with `coefficients` (B, n, n) along rows and columns, each of variance 1."""
    basis = slow_basis(px, coefficients.device)[:, : coefficients.shape[-1]] * math.sqrt(px)
    return basis @ coefficients @ basis.mT


@functools.lru_cache(maxsize=16)
def slow_basis(px: int, device: torch.device) -> Tensor:
    """The first cosines (px, SLOW_ORDERS) of the orthonormal cosine transform, float32."""
    places = (torch.arange(px, dtype=torch.float64) + 0.5) / px
    cosines = torch.cos(math.pi * places[:, None] * torch.arange(SLOW_ORDERS, dtype=torch.float64))
    return (cosines / cosines.norm(dim=0)).to(device, torch.float32)


def blurred(image: Tensor, variance: Tensor) -> Tensor:
    """Images blurred by (B,) the variance [pixels squared] along each axis, up to 1; below 0 they are sharpened.

    Applies twice the kernel (v/4, 1 - v/2, v/4), whose variance is v/2.
    """
    weight = _each(variance) / 4
    for _ in range(2):
        for axis in (1, 2):
            image = image + weight * _neighbours(image, axis)
    return image


def tone(image: Tensor, low: Tensor, high: Tensor, gamma: Tensor, s_curve: Tensor) -> Tensor:
    """Images through an increasing tone curve that keeps and clips at `low` and `high` (B,).

    gamma: (B,) exponent. s_curve: (B,) weight of the curve 3 t^2 - 2 t^3, from -0.5 (its opposite) to 1.
    """
    span = _each((high - low).clamp_min(1e-6))
    share = ((image - _each(low)) / span).clamp_(0, 1)
    share = share.pow_(_each(gamma))
    weight = _each(s_curve)
    # t + w (3 t^2 - 2 t^3 - t)
    share = share * (1 - weight + weight * share * (3 - 2 * share))
    return share * span + _each(low)


def opening(centre: Tensor, half: Tensor, angle: Tensor, corner: Tensor, px: int, edge_px: float = 1.0) -> Tensor:
    """Openness (N, px, px) of a field at each pixel, 0 to 1, with an edge `edge_px` wide.

    centre: (N, 2). half: (N, 2) half width and half height. angle: (N,) [rad]. corner: (N,) radius of the rounded
    corners: 0 for a rectangle; equal to both halves for a circle.
    """
    columns, rows = _places(px, centre.device)
    u, v = columns - centre[:, 0, None, None], rows - centre[:, 1, None, None]
    cosine, sine = _each(angle.cos()), _each(angle.sin())
    radius = _each(corner)
    across = (u * cosine + v * sine).abs_() - (half[:, 0, None, None] - radius)
    along = (v * cosine - u * sine).abs_() - (half[:, 1, None, None] - radius)
    outside = torch.hypot(across.clamp_min(0), along.clamp_min(0)) + torch.maximum(across, along).clamp_max(0)
    return (0.5 - (outside - radius) * (px / edge_px)).clamp_(0, 1)


def rods(start: Tensor, end: Tensor, radius: Tensor, px: int) -> Tensor:
    """Paths (N, px, px) through rods with round ends, as shares of their diameter.

    start, end: (N, 2) of the axis; radius: (N,) share of the image's edge. A rod thinner than a pixel is spread over
    it, so that its mass is conserved. start = end gives a ball.
    """
    columns, rows = _places(px, start.device)
    u, v = columns - start[:, 0, None, None], rows - start[:, 1, None, None]
    along_u, along_v = _each(end[:, 0] - start[:, 0]), _each(end[:, 1] - start[:, 1])
    length = (along_u**2 + along_v**2).clamp_min(1e-12)
    foot = ((u * along_u + v * along_v) / length).clamp_(0, 1)
    squared = (u - foot * along_u) ** 2 + (v - foot * along_v) ** 2
    widened = radius.clamp_min(0.75 / px)
    return (1 - squared / _each(widened) ** 2).clamp_min_(0).sqrt_() * _each(radius / widened)


def _neighbours(image: Tensor, axis: int) -> Tensor:
    """Sum of both neighbours along `axis` less twice the pixel; border pixels are replicated."""
    step = image.diff(dim=axis)
    total = torch.zeros_like(image)
    size = image.shape[axis]
    total.narrow(axis, 0, size - 1).add_(step)
    total.narrow(axis, 1, size - 1).sub_(step)
    return total


@functools.lru_cache(maxsize=16)
def _places(px: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Columns (1, 1, px) and rows (1, px, 1) of pixel centres as shares of the edge."""
    places = (torch.arange(px, device=device, dtype=torch.float32) + 0.5) / px
    return places[None, None, :], places[None, :, None]


def _each(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1)."""
    return values[:, None, None]
