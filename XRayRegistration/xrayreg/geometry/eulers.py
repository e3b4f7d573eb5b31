"""Rotations as three turns about coordinate axes, each different from the others (Tait-Bryan angles).

R = R_i(a) R_j(b) R_k(c) for the order "ijk": read from the right, turns about fixed axes. At b of a quarter turn the
outer two do the same (gimbal lock); there one of the many right answers is given.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_from_eulers(angles: Tensor, order: str) -> Tensor:
    """Rotations (..., 3, 3) of angles (..., 3) [rad] in an order such as "zxy"."""
    i, j, k = (_about(angles[..., n], axis) for n, axis in enumerate(_axes(order)))
    return i @ j @ k


def eulers_from_rotation(rotation: Tensor, order: str) -> Tensor:
    """Angles (..., 3) [rad] of rotations (..., 3, 3), the middle one at most a quarter turn either way."""
    i, j, k = _axes(order)
    sign = _sign(order)
    first = torch.atan2(-sign * rotation[..., j, k], rotation[..., k, k])
    # What is left once the first turn is undone is well conditioned in both others, wherever the first one came from.
    rest = _about(-first, i) @ rotation
    middle = torch.atan2(sign * rest[..., i, k], rest[..., k, k])
    last = torch.atan2(sign * rest[..., j, i], rest[..., j, j])
    return torch.stack([first, middle, last], dim=-1)


def euler_axes(angles: Tensor, order: str) -> Tensor:
    """Axes (..., 3, 3), in columns, about which the rotation turns on the left as each angle grows [rad per rad].

    Singular at gimbal lock, where the first and the last column are parallel.
    """
    i, j, k = _axes(order)
    unit = torch.eye(3, dtype=angles.dtype, device=angles.device)
    outer = _about(angles[..., 0], i)
    inner = outer @ _about(angles[..., 1], j)
    return torch.stack([unit[i].expand(angles.shape), outer[..., j], inner[..., k]], dim=-1)


def _about(angle: Tensor, axis: int) -> Tensor:
    """Rotations (..., 3, 3) about a coordinate axis."""
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    after, last = (axis + 1) % 3, (axis + 2) % 3
    rows = [[zero, zero, zero] for _ in range(3)]
    rows[axis][axis] = one
    rows[after][after] = rows[last][last] = cosine
    rows[after][last], rows[last][after] = -sine, sine
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _axes(order: str) -> tuple[int, int, int]:
    i, j, k = ("xyz".index(letter) for letter in order)
    return i, j, k


def _sign(order: str) -> int:
    """One where the order runs as x, y, z do, minus one where it runs against them."""
    return 1 if order in "xyzxy" else -1
