"""Metal in the beam: rods and balls with exact path lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MetalBall:
    """A ball in the volume frame: centre and radius [mm]; material: iron (steel) or titanium."""

    centre_mm: tuple[float, float, float]
    radius_mm: float
    material: str = "iron"

    def path_mm(self, source: NDArray, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Length [mm] (N,) inside the ball of the rays from `source` (3,) along unit `directions` (N, 3)."""
        offset = np.asarray(self.centre_mm) - source
        along = directions @ offset
        beside = np.maximum(offset @ offset - along**2, 0)
        half = np.sqrt(np.maximum(self.radius_mm**2 - beside, 0))
        return np.maximum(along + half, 0) - np.maximum(along - half, 0)


@dataclass(frozen=True)
class MetalRod:
    """A flat-ended rod in the volume frame, such as a screw or wire: both ends and the radius [mm]."""

    start_mm: tuple[float, float, float]
    end_mm: tuple[float, float, float]
    radius_mm: float
    material: str = "titanium"

    def path_mm(self, source: NDArray, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Length [mm] (N,) inside the rod of the rays from `source` (3,) along unit `directions` (N, 3)."""
        axis = np.subtract(self.end_mm, self.start_mm)
        length = float(np.linalg.norm(axis))
        axis = axis / length
        offset = source - np.asarray(self.start_mm)
        # Split into parts along and across the axis: across, the rod is a disc; along, it is a slab.
        d_along, o_along = directions @ axis, float(offset @ axis)
        d_across, o_across = directions - d_along[:, None] * axis, offset - o_along * axis
        a = np.maximum((d_across**2).sum(axis=1), 1e-12)
        b = d_across @ o_across
        root = np.sqrt(np.maximum(b * b - a * (o_across @ o_across - self.radius_mm**2), 0))
        safe = np.where(np.abs(d_along) < 1e-12, 1e-12, d_along)
        t0, t1 = -o_along / safe, (length - o_along) / safe
        enter = np.maximum.reduce([(-b - root) / a, np.minimum(t0, t1), np.zeros_like(a)])
        leave = np.minimum((-b + root) / a, np.maximum(t0, t1))
        return np.where(root > 0, np.maximum(leave - enter, 0), 0)


Metal = MetalBall | MetalRod
