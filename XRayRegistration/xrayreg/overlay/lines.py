"""Thin lines detected in images with subpixel accuracy, and drawn with antialiasing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

# Share of an image's strongest edges (their 98th percentile) from which an edge starts, and to which it is followed.
_EDGE_START, _EDGE_END = 0.36, 0.13
# Edges shorter than this many scales are noise.
_SHORTEST = 8.0
# Largest offset of the maximum of the parabola through three samples, one pixel apart.
_REACH = 0.75
# Length of a piece along the line [pixels]: long enough for neighbours to join.
_PIECE_PX = np.float32(1.6)


@dataclass(frozen=True, eq=False)
class Lines:
    """Short pieces of lines, one per pixel that they cross.

    points: (N, 2) column and row of a point on each piece. normals: (N, 2) unit vectors across it.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64]

    def enlarged(self, factor: int) -> Lines:
        """The same lines in an image of `factor` times as many pixels each way, again in pieces of a pixel."""
        along = np.stack([-self.normals[:, 1], self.normals[:, 0]], -1)
        steps = np.arange(factor) - (factor - 1) / 2
        points = ((self.points + 0.5) * factor - 0.5)[:, None] + steps[:, None] * along[:, None]
        return Lines(points.reshape(-1, 2), np.repeat(self.normals, factor, axis=0))


def drr_edges(drr: NDArray, scale_px: float = 1.0) -> Lines:
    """Edges of an image (H, W): ridges of the gradient at a Gaussian scale of `scale_px` pixels (Canny, PAMI 1986).

    Each is at the maximum of the parabola through the gradient's magnitude along its direction, so a blurred step is
    located to about a tenth of a pixel. Weak edges count where they continue strong ones.
    """
    image = np.asarray(drr, dtype=np.float32)
    along_rows = ndimage.gaussian_filter(image, scale_px, order=(1, 0), mode="nearest")
    along_columns = ndimage.gaussian_filter(image, scale_px, order=(0, 1), mode="nearest")
    magnitude = np.hypot(along_columns, along_rows)
    # Rounding errors of a constant image are not edges.
    least = 1e-5 * float(np.abs(image).max(initial=0.0)) + 1e-12
    rows, columns = np.nonzero(magnitude > least)
    if not rows.size:
        return Lines(np.zeros((0, 2)), np.zeros((0, 2)))
    strength = magnitude[rows, columns].astype(np.float64)
    normals = np.stack([along_columns[rows, columns], along_rows[rows, columns]], -1) / strength[:, None]
    before, after = (
        ndimage.map_coordinates(magnitude, [rows + step[:, 1], columns + step[:, 0]], order=1, mode="nearest")
        for step in (-normals, normals)
    )
    bend = before - 2 * strength + after
    offset = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1.0), np.inf)
    ridge = (np.abs(offset) <= _REACH) & (strength >= np.maximum(before, after) * 0.9)
    reference = float(np.quantile(strength[ridge], 0.98)) if ridge.any() else 0.0
    kept = ridge & (strength >= _EDGE_END * reference)
    thin = np.zeros(image.shape, dtype=bool)
    thin[rows[kept], columns[kept]] = True
    long = _followed(thin, magnitude >= _EDGE_START * reference, _SHORTEST * scale_px)
    kept &= long[rows, columns]
    points = np.stack([columns, rows], -1)[kept] + offset[kept, None] * normals[kept]
    return Lines(points, normals[kept])


def outline(path_length: NDArray, threshold: float, smoothing_px: float = 0.8) -> Lines:
    """The outline of the region where an image (H, W) exceeds `threshold`, except along the image's border.

    smoothing_px: Gaussian scale [pixels] that smooths voxel steps.
    """
    inside = ndimage.gaussian_filter(coverage(path_length, threshold), smoothing_px, mode="nearest")
    slope_rows, slope_columns = np.gradient(inside.astype(np.float64))
    slope = np.hypot(slope_columns, slope_rows)
    rows, columns = np.nonzero((slope > 0.02 / max(smoothing_px, 1.0)) & (np.abs(inside - 0.5) <= slope * _REACH))
    steep = slope[rows, columns][:, None]
    normals = np.stack([slope_columns[rows, columns], slope_rows[rows, columns]], -1) / steep
    offset = (0.5 - inside[rows, columns])[:, None] / steep
    return Lines(np.stack([columns, rows], -1) + offset * normals, normals)


def coverage(path_length: NDArray, threshold: float) -> Floats:
    """Coverage (H, W) of each pixel by the region that exceeds `threshold`: 0 to 1, a half at the threshold."""
    return np.clip(np.asarray(path_length, dtype=np.float32) / np.float32(2 * threshold), 0, 1)


def stroke(lines: Lines, shape: tuple[int, int], width_px: float) -> Floats:
    """Coverage (H, W) of each pixel by lines of `width_px` pixels, 0 to 1."""
    height, width = shape
    covered = np.zeros(height * width, dtype=np.float32)
    half, most = np.float32(width_px / 2 + 0.5), np.float32(min(1.0, width_px))
    base = np.rint(lines.points)
    column, row = base.astype(np.intp).T
    normal_x, normal_y = lines.normals.astype(np.float32).T
    away_x, away_y = (base - lines.points).astype(np.float32).T
    reach = int(np.ceil(half))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            across = np.abs((away_x + right) * normal_x + (away_y + down) * normal_y)
            along = np.abs((away_x + right) * normal_y - (away_y + down) * normal_x)
            near = np.flatnonzero((across < half) & (along < _PIECE_PX))
            x, y = column[near] + right, row[near] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            share = np.minimum(half - across[near], most) * np.minimum(_PIECE_PX - along[near], 1)
            # Flat indices: numpy has a fast path for these only.
            np.maximum.at(covered, (y * width + x)[inside], share[inside])
    return covered.reshape(height, width)


def _followed(thin: NDArray[np.bool_], strong: NDArray[np.bool_], shortest_px: float) -> NDArray[np.bool_]:
    """The connected parts of `thin` that touch `strong` and are not shorter than `shortest_px`."""
    parts, count = ndimage.label(thin, structure=np.ones((3, 3)))
    starts = np.zeros(count + 1, dtype=bool)
    starts[np.unique(parts[strong & thin])] = True
    lengths = np.bincount(parts.ravel(), minlength=count + 1)
    good = starts & (lengths >= shortest_px)
    good[0] = False
    return good[parts]
