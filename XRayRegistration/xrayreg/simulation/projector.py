"""Integrals along rays through voxel volumes, by dense sampling over each pixel's area.

A projector deliberately different from the render engines: several rays per pixel, points spread evenly over
each ray's chord through the grid's box, trilinear values at each. Test images made here do not share the engines'
discretisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..checks import require_rigid
from ..geometry import Camera, VoxelGrid

Split = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]

# Sample points held at a time, so that their coordinates and values fit into a core's cache.
_CHUNK_SAMPLES = 30_000


def pixel_rays(camera: Camera, side: int) -> Iterator[NDArray[np.float64]]:
    """Directions (H * W, 3) in the camera frame, with z = 1, of `side` x `side` rays spread over each pixel's area."""
    offsets = (np.arange(side) + 0.5) / side - 0.5
    inverse = np.linalg.inv(camera.matrix)
    for dv in offsets:
        for du in offsets:
            v, u = np.meshgrid(np.arange(camera.height) + dv, np.arange(camera.width) + du, indexing="ij")
            yield np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1) @ inverse.T


def line_integrals(
    field: NDArray[np.float32],
    grid: VoxelGrid,
    camera_from_volume: NDArray,
    directions: NDArray[np.float64],
    step_voxels: float = 0.5,
    split: Split = lambda values: (values,),
) -> NDArray[np.float64]:
    """Integrals (C, N) [channel unit times mm] from the source along `directions` (N, 3) in the camera frame.

    field: array [k, j, i] on `grid`; outside the grid's box (half a voxel beyond the centres) it is zero.
    camera_from_volume: rigid (4, 4) from RAS mm to the camera frame; the source is the camera's origin.
    step_voxels: largest distance between samples in voxels, measured along the index axes.
    split: maps sampled values to C channels of the same shape; it must map zero to zeros.
    """
    index_from_camera = grid.index_from_volume @ np.linalg.inv(require_rigid(camera_from_volume, "camera_from_volume"))
    source = index_from_camera[:3, 3]
    slopes = directions @ index_from_camera[:3, :3].T
    lengths = np.linalg.norm(directions, axis=1)
    result = np.zeros((len(split(np.zeros(1, np.float32))), len(directions)))
    box = _occupied_box(field)
    if box is None:
        return result
    enter, leave = ray_chords(source, slopes, *box)
    samples = np.ceil((leave - enter) * np.abs(slopes).max(axis=1) / step_voxels)
    for rays, count in _chunks(samples):
        span = (leave - enter)[rays]
        depth = enter[rays, None] + span[:, None] * ((np.arange(count) + 0.5) / count)
        places = source[::-1, None, None] + slopes[rays][:, ::-1].T[:, :, None] * depth
        values = map_coordinates(field, places.reshape(3, -1), output=np.float32, order=1, mode="nearest")
        for channel, part in enumerate(split(values.reshape(depth.shape))):
            result[channel, rays] = part.mean(axis=1, dtype=np.float64) * span * lengths[rays]
    return result


def _occupied_box(array: NDArray) -> tuple[NDArray, NDArray] | None:
    """Index box (i, j, k) of the non-zero voxels plus one voxel, within the grid; None for an empty field."""
    low, high = np.zeros(3), np.zeros(3)
    for axis in range(3):
        hit = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(hit):
            return None
        low[2 - axis] = max(hit[0] - 1.0, -0.5)
        high[2 - axis] = min(hit[-1] + 1.0, array.shape[axis] - 0.5)
    return low, high


def ray_chords(
    source: NDArray, slopes: NDArray, low: NDArray, high: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Parameters (N,) at which rays source + t slopes enter and leave a box; equal where they miss it. t >= 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (low - source) / slopes, (high - source) / slopes
    # A ray parallel to a face is within the slab along all of its length or nowhere.
    inside = (source >= low) & (source <= high)
    parallel = slopes == 0
    near = np.where(parallel, np.where(inside, -np.inf, np.inf), np.minimum(first, second))
    far = np.where(parallel, np.where(inside, np.inf, -np.inf), np.maximum(first, second))
    enter = np.maximum(near.max(axis=1), 0)
    leave = far.min(axis=1)
    missed = ~(leave > enter)
    return np.where(missed, 0, enter), np.where(missed, 0, leave)


def _chunks(samples: NDArray) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Runs of neighbouring rays, each with its largest sample count; rays that miss are left out."""
    rays = np.flatnonzero(samples > 0)
    start = 0
    while start < len(rays):
        run = rays[start : start + max(1, int(_CHUNK_SAMPLES / samples[rays[start]]))]
        yield run, int(samples[run].max())
        start += len(run)
