"""Landmark observations in X-ray views, and their reprojection errors for a pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ...checks import InputError, require_array
from ...geometry import Camera, skew, world_rays

Array = NDArray[np.float64]

# Generators of rotations about the three axes.
GENERATORS = skew(torch.eye(3, dtype=torch.float64)).numpy()
# Points of smaller depth [mm] count as not in front of the source; it also keeps projections behind it finite.
_LEAST_DEPTH_MM = 1e-3
# Assumed standard deviation of clicks: a milliradian seen from the source, which is 0.7 mm at the anatomy, or a pixel
# [px] where that is coarser.
_CLICK_RAD, _CLICK_PX = 1e-3, 1.0
# Landmarks closer than this [mm] coincide; those whose width is below this share of their length are collinear.
_COINCIDENT_MM, _COLLINEAR = 0.1, 1e-3
# Clicks of a view that all lie within this distance [px] of their centre do not constrain the pose.
_LEAST_SPREAD_PX = 1.0


@dataclass(frozen=True, eq=False)
class Clicks:
    """M observations of points of the volume in views that share a world frame.

    landmarks: (M,) index of the point. points: (M, 3) in the volume frame [mm].
    pixels: (M, 2) as (column, row). projections: (M, 3, 4) from the world to homogeneous pixels, the third the depth.
    sources, directions: (M, 3) the rays through the pixels, in the world.
    pivot: (3,) of twists, in the volume frame. assumed_px: assumed standard deviation of clicks.
    """

    landmarks: NDArray[np.intp]
    points: Array
    pixels: Array
    projections: Array
    sources: Array
    directions: Array
    pivot: Array
    assumed_px: float

    @classmethod
    def of(cls, cameras: Sequence[Camera], points: Array, pixels: Array) -> Clicks:
        """Build from pixels (V, N, 2) of the points (N, 3) in every view, NaN where a point was not marked."""
        views, landmarks = np.nonzero(np.isfinite(pixels[..., 0]))
        at = pixels[views, landmarks]
        rays = [world_rays(camera, at[views == view]) for view, camera in enumerate(cameras)]
        return cls(
            landmarks=landmarks,
            points=points[landmarks],
            pixels=at,
            projections=np.stack([camera.matrix @ camera.camera_from_world[:3] for camera in cameras])[views],
            sources=np.stack([source for source, _ in rays])[views],
            directions=np.concatenate([directions for _, directions in rays]),
            pivot=points[np.unique(landmarks)].mean(axis=0),
            assumed_px=max(_CLICK_PX, _CLICK_RAD * float(np.mean([camera.focal_px for camera in cameras]))),
        )

    @property
    def left_over(self) -> int:
        """Degrees of freedom: clicked coordinates less the six of a pose."""
        return 2 * len(self.pixels) - 6

    def without(self, landmark: int) -> Clicks:
        """The observations of all points but one."""
        keep = self.landmarks != landmark
        kept = {name: value[keep] for name, value in vars(self).items() if name not in ("pivot", "assumed_px")}
        return replace(self, **kept)

    def in_front(self, world_from_volume: Array) -> bool:
        """Whether every point lies in front of the source that saw it."""
        return bool((self._projected(world_from_volume)[:, 2] > _LEAST_DEPTH_MM).all())

    def errors(self, world_from_volume: Array) -> Array:
        """Reprojection errors (M, 2) [px]."""
        projected = self._projected(world_from_volume)
        return projected[:, :2] / _off_zero(projected[:, 2:]) - self.pixels

    def jacobian(self, world_from_volume: Array) -> Array:
        """Derivatives (M, 2, 6) of `errors` by a twist [rad, mm] of the pose about the pivot, in world axes."""
        projected = self._projected(world_from_volume)
        depth = _off_zero(projected[:, 2:, None])
        by_world = (self.projections[:, :2, :3] - projected[:, :2, None] / depth * self.projections[:, 2:, :3]) / depth
        return np.asarray(by_world @ point_tangents(world_from_volume, self.points, self.pivot))

    def _projected(self, world_from_volume: Array) -> Array:
        in_world = _homogeneous(self.points) @ world_from_volume.T
        return np.asarray((self.projections @ in_world[:, :, None])[..., 0])


def point_tangents(world_from_volume: Array, points: Array, pivot: Array) -> Array:
    """Derivatives (N, 3, 6) of world positions of points (N, 3) by a twist [rad, mm] about `pivot`, in world axes."""
    levers = (points - pivot) @ world_from_volume[:3, :3].T
    turns = np.einsum("kij,nj->nik", GENERATORS, levers)
    return np.concatenate([turns, np.broadcast_to(np.eye(3), turns.shape)], axis=-1)


def collinear(points: Array) -> bool:
    """Whether points (N, 3) lie on a line or coincide."""
    widths = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(widths[1] <= _COLLINEAR * widths[0])


def checked_clicks(
    cameras: Sequence[Camera], points: ArrayLike, pixels: Sequence[ArrayLike], names: Sequence[str]
) -> tuple[Array, Array, tuple[str, ...]]:
    """Points (N, 3), pixels (V, N, 2) and the landmarks' names, checked to determine a pose; else InputError."""
    given = _table(points, "landmarks", 3)
    labels = tuple(names) or tuple(str(number + 1) for number in range(len(given)))
    _require_count("landmark names", len(labels), f"{len(given)}, as many as landmarks", len(given))
    for label, point in zip(labels, given, strict=True):
        require_array(point, f"landmark {label}", (3,))
    _require_count("clicks", len(pixels), f"a list for each of {len(cameras)} views", len(cameras))
    views = [_view_pixels(_table(at, f"clicks in view {view}", 2), view, labels) for view, at in enumerate(pixels, 1)]
    marked = np.stack(views) if views else np.empty((0, len(given), 2))
    _require_enough(given, marked, labels)
    return given, marked, labels


