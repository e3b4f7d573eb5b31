"""Closed-form solids given by signed distances, and the smooth union that turns a list of them into a bone.

A shape gives a point's signed distance from its surface [mm] (negative inside, accurate near the surface) and its
bounding box. All shapes can be transformed affinely, so one table of numbers describes both sides of the body. The
smooth minimum is the polynomial one that equals the minimum where the two differ by the blend width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.spatial import cKDTree

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Numbers = Sequence[float] | NDArray

# Distances are computed up to this distance from a shape and clipped beyond [mm].
REACH_MM = 8.0


class Shape(Protocol):
    """A solid in millimetres."""

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Signed distance [mm] at points given by broadcastable coordinates [mm]."""
        ...

    def box(self) -> tuple[Matrix, Matrix]:
        """Lower and upper corner (3,) [mm] of a box that contains the solid."""
        ...

    def moved(self, linear: Matrix, shift: Matrix) -> Shape:
        """The solid transformed by p -> linear p + shift; thicknesses are multiplied by the map's mean scale."""
        ...


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """centre (3,) [mm]; axes (3, 3): semi-axes as columns [mm]; power: 2 for an ellipsoid, above for a rounded box."""

    centre: Matrix
    axes: Matrix
    power: float = 2.0

    @classmethod
    def of(cls, centre: Numbers, radii: Numbers, turn: Matrix | None = None, power: float = 2.0) -> Ellipsoid:
        """An ellipsoid of semi-axes `radii` [mm] along the axes of the rotation `turn`."""
        return cls(np.asarray(centre, float), (np.eye(3) if turn is None else turn) * np.asarray(radii, float), power)

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        inverse = np.linalg.inv(self.axes).astype(np.float32)
        offset = (x - self.centre[0], y - self.centre[1], z - self.centre[2])
        local = [np.abs(sum(inverse[row, col] * offset[col] for col in range(3))) for row in range(3)]
        if self.power == 2.0:
            level = np.sqrt(sum(q * q for q in local)) + np.float32(1e-6)
        else:
            level = sum(q**self.power for q in local) ** (1 / self.power) + np.float32(1e-6)
        # First-order distance: the level set's excess over its slope, the slope taken along the ray from the centre.
        radius = np.sqrt(sum(o * o for o in offset)) + np.float32(1e-6)
        return (level - 1) * radius / level

    def box(self) -> tuple[Matrix, Matrix]:
        reach = np.abs(self.axes).sum(axis=1) if self.power > 2 else np.linalg.norm(self.axes, axis=1)
        return self.centre - reach, self.centre + reach

    def moved(self, linear: Matrix, shift: Matrix) -> Ellipsoid:
        return Ellipsoid(linear @ self.centre + shift, linear @ self.axes, self.power)


@dataclass(frozen=True, eq=False)
class Tube:
    """A chain of round cones: points (N, 3) and radii (N,) [mm]."""

    points: Matrix
    radii: Matrix

    @classmethod
    def of(cls, *stations: Numbers) -> Tube:
        """A tube through stations (x, y, z, radius) [mm]."""
        table = np.asarray(stations, float)
        return cls(table[:, :3], table[:, 3])

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        result: Floats | None = None
        for start, end, r0, r1 in zip(self.points, self.points[1:], self.radii, self.radii[1:], strict=False):
            step = (end - start).astype(np.float32)
            ox, oy, oz = x - np.float32(start[0]), y - np.float32(start[1]), z - np.float32(start[2])
            along = np.clip((ox * step[0] + oy * step[1] + oz * step[2]) / max(float(step @ step), 1e-9), 0, 1)
            gap = (ox - along * step[0]) ** 2 + (oy - along * step[1]) ** 2 + (oz - along * step[2]) ** 2
            piece = np.sqrt(gap) - (np.float32(r0) + np.float32(r1 - r0) * along)
            result = piece if result is None else np.minimum(result, piece)
        assert result is not None
        return result

    def box(self) -> tuple[Matrix, Matrix]:
        radii = self.radii[:, None]
        return (self.points - radii).min(axis=0), (self.points + radii).max(axis=0)

    def moved(self, linear: Matrix, shift: Matrix) -> Tube:
        return Tube(self.points @ linear.T + shift, self.radii * _mean_scale(linear))


