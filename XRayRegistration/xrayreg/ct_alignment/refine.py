"""Local refinement of the alignment of two coarse CTs: Levenberg-Marquardt on their correlation.

Correlation is one minus half the squared distance of the two images made zero-mean and of unit norm, so that raising it
is a least-squares problem (see `optimize.lm_batch`, which does the same with X-rays).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .preprocess import CoarseVolume

Floats = NDArray[np.float64]

# Samples of the fixed body at which the two are compared: more change the result by less than a tenth of a voxel.
_PLACES = 15_000
_STEPS = 30
_LEAST_PLACES = 50
_LEAST_GAIN = 1e-6


class _Comparison(NamedTuple):
    """Both images at the samples, normalised, and the derivatives of the moving one by the six parameters."""

    score: float
    residual: Floats
    jacobian: Floats


def refine_alignment(fixed: CoarseVolume, moving: CoarseVolume, fixed_from_moving: Floats) -> Floats:
    """The pose (4, 4) near `fixed_from_moving` at which the two correlate best over the fixed body and its outline."""
    places = _places(fixed)
    reference = fixed.values[tuple(places.T[::-1])].astype(np.float64)
    points = fixed.origin + fixed.voxel_mm * places
    covered = moving.covered.astype(np.float32)
    moving_arrays = [covered, moving.values, *np.gradient(moving.values, moving.voxel_mm)[::-1]]
    pose: Floats = np.asarray(np.linalg.inv(fixed_from_moving), dtype=np.float64)
    # A rotation about the body's centre decouples rotation and shift.
    pivot = pose[:3, :3] @ fixed.centre + pose[:3, 3]
    now = _compare(reference, points, moving, moving_arrays, pose, pivot)
    damping = 1e-2
    for _ in range(_STEPS):
        if now is None:
            break
        normal = now.jacobian.T @ now.jacobian
        scale = np.diag(normal) + 1e-12
        step = np.asarray(
            np.linalg.solve(normal + damping * np.diag(scale), now.jacobian.T @ now.residual), dtype=np.float64
        )
        proposed = _stepped(pose, step, pivot)
        then = _compare(reference, points, moving, moving_arrays, proposed, pivot)
        if then is None or then.score <= now.score:
            damping *= 8
            if damping > 1e2:
                break
            continue
        gain = then.score - now.score
        pose, now, damping = proposed, then, max(damping / 5, 1e-6)
        if gain < _LEAST_GAIN:
            break
    return np.asarray(np.linalg.inv(pose))


def _places(fixed: CoarseVolume) -> NDArray[np.intp]:
    """Indices (N, 3) (i, j, k) of a uniform sample of the voxels of the body and the shell about it."""
    all_of_them = np.argwhere(fixed.near)[:, ::-1]
    if len(all_of_them) <= _PLACES:
        return all_of_them
    # Random with a fixed seed, as a regular stride aliases with the rows.
    return all_of_them[np.random.default_rng(0).choice(len(all_of_them), _PLACES, replace=False)]


def _compare(
    reference: Floats,
    points: Floats,
    moving: CoarseVolume,
    arrays: list[NDArray],
    moving_from_fixed: Floats,
    pivot: Floats,
) -> _Comparison | None:
    """The comparison at a pose, None where the two hardly overlap or one of them is constant.

    arrays: of the moving CT [k, j, i]: mask of the scan, values, and their derivatives along i, j and k.
    """
    seen = points @ moving_from_fixed[:3, :3].T + moving_from_fixed[:3, 3]
    index = ((seen - moving.origin) / moving.voxel_mm).T[::-1]
    inside = _sampled(arrays[0], index) > 0.99
    if inside.sum() < _LEAST_PLACES:
        return None
    index, seen = index[:, inside], seen[inside]
    image, *slopes = (_sampled(array, index) for array in arrays[1:])
    one, other = _normalised(reference[inside]), _normalised(image)
    if one is None or other is None:
        return None
    gradient = np.stack(slopes, axis=1)
    jacobian = np.concatenate([np.cross(seen - pivot, gradient), gradient], axis=1)
    jacobian -= jacobian.mean(axis=0)
    jacobian /= np.sqrt(np.square(image - image.mean()).sum())
    # Removes the component that only changes the norm.
    jacobian -= np.outer(other, other @ jacobian)
    residual = one - other
    return _Comparison(1 - float(residual @ residual) / 2, residual, jacobian)


def _sampled(array: NDArray, index: Floats) -> Floats:
    return np.asarray(ndimage.map_coordinates(array, index, order=1, mode="grid-constant", output=np.float64))


def _normalised(values: Floats) -> Floats | None:
    centred = values - values.mean()
    norm = float(np.sqrt(np.square(centred).sum()))
    return centred / norm if norm > 1e-6 else None


def _stepped(moving_from_fixed: Floats, step: Floats, pivot: Floats) -> Floats:
    """The pose rotated about `pivot` (moving frame) by step[:3] [rad] and shifted by step[3:] [mm]."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix()
    turn[:3, 3] = step[3:] + pivot - turn[:3, :3] @ pivot
    return np.asarray(turn @ moving_from_fixed)
