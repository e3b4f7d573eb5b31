"""Epipolar geometry: the image of a pixel's ray in another view, and triangulation of points.

Source: Hartley and Zisserman, Multiple View Geometry (2004), chapters 9 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError, require_array
from .cameras import Camera

# A source closer to a ray than this [mm] counts as on it: rounding at metre scale is a thousand times smaller.
_ON_THE_RAY_MM = 1e-6
# Rays at a smaller angle count as parallel: a pixel alone covers about half a milliradian.
_LEAST_ANGLE_RAD = 1e-3


def world_rays(camera: Camera, pixels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The source (3,) [mm] and unit directions (N, 3) in the world of the rays through pixels (N, 2), (column, row)."""
    at = np.asarray(pixels, dtype=np.float64)
    in_camera = np.column_stack([at, np.ones(len(at))]) @ np.linalg.inv(camera.matrix).T
    in_camera /= np.linalg.norm(in_camera, axis=1, keepdims=True)
    rotation, shift = camera.camera_from_world[:3, :3], camera.camera_from_world[:3, 3]
    return -rotation.T @ shift, in_camera @ rotation


def epipolar_segment(camera_a: Camera, pixel: ArrayLike, camera_b: Camera) -> NDArray[np.float64] | None:
    """The image in view b of the ray through `pixel` (column, row) of view a.

    Returns the ends (2, 2) as (column, row) in view b, the one nearer to source a first, clipped to b's image. Only the
    part of the ray in front of source a and of source b is used; its far end is at infinity.
    Returns None where the ray is not a line in b: it misses b's image or passes behind source b, or it runs through
    source b (as all do when both cameras share a source), so that it projects to a point.
    Raises InputError for a pixel that is not two numbers.
    """
    source, (direction,) = world_rays(camera_a, require_array(pixel, "pixel", (2,))[None])
    pose = camera_b.camera_from_world
    start, direction = pose[:3, :3] @ source + pose[:3, 3], pose[:3, :3] @ direction
    if np.linalg.norm(np.cross(start, direction)) < _ON_THE_RAY_MM:
        return None
    # In homogeneous pixels the ray is the straight line from `near` to `far`, its point at infinity.
    near, far = camera_b.matrix @ start, camera_b.matrix @ (direction * np.linalg.norm(start))
    first, last = 0.0, 1.0
    right, bottom = camera_b.width - 0.5, camera_b.height - 0.5
    # Positive inside each edge of the image; all four together also keep the depth positive.
    for edge in np.array([[1, 0, 0.5], [-1, 0, right], [0, 1, 0.5], [0, -1, bottom]]):
        at_near, at_far = float(edge @ near), float(edge @ far)
        if max(at_near, at_far) <= 0:
            return None
        if at_near < 0:
            first = max(first, at_near / (at_near - at_far))
        elif at_far < 0:
            last = min(last, at_near / (at_near - at_far))
    if first >= last:
        return None
    ends = np.array([(1 - share) * near + share * far for share in (first, last)])
    return np.asarray(ends[:, :2] / ends[:, 2:], dtype=np.float64)


def triangulate(cameras: Sequence[Camera], pixels: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """The point (3,) [mm] in the world nearest to the rays through one pixel (column, row) of each camera.

    pixels: (N, 2), N at least 2. The point has the least sum of squared distances from the rays. Also returns the gap
    [mm] between them: twice the largest distance from the point to a ray, which for two rays is their distance.
    Raises InputError for unequal counts, rays that are nearly parallel or share one source, and rays that meet behind a
    source.
    """
    if len(cameras) < 2:
        raise InputError(
            "views", expected="at least 2", found=f"{len(cameras)}", remedy="mark the point in another view too"
        )
    at = require_array(pixels, "pixels", (len(cameras), 2))
    rays = [world_rays(camera, pixel[None]) for camera, pixel in zip(cameras, at, strict=True)]
    sources = np.array([source for source, _ in rays])
    directions = np.array([direction[0] for _, direction in rays])
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    normal = across.sum(axis=0)
    # For two lines at an angle t the smallest eigenvalue is 1 - cos t.
    if np.linalg.eigvalsh(normal)[0] < _LEAST_ANGLE_RAD**2 / 2:
        raise InputError(
            "views",
            expected="rays that cross at an angle",
            found="rays that are nearly parallel",
            remedy="mark the point in a view from another direction",
        )
    if np.linalg.norm(sources - sources[0], axis=1).max() < _ON_THE_RAY_MM:
        raise InputError(
            "views",
            expected="cameras at different places",
            found="cameras with one source",
            remedy="mark the point in a view from another place",
        )
    point = np.linalg.solve(normal, (across @ sources[:, :, None]).sum(axis=0)[:, 0])
    lever = point - sources
    behind = (lever * directions).sum(axis=1) <= _ON_THE_RAY_MM
    if behind.any():
        raise InputError(
            "pixels",
            expected="rays that meet in front of every X-ray source",
            found=f"that they meet behind the source of view {int(behind.argmax()) + 1}",
            remedy="check that the same point is marked in every view and that no image is mirrored",
        )
    gap = 2 * np.linalg.norm((across @ lever[:, :, None])[..., 0], axis=1).max()
    return point, float(gap)
