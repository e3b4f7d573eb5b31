"""The formula shared by the plane-by-plane engines: all derivatives of a ray's integral from five sums along it.

Joseph's method (1982) reads the map once per plane of the axis m along which the ray moves fastest. With u, w the
other axes, u(k) = a + b k, b = d_u / d_m, a = s_u - s_m b (likewise w) and B_k the bilinear value on plane k,
    I = length / |d_m| sum_k B_k,
so the sums of B, dB/du, k dB/du, dB/dw, k dB/dw hold the exact derivative of the discretised image with respect to
the ray, hence to every pose and camera parameter (design.md 6.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

# For each dominant axis m the two others (u, w), in the order in which the sums name them.
OTHER_AXES = ((1, 2), (0, 2), (0, 1))
# A plane counts when it lies at least this far [voxels] in front of the source: one on the source itself does not,
# regardless of rounding.
LEAST_AHEAD = 1e-6


def dominant_axis(directions: Tensor) -> Tensor:
    """The axis (0, 1, 2) along which directions (..., 3) move fastest; the first one of equals."""
    return directions.abs().argmax(dim=-1)


def ray_gradients(
    axis: int, source: Tensor, directions: Tensor, sums: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Derivatives (..., 3) of sum_k B_k / |d_m| with respect to the ray's source (3,) and directions (..., 3)."""
    total, du, k_du, dw, k_dw = sums
    first, second = OTHER_AXES[axis]
    along = directions[..., axis]
    slope_u, slope_w = directions[..., first] / along, directions[..., second] / along
    by_source = [torch.empty(0)] * 3
    by_source[first], by_source[second] = du, dw
    by_source[axis] = -(slope_u * du + slope_w * dw)
    lever_u, lever_w = (k_du - source[axis] * du) / along, (k_dw - source[axis] * dw) / along
    by_direction = [torch.empty(0)] * 3
    by_direction[first], by_direction[second] = lever_u, lever_w
    by_direction[axis] = -(slope_u * lever_u + slope_w * lever_w) - total / along
    scale = 1 / along.abs()[..., None]
    return torch.stack(by_source, -1) * scale, torch.stack(by_direction, -1) * scale