def _table(value: ArrayLike, what: str, columns: int) -> Array:
    """Values (N, columns), which may include NaN."""
    try:
        table = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != columns:
        raise InputError(
            what,
            expected=f"a table of {columns} columns",
            found=" x ".join(map(str, table.shape)) if table.size else "none",
            remedy=f"give every landmark a row of {columns} numbers",
        )
    return table


def _require_count(what: str, found: int, expected: str, count: int) -> None:
    if found != count:
        raise InputError(
            what, expected=expected, found=f"{found}", remedy="give one for each, NaN where none is marked"
        )


def _view_pixels(pixels: Array, view: int, labels: Sequence[str]) -> Array:
    """The pixels (N, 2) of one view, in which every landmark is marked with both numbers or with none."""
    _require_count(f"clicks in view {view}", len(pixels), f"{len(labels)}, as many as landmarks", len(labels))
    for label, pixel in zip(labels, pixels, strict=True):
        if not np.isnan(pixel).all():
            require_array(pixel, f"click on landmark {label} in view {view}", (2,))
    return pixels


def _require_enough(points: Array, pixels: Array, labels: Sequence[str]) -> None:
    """Raise InputError for clicks that cannot determine a pose."""
    marked = np.isfinite(pixels[..., 0])
    seen, used = np.flatnonzero(marked.any(axis=0)), np.flatnonzero(marked.any(axis=1))
    if len(seen) < (4 if len(used) < 2 else 3) or marked.sum() < 4:
        raise InputError(
            "marked landmarks",
            expected="at least 4 in one view, or 3 with at least 4 clicks in several",
            found=f"{len(seen)} with {int(marked.sum())} clicks in {len(used)} view{'s' * (len(used) != 1)}",
            remedy="mark more landmarks: fewer fit several poses",
        )
    apart = np.linalg.norm(points[seen, None] - points[seen], axis=-1)
    np.fill_diagonal(apart, np.inf)
    if apart.min() < _COINCIDENT_MM:
        first, second = (labels[seen[n]] for n in divmod(int(apart.argmin()), len(seen)))
        raise InputError(
            f"landmarks {first} and {second}",
            expected="two places in the volume",
            found=f"the same to {_COINCIDENT_MM:g} mm",
            remedy="remove one of them or move it where it belongs",
        )
    if collinear(points[seen]):
        raise InputError(
            f"landmarks {', '.join(labels[n] for n in seen.tolist())}",
            expected="places that span a plane",
            found="that all lie on one line, about which the volume may turn",
            remedy="add a landmark off that line",
        )
    spread = max(np.ptp(pixels[view, marked[view]], axis=0).max() for view in used)
    if spread < _LEAST_SPREAD_PX:
        raise InputError(
            "clicks",
            expected="landmarks at different pixels",
            found="all at one pixel",
            remedy="mark each where it shows",
        )


def _homogeneous(points: Array) -> Array:
    return np.column_stack([points, np.ones(len(points))])


def _off_zero(depths: Array) -> Array:
    return np.where(np.abs(depths) < _LEAST_DEPTH_MM, _LEAST_DEPTH_MM, depths)
