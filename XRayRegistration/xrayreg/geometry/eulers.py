"""Rotations as three rotations about three different coordinate axes (Tait-Bryan angles).

R = R_i(a) R_j(b) R_k(c) for the order "ijk": read from the right, rotations about fixed axes. At |b| = 90 degrees the
outer two axes coincide (gimbal lock); there one of the many solutions is returned.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_from_eulers(angles: Tensor, order: str) -> Tensor:
    """Rotations (..., 3, 3) of angles (..., 3) [rad] in an order such as "zxy"."""
    i, j, k = (_about(angles[..., n], axis) for n, axis in enumerate(_axes(order)))
    return i @ j @ k


def eulers_from_rotation(rotation: Tensor, order: str) -> Tensor:
    """Angles (..., 3) [rad] of rotations (..., 3, 3), the middle one within +-pi/2."""
    i, j, k = _axes(order)
    sign = _sign(order)
    first = torch.atan2(-sign * rotation[..., j, k], rotation[..., k, k])
    # After the first rotation is undone, the other two are well conditioned, however the first one was obtained.
    rest = _about(-first, i) @ rotation
    middle = torch.atan2(sign * rest[..., i, k], rest[..., k, k])
    last = torch.atan2(sign * rest[..., j, i], rest[..., j, j])
    return torch.stack([first, middle, last], dim=-1)


def euler_axes(angles: Tensor, order: str) -> Tensor:
    """Axes (..., 3, 3), in columns: left derivatives of the rotation with respect to each angle [rad per rad].

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
    """1 for a cyclic order of x, y, z, -1 for an anticyclic one."""
    return 1 if order in "xyzxy" else -1
