"""Coarse search for the pose of one CT in another: many orientations at every shift, by masked correlation.

The correlation of all shifts at once is Padfield's (Masked object registration in the Fourier domain, IEEE TIP 21(5),
2012), computed over the voxels that both scans cover and where at least one of them shows the body.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from .preprocess import CoarseVolume

Floats = NDArray[np.float64]

# About the capture range of the local refinement.
_TILT_RAD = np.deg2rad(25.0)


class UprightGrid(NamedTuple):
    """Voxels along RAS axes: position of the first (3,) [mm], their edge [mm], their numbers [k, j, i]."""

    origin: Floats
    voxel_mm: float
    shape: tuple[int, ...]


def tilts() -> list[Floats]:
    """Small rotations (3, 3) about each axis, in both directions."""
    return [Rotation.from_rotvec(sign * _TILT_RAD * axis).as_matrix() for axis in np.eye(3) for sign in (1.0, -1.0)]


def quarter_turns() -> list[Floats]:
    """The 24 rotations (3, 3) that map axes to axes."""
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0:
                turns.append(turn)
    return turns


class Spectra(NamedTuple):
    """Spectra of one CT: its values, their squares, the mask of the scan, of air within it, and of the body."""

    values: NDArray[np.complex64]
    squares: NDArray[np.complex64]
    covered: NDArray[np.complex64]
    air: NDArray[np.complex64]
    body: NDArray[np.complex64]


def shift_finder(
    fixed: CoarseVolume, moving: CoarseVolume, least_overlap: float
) -> Callable[[Floats], tuple[float, Floats]]:
    """A function from a rotation (3, 3) to the best shift: its correlation and fixed_from_moving (4, 4) [mm, RAS].

    The correlation is -1 without overlap. least_overlap: share of the smaller body that the other scan must cover.
    The spectra of the fixed CT are cached, as several rotations need the same.
    """
    of_fixed = functools.cache(lambda size: _spectra(fixed, size))

    def found(turn: Floats) -> tuple[float, Floats]:
        turned = _turned(moving, turn)
        size = _size(fixed, turned)
        return _best_shift(fixed, turned, turn, least_overlap, of_fixed(size), _spectra(turned, size), size)

    return found


def _best_shift(
    fixed: CoarseVolume,
    turned: CoarseVolume,
    turn: Floats,
    least_overlap: float,
    f: Spectra,
    m: Spectra,
    size: tuple[int, ...],
) -> tuple[float, Floats]:
    scores = _correlations(f, m, size)
    least = least_overlap * min(fixed.body.sum(), turned.body.sum())
    scores = np.where(_overlaps(f, m, size) >= least, scores, -1.0)
    lag = np.unravel_index(int(np.argmax(scores)), scores.shape)
    # Lags beyond the middle are negative.
    steps = [
        n - size if n >= extent else n for n, size, extent in zip(lag, scores.shape, fixed.body.shape, strict=True)
    ]
    fixed_from_turned = fixed.origin + fixed.voxel_mm * np.array(steps[::-1]) - turned.origin
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = fixed_from_turned
    return float(scores[lag]), matrix


def _turned(coarse: CoarseVolume, turn: Floats) -> CoarseVolume:
    """The volume rotated about the origin of RAS, on a grid along RAS axes that contains all of it."""
    size = np.array(coarse.values.shape[::-1])
    ends = np.array(list(itertools.product((0, 1), repeat=3))) * (size - 1) * coarse.voxel_mm + coarse.origin
    ends = ends @ turn.T
    origin = ends.min(axis=0)
    shape = np.ceil(np.ptp(ends, axis=0) / coarse.voxel_mm - 1e-6).astype(int) + 1
    target = UprightGrid(origin, coarse.voxel_mm, tuple(shape[::-1].tolist()))
    pose = np.eye(4)
    pose[:3, :3] = turn
    parts: tuple[NDArray, ...] = (coarse.values, coarse.covered, coarse.body, coarse.near)
    turned: list[NDArray]
    if (np.abs(turn) == np.rint(np.abs(turn))).all():
        # Right angles map voxels to voxels; arrays are [k, j, i], matrices are in (i, j, k).
        order, signs = np.abs(turn[::-1, ::-1]).argmax(axis=1).tolist(), turn[::-1, ::-1].sum(axis=1)
        backwards = tuple(np.flatnonzero(signs < 0).tolist())
        turned = [np.ascontiguousarray(np.flip(part.transpose(order), backwards)) for part in parts]
    else:
        sampled = [resample_to_grid(part, coarse, target, pose) for part in parts]
        turned = [sampled[0], *(np.asarray(part > 0.5) for part in sampled[1:])]
    return CoarseVolume(turned[0], turned[1], turned[2], turned[3], origin, coarse.voxel_mm)


def _size(fixed: CoarseVolume, moving: CoarseVolume) -> tuple[int, ...]:
    return tuple(
        fft.next_fast_len(a + b - 1, real=True) for a, b in zip(fixed.body.shape, moving.body.shape, strict=True)
    )


def _spectra(coarse: CoarseVolume, size: tuple[int, ...]) -> Spectra:
    parts = (coarse.values, coarse.values**2, coarse.covered, coarse.covered & ~coarse.near, coarse.body)
    return Spectra(*(np.asarray(fft.rfftn(part.astype(np.float32), size)) for part in parts))


def _overlaps(f: Spectra, m: Spectra, size: tuple[int, ...]) -> Floats:
    """For every shift, the number of voxels of the less covered body that lie in the other scan."""
    return np.asarray(np.minimum(_shifted(f.body * m.covered.conj(), size), _shifted(f.covered * m.body.conj(), size)))


def _correlations(f: Spectra, m: Spectra, size: tuple[int, ...]) -> Floats:
    """Masked normalised correlation for every shift of the moving CT against the fixed one [lag k, j, i]."""
    seen = m.covered.conj()
    # Voxels where both show air are excluded; values are 0 there, so only the count changes.
    count = np.maximum(_shifted(f.covered * seen - f.air * m.air.conj(), size), 1.0)
    sum_f, sum_m = _shifted(f.values * seen, size), _shifted(f.covered * m.values.conj(), size)
    product = _shifted(f.values * m.values.conj(), size) - sum_f * sum_m / count
    spread_f = _shifted(f.squares * seen, size) - sum_f**2 / count
    spread_m = _shifted(f.covered * m.squares.conj(), size) - sum_m**2 / count
    floor = 1e-3 * count
    return np.asarray(product / np.sqrt(np.maximum(spread_f, floor) * np.maximum(spread_m, floor)))


def _shifted(spectrum: NDArray[np.complex64], size: tuple[int, ...]) -> Floats:
    return np.asarray(fft.irfftn(spectrum, size), dtype=np.float64)


def correlation_and_overlap(
    fixed: CoarseVolume, moving: CoarseVolume, fixed_from_moving: Floats
) -> tuple[float, float]:
    """Correlation and overlap of two volumes at one pose, computed as in the search but at the fixed volume's voxels.

    overlap: share of the smaller body that lies in the other's scan.
    """
    target = UprightGrid(fixed.origin, fixed.voxel_mm, fixed.values.shape)
    values, covered, near, body = (
        resample_to_grid(part, moving, target, fixed_from_moving)
        for part in (moving.values, moving.covered, moving.near, moving.body)
    )
    both = fixed.covered & (covered > 0.99)
    counted = both & (fixed.near | (near > 0.5))
    shared = min((fixed.body & both).sum(), (fixed.covered & (body > 0.5)).sum())
    overlap = min(1.0, float(shared / min(fixed.body.sum(), moving.body.sum())))
    a, b = fixed.values[counted].astype(np.float64), values[counted].astype(np.float64)
    if a.size < 2 or a.std() < 1e-3 or b.std() < 1e-3:
        return 0.0, overlap
    return float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())), overlap


def resample_to_grid(
    part: NDArray, moving: CoarseVolume, target: UprightGrid, target_from_moving: Floats
) -> NDArray[np.float32]:
    """Values at the voxels of `target` of an array [k, j, i] on the grid of `moving`, 0 outside."""
    moving_from_target = np.linalg.inv(target_from_moving)
    # Isotropic voxels: index = (position - origin) / voxel on both sides.
    linear = moving_from_target[:3, :3] * (target.voxel_mm / moving.voxel_mm)
    place = moving_from_target[:3, :3] @ target.origin + moving_from_target[:3, 3]
    sampled: NDArray[np.float32] = ndimage.affine_transform(
        part.astype(np.float32),
        # Arrays are [k, j, i], matrices speak of (i, j, k).
        linear[::-1, ::-1],
        ((place - moving.origin) / moving.voxel_mm)[::-1],
        output_shape=target.shape,
        order=1,
        mode="grid-constant",
    )
    return sampled
