"""All poses that are local minima of the reprojection error of points of the volume, best first (PnP).

Once the translation is eliminated, the squared distances of the points from the rays on which they were seen are
quadratic in the rotation's nine entries, whatever the number of views (as in SQPnP, Terzakis and Lourakis, ECCV 2020).
So a descent from rotations in all directions is cheap. From each minimum the squared pixel distances are minimised.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...geometry import Placement, camera_from_placement, left_jacobian_inverse
from .clicks import GENERATORS, Clicks

Array = NDArray[np.float64]

# Beams (primary, secondary angle) and rolls [deg] to start from: every rotation is within 63 degrees of one of them.
_BEAMS = ((0.0, 0.0), (180.0, 0.0), (90.0, 0.0), (-90.0, 0.0), (0.0, 90.0), (0.0, -90.0))
_ROLLS = (0.0, 90.0, 180.0, -90.0)
_MOST_STEPS = 100
_STILL_RAD = 1e-6
# Poses that differ by less, in angle and in the position of the points' centre, are the same.
_SAME_RAD, _SAME_MM = 5e-3, 1.0


@dataclass(frozen=True, eq=False)
class Solution:
    """A pose world_from_volume (4, 4) that minimises the sum of squared pixel distances, and that sum [px^2]."""

    world_from_volume: Array
    squares: float


def solutions(clicks: Clicks) -> list[Solution]:
    """The distinct poses with every point in front of its source, best first; empty where there is none."""
    found: list[Solution] = []
    for start in _starts(clicks):
        solution = polished(clicks, start)
        pose = solution.world_from_volume
        known = [other.world_from_volume for other in found]
        if clicks.in_front(pose) and not _among(pose, known, clicks.pivot):
            found.append(solution)
    return sorted(found, key=lambda solution: solution.squares)


def polished(clicks: Clicks, world_from_volume: Array) -> Solution:
    """The minimum of the squared pixel distances found by Levenberg-Marquardt from a pose (4, 4)."""
    # Imported only where landmarks are used, not by every registration.
    from scipy.optimize import least_squares

    def errors(twist: Array) -> Array:
        return clicks.errors(_twisted(world_from_volume, twist, clicks.pivot)).ravel()

    def jacobian(twist: Array) -> Array:
        return jacobian_from(clicks, world_from_volume, twist).reshape(-1, 6)

    result = least_squares(errors, np.zeros(6), jac=jacobian, method="lm", x_scale="jac", xtol=1e-10, ftol=1e-12)
    return Solution(_twisted(world_from_volume, result.x, clicks.pivot), 2 * float(result.cost))


def jacobian_from(clicks: Clicks, world_from_volume: Array, twist: Array) -> Array:
    """Derivatives (M, 2, 6) of the errors by a twist [rad, mm] relative to the pose `world_from_volume`."""
    here = clicks.jacobian(_twisted(world_from_volume, twist, clicks.pivot))
    # The left Jacobian converts derivatives by a rotation at the current pose to those by the twist's rotation vector.
    left = np.linalg.inv(left_jacobian_inverse(torch.tensor(twist[:3])).numpy())
    return np.concatenate([here[..., :3] @ left, here[..., 3:]], axis=-1)


def _starts(clicks: Clicks) -> list[Array]:
    """Poses (4, 4) in front of the sources that are minima of the points' distances from their rays."""
    system, target, centre_from_rotation = _ray_distances(clicks)
    starts: list[Array] = []
    for rotation in _descended(system, target, _rotations_all_around()):
        pose = np.eye(4)
        pose[:3, :3] = rotation
        pose[:3, 3] = centre_from_rotation @ np.append(rotation.ravel(), 1.0) - rotation @ clicks.pivot
        if clicks.in_front(pose) and not _among(pose, starts, clicks.pivot):
            starts.append(pose)
    return starts


def _ray_distances(clicks: Clicks) -> tuple[Array, Array, Array]:
    """Distances of the points from their rays, as `system @ r - target` of the rotation's entries r (9,), row by row.

    The third result (3, 10) maps (r, 1) to the optimal world position of the pivot for a rotation.
    """
    across = np.eye(3) - clicks.directions[:, :, None] * clicks.directions[:, None, :]
    levers = clicks.points - clicks.pivot
    by_rotation = (across[:, :, :, None] * levers[:, None, None, :]).reshape(-1, 9)
    known = (across @ clicks.sources[:, :, None]).reshape(-1, 1)
    both = np.hstack([by_rotation, -known])
    by_centre = across.reshape(-1, 3)
    centre_from_rotation = -np.linalg.pinv(by_centre) @ both
    _, reduced = np.linalg.qr(both + by_centre @ centre_from_rotation)
    return reduced[:, :9], -reduced[:, 9], centre_from_rotation


@functools.cache
def _rotations_all_around() -> Array:
    origin = np.zeros(3)
    placements = (Placement(*beam, roll, 0.0, 0.0, 1.0) for beam in _BEAMS for roll in _ROLLS)
    return np.stack([camera_from_placement(placement, origin)[:3, :3] for placement in placements])


def _descended(system: Array, target: Array, rotations: Array) -> Array:
    """Rotations (K, 3, 3) after minimising |system @ r - target|^2 from each by Levenberg-Marquardt."""
    damping = np.full(len(rotations), 1e-3)
    for _ in range(_MOST_STEPS):
        residuals = rotations.reshape(-1, 9) @ system.T - target
        jacobian = (GENERATORS @ rotations[:, None]).reshape(-1, 3, 9) @ system.T
        normal = jacobian @ jacobian.mT
        scale = np.trace(normal, axis1=1, axis2=2) + np.finfo(np.float64).tiny
        damped = normal + (damping * scale)[:, None, None] * np.eye(3)
        step = -np.linalg.solve(damped, jacobian @ residuals[:, :, None])[..., 0]
        turned = Rotation.from_rotvec(step).as_matrix() @ rotations
        better = np.linalg.norm(turned.reshape(-1, 9) @ system.T - target, axis=1) < np.linalg.norm(residuals, axis=1)
        rotations = np.where(better[:, None, None], turned, rotations)
        damping = np.where(better, damping / 5, damping * 5).clip(1e-12, 1e6)
        if np.linalg.norm(step, axis=1).max() < _STILL_RAD:
            break
    return rotations


def _twisted(pose: Array, twist: Array, pivot: Array) -> Array:
    """`geometry.retract` for one pose in SciPy, which takes a twentieth of the time for small arrays."""
    twisted = np.eye(4)
    twisted[:3, :3] = Rotation.from_rotvec(twist[:3]).as_matrix() @ pose[:3, :3]
    twisted[:3, 3] = pose[:3, :3] @ pivot + pose[:3, 3] + twist[3:] - twisted[:3, :3] @ pivot
    return twisted


def _among(pose: Array, others: list[Array], pivot: Array) -> bool:
    """Whether the pose equals one of the others, within tolerances."""
    if not others:
        return False
    between = pose - np.stack(others)
    # The Frobenius norm of the difference of two rotations is the square root of two times their small angle.
    turns = np.linalg.norm(between[:, :3, :3], axis=(1, 2)) / np.sqrt(2)
    shifts = np.linalg.norm(between[:, :3, :3] @ pivot + between[:, :3, 3], axis=1)
    return bool(((turns < _SAME_RAD) & (shifts < _SAME_MM)).any())