@dataclass(frozen=True, eq=False)
class Sheet:
    """A bent plate: a smooth surface through a net of points (M, N, 3) with half-thicknesses (M, N) [mm]."""

    net: Matrix
    half_thickness: Matrix
    pitch_mm: float = 2.0

    @classmethod
    def of(cls, rows: Sequence[Sequence[Sequence[float]]]) -> Sheet:
        """A sheet through rows of stations (x, y, z, half-thickness) [mm]."""
        table = np.asarray(rows, float)
        return cls(table[..., :3], table[..., 3])

    @cached_property
    def _skeleton(self) -> tuple[Matrix, Matrix]:
        """Points (K, 3) on the surface about `pitch_mm` apart and the half-thickness (K,) at each."""
        rows, columns = self.half_thickness.shape
        spans = [
            np.linalg.norm(np.diff(self.net, axis=axis), axis=-1).sum(axis=axis).max() / self.pitch_mm
            for axis in (0, 1)
        ]
        s, t = (np.linspace(0, n - 1, int(span) + 2) for n, span in zip((rows, columns), spans, strict=True))
        values = [
            RectBivariateSpline(
                np.arange(rows), np.arange(columns), channel, kx=min(3, rows - 1), ky=min(3, columns - 1)
            )(s, t)
            for channel in (*np.moveaxis(self.net, -1, 0), self.half_thickness)
        ]
        return np.stack([value.ravel() for value in values[:3]], axis=1), values[3].ravel()

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        points, thickness = self._skeleton
        x, y, z = np.broadcast_arrays(x, y, z)
        queries = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
        reach = float(thickness.max()) + REACH_MM
        gap, nearest = cKDTree(points).query(queries, distance_upper_bound=reach)
        found = np.isfinite(gap)
        result = np.full(len(queries), REACH_MM, np.float32)
        result[found] = gap[found] - thickness[nearest[found]]
        return result.reshape(x.shape)

    def box(self) -> tuple[Matrix, Matrix]:
        points, thickness = self._skeleton
        return (points - thickness[:, None]).min(axis=0), (points + thickness[:, None]).max(axis=0)

    def moved(self, linear: Matrix, shift: Matrix) -> Sheet:
        return Sheet(self.net @ linear.T + shift, self.half_thickness * _mean_scale(linear), self.pitch_mm)


@dataclass(frozen=True, eq=False)
class Drum:
    """An elliptic drum with a waist, as a vertebral body: centre (3,) and half-axes as columns (3, 3) [mm].

    waist: fraction by which the rim exceeds the middle. dish: depth of the hollow in the end plates, as a fraction of
    the half height.
    """

    centre: Matrix
    axes: Matrix
    waist: float = 0.1
    dish: float = 0.12

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        inverse = np.linalg.inv(self.axes).astype(np.float32)
        offset = (x - self.centre[0], y - self.centre[1], z - self.centre[2])
        across, deep, up = (sum(inverse[row, col] * offset[col] for col in range(3)) for row in range(3))
        lengths = np.linalg.norm(self.axes, axis=0)
        level = (np.abs(across) ** 2.4 + np.abs(deep) ** 2.4) ** (1 / 2.4)
        side = (level - (1 - self.waist * np.clip(1 - up * up, 0, 1))) * min(lengths[0], lengths[1])
        end = (np.abs(up) - (1 - self.dish * np.clip(1 - level * level, 0, 1))) * lengths[2]
        return smooth_max(side, end, 2.5)

    def box(self) -> tuple[Matrix, Matrix]:
        reach = np.abs(self.axes).sum(axis=1)
        return self.centre - reach, self.centre + reach

    def moved(self, linear: Matrix, shift: Matrix) -> Drum:
        return Drum(linear @ self.centre + shift, linear @ self.axes, self.waist, self.dish)


def smooth_min(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """The polynomial smooth minimum of two distances; the plain one for a blend of zero."""
    if blend_mm <= 0:
        return np.minimum(a, b)
    h = np.maximum(blend_mm - np.abs(a - b), 0) / np.float32(blend_mm)
    return np.minimum(a, b) - h * h * np.float32(blend_mm / 4)


def smooth_max(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """The polynomial smooth maximum of two distances."""
    return -smooth_min(-a, -b, blend_mm)


def moved(shapes: Sequence[Shape], linear: Matrix, shift: Matrix) -> tuple[Shape, ...]:
    """All shapes transformed by p -> linear p + shift."""
    return tuple(shape.moved(linear, shift) for shape in shapes)


def _mean_scale(linear: Matrix) -> float:
    return float(abs(np.linalg.det(linear)) ** (1 / 3))
