"""Rotations of 3-space: the exponential and logarithm between rotation vectors and matrices.

Both maps are exact and differentiable at zero and accurate up to an angle of pi, where the logarithm has two equally
valid values and returns one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below this squared angle the Taylor series is exact to double precision: the first term left out is of order theta^6.
_SMALL_ANGLE_SQUARED = 1e-5


def skew(vector: Tensor) -> Tensor:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3): skew(a) @ b = a x b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*vector.shape[:-1], 3, 3)


def rotation_from_vector(vector: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues' formula)."""
    squared = (vector * vector).sum(-1)[..., None, None]
    small = squared < _SMALL_ANGLE_SQUARED
    # The branch that is not selected must stay finite too, or its NaN gradient propagates to the selected one.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine_term = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    half_sine = (angle / 2).sin()  # 1 - cos = 2 sin^2(half), which does not cancel
    cosine_term = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, 2 * half_sine**2 / safe)
    cross = skew(vector)
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + sine_term * cross + cosine_term * (cross @ cross)


def vector_from_rotation(rotation: Tensor) -> Tensor:
    """Rotation vectors (..., 3) in radians, of length at most pi, of rotation matrices (..., 3, 3).

    Goes through the unit quaternion, read off the column of the adjugate q q^T with the largest norm, which is
    well conditioned for every angle (Shepperd 1978; Markley 2008).
    """
    r = rotation
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # Rows of 4 q q^T, ordered (w, x, y, z).
    row_w = [1 + trace, r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]]
    row_x = [row_w[1], 1 + 2 * r[..., 0, 0] - trace, r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0]]
    row_y = [row_w[2], row_x[2], 1 + 2 * r[..., 1, 1] - trace, r[..., 1, 2] + r[..., 2, 1]]
    row_z = [row_w[3], row_x[3], row_y[3], 1 + 2 * r[..., 2, 2] - trace]
    rows = torch.stack([torch.stack(row, -1) for row in (row_w, row_x, row_y, row_z)], -2)
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    picked = torch.gather(rows, -2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    quaternion = picked / picked.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    cosine, sine_axis = quaternion[..., 0], quaternion[..., 1:]
    squared = (sine_axis * sine_axis).sum(-1)
    small = squared < _SMALL_ANGLE_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # angle / sin(angle/2); for small angles from the series of 2 asin(s) / s.
    factor = torch.where(small, 2 + squared / 3 + 3 * squared**2 / 20, 2 * torch.atan2(sine, cosine) / sine)
    return factor[..., None] * sine_axis


def left_jacobian(vector: Tensor) -> Tensor:
    """Derivatives (..., 3, 3) of w, with log(exp(w) exp(vector)), by `vector` (Barfoot 2017, eq. 7.77).

    Singular at non-zero multiples of 2 pi.
    """
    squared = (vector * vector).sum(-1)[..., None, None]
    small = squared < 1e-2
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    series = 1 / 6 - squared / 120 + squared**2 / 5040 - squared**3 / 362880
    sine_term = torch.where(small, series, (angle - angle.sin()) / (safe * angle))
    half = torch.where(small, torch.ones_like(squared), (angle / 2).sin() / (angle / 2))
    cosine_series = 0.5 - squared / 24 + squared**2 / 720 - squared**3 / 40320
    cosine_term = torch.where(small, cosine_series, half**2 / 2)
    cross = skew(vector)
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return eye + cosine_term * cross + sine_term * (cross @ cross)


def left_jacobian_inverse(vector: Tensor) -> Tensor:
    """Derivatives (..., 3, 3) of log(exp(w) exp(vector)) with respect to w at zero (Barfoot 2017, eq. 7.77).

    Finite for rotations below a full turn; at zero it is the identity.
    """
    squared = (vector * vector).sum(-1)[..., None, None]
    small = squared < 1e-2
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    series = 1 / 12 + squared / 720 + squared**2 / 30240 + squared**3 / 1209600
    factor = torch.where(small, series, 1 / safe - 1 / (2 * angle * (angle / 2).tan()))
    cross = skew(vector)
    return torch.eye(3, dtype=vector.dtype, device=vector.device) - cross / 2 + factor * (cross @ cross)
