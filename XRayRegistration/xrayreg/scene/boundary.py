"""Curves that bound a collimated field, circles and straight blades, and the image-edge evidence for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Points per curve at which the image is sampled; two degrees apart on a circle.
_SAMPLES = 180
# Offsets [pixels] from a curve within which its own edge may lie.
_NEAR = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
# Distance [pixels] at which a blurred edge has decayed.
_CLEAR = 5.0
# Fewer visible samples than this are no evidence for a curve.
_FEWEST = 12
# Least strength of an edge, on tones from 0 to 1: constant regions have no noise to compare with.
_LEAST_JUMP = 0.004


@dataclass(frozen=True)
class Circle:
    """A circular boundary: centre (column, row) and radius in pixels."""

    column: float
    row: float
    radius: float

    def inside(self, columns: NDArray, rows: NDArray) -> NDArray[np.float64]:
        """Distance [pixels] from the boundary, positive inside the field."""
        return self.radius - np.sqrt((columns - self.column) ** 2 + (rows - self.row) ** 2)

    def trace(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (N, 2) on the boundary as (column, row), and their outward unit normals."""
        angles = np.arange(_SAMPLES) * (2 * np.pi / _SAMPLES)
        normals = np.stack([np.cos(angles), np.sin(angles)], -1)
        return np.array([self.column, self.row]) + self.radius * normals, normals

    def fitted(self, points: NDArray[np.float64]) -> Circle:
        """The circle nearest to `points` (N, 2) in the algebraic least-squares sense (Kasa 1976)."""
        origin = points.mean(0)
        x, y = (points - origin).T
        system = np.stack([2 * x, 2 * y, np.ones_like(x)], -1)
        (a, b, c), *_ = np.linalg.lstsq(system, x * x + y * y, rcond=None)
        centre = origin + [a, b]
        return Circle(float(centre[0]), float(centre[1]), float(np.sqrt(max(c + a * a + b * b, 0.0))))

    def scaled(self, factor: int) -> Circle:
        """The same curve in the full-size image, of which this image's pixels are blocks of `factor` x `factor`."""
        shift = (factor - 1) / 2
        return Circle(self.column * factor + shift, self.row * factor + shift, self.radius * factor)


@dataclass(frozen=True)
class EdgeLine:
    """A straight blade: outward normal at `angle` [rad] from the column axis, `offset` pixels from (0, 0)."""

    angle: float
    offset: float

    @property
    def normal(self) -> NDArray[np.float64]:
        """Outward unit normal as (column, row)."""
        return np.array([np.cos(self.angle), np.sin(self.angle)])

    def inside(self, columns: NDArray, rows: NDArray) -> NDArray[np.float64]:
        """Distance [pixels] from the boundary, positive inside the field."""
        return self.offset - (columns * np.cos(self.angle) + rows * np.sin(self.angle))

    def trace(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (N, 2) on the line across an image of `size` (width, height), and their outward unit normals."""
        normal = self.normal
        middle = (np.asarray(size) - 1) / 2
        foot = middle + (self.offset - middle @ normal) * normal
        along = np.linspace(-0.75, 0.75, _SAMPLES) * max(size)
        points = foot + along[:, None] * np.array([-normal[1], normal[0]])
        return points, np.broadcast_to(normal, points.shape)

    def fitted(self, points: NDArray[np.float64]) -> EdgeLine:
        """The line nearest to `points` (N, 2) (total least squares), its normal kept on the same side."""
        centre = points.mean(0)
        normal = np.linalg.svd(points - centre, full_matrices=False)[2][1]
        normal = normal if normal @ self.normal > 0 else -normal
        return EdgeLine(float(np.arctan2(normal[1], normal[0])), float(normal @ centre))

    def scaled(self, factor: int) -> EdgeLine:
        """The same line in the full-size image, of which this image's pixels are blocks of `factor` x `factor`."""
        shift = (factor - 1) / 2 * float(self.normal.sum())
        return EdgeLine(self.angle, self.offset * factor + shift)


Curve = Circle | EdgeLine


def _nearest(
    points: NDArray[np.float64], normals: NDArray[np.float64], offsets: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.intp]:
    """Column and row (2, N, len(offsets)) of the pixels nearest to `points` moved by `offsets` along `normals`."""
    pixels = np.rint(points[:, None] + offsets[:, None] * normals[:, None]).astype(np.intp).transpose(2, 0, 1)
    return np.minimum(np.maximum(pixels, 0), np.array(size)[:, None, None] - 1)


@dataclass(frozen=True, eq=False)
class Edges:
    """A tone image (height, width) and its smoothed gradient."""

    tone: NDArray[np.float32]
    along_columns: NDArray[np.float32]
    along_rows: NDArray[np.float32]
    strength: NDArray[np.float32]

    @classmethod
    def of(cls, tone: NDArray[np.float32], blur_px: float = 1.0) -> Edges:
        """Edges of `tone` smoothed by a Gaussian of `blur_px`."""
        columns = ndimage.gaussian_filter(tone, blur_px, order=(0, 1))
        rows = ndimage.gaussian_filter(tone, blur_px, order=(1, 0))
        return cls(tone, columns, rows, np.hypot(columns, rows))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.tone.shape[1], self.tone.shape[0]

    def jumps(
        self, points: NDArray[np.float64], normals: NDArray[np.float64], offsets: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """|d tone / d normal| (N, len(offsets)) at `offsets` [pixels] along the outward normals of `points`.

        Smoothed over about five neighbouring points to suppress noise.
        """
        column, row = _nearest(points, normals, offsets, self.size)
        n_column, n_row = normals[:, None, 0], normals[:, None, 1]
        slope = self.along_columns[row, column] * n_column + self.along_rows[row, column] * n_row
        return np.abs(ndimage.uniform_filter1d(slope, 5, axis=0))


@dataclass(frozen=True, eq=False)
class FineEdges:
    """Edges of a large image, computed only where they are requested.

    image: (height, width) as recorded.
    values, tones: the increasing table that maps recorded values to tones.
    blur_px: standard deviation [pixels] of the Gaussian that smooths along the normal.
    """

    image: NDArray[np.float32]
    values: NDArray[np.float64]
    tones: NDArray[np.float64]
    blur_px: float

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def jumps(
        self, points: NDArray[np.float64], normals: NDArray[np.float64], offsets: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """|d tone / d offset| (N, len(offsets)), smoothed along the normals and over neighbouring points."""
        column, row = _nearest(points, normals, offsets, self.size)
        tone = np.interp(self.image[row, column], self.values, self.tones)
        smooth = ndimage.gaussian_filter1d(tone, self.blur_px / (offsets[1] - offsets[0]), axis=1, order=1)
        return np.abs(ndimage.gaussian_filter1d(smooth, 1.0, axis=0))


def attracted(curve: Curve, edges: Edges | FineEdges, reach_px: float) -> Curve:
    """`curve` fitted to the strongest edge within `reach_px` of each of its points, with two outlier rejections."""
    points, normals = curve.trace(edges.size)
    seen = _shown(points, edges.size)
    if seen.sum() < _FEWEST:
        return curve
    points, normals = points[seen], normals[seen]
    step = 1.0 if reach_px > 3.5 else 0.5
    offsets = np.arange(-reach_px, reach_px + step / 2, step)
    jumps = edges.jumps(points, normals, offsets)
    best = jumps.argmax(1)
    found = points + offsets[best][:, None] * normals
    keep = jumps.max(1) >= np.median(jumps.max(1)) * 0.5
    for _ in range(2):
        candidate = curve.fitted(found[keep])
        distance = np.abs(candidate.inside(*found.T))
        keep = distance <= max(1.0, 2.0 * float(np.median(distance)))
        if keep.sum() < _FEWEST:
            return curve
    return curve.fitted(found[keep])


def _shown(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of `points` (N, 2) lie in an image of `size` (width, height), a pixel or more from its border."""
    low, high = points.min(axis=-1), (points - np.asarray(size)).max(axis=-1)
    return (low >= 1) & (high <= -2)


@dataclass(frozen=True)
class BoundaryEvidence:
    """The evidence of image edges for a field.

    coverage: share of the visible boundary at which the tone jumps more than elsewhere beyond it.
    each: the same per curve, 0 for a curve of which too little is visible.
    unrest: share of the pixels beyond the boundary that stand out from the rest of them.
    rivals: edges beyond that are as strong as the boundary, as a share of the boundary's own edge pixels.
    ghosts: edges on parts of the curves outside another curve's field, as a share of the boundary's hits.
    beyond: share of the image outside the field.
    extent: length of the boundary confirmed by edges, as a share of twice the image's longer side.
    sharpness: median over the boundary of (jump within two pixels) / (change from outside to ten pixels inside).
    turning: 1 - |mean outward normal| where edges confirm the boundary: 0 for one blade, 1 for a closed shape.
    """

    coverage: float
    each: tuple[float, ...]
    unrest: float
    rivals: float
    ghosts: float
    beyond: float
    extent: float
    sharpness: float
    turning: float

    @property
    def score(self) -> float:
        """A score for comparing fields of one image."""
        return 2 * self.coverage + 0.5 * min(self.extent, 1.0) - 3 * self.unrest - self.rivals - self.ghosts


def weigh(curves: tuple[Curve, ...], edges: Edges) -> BoundaryEvidence | None:
    """The evidence for the field bounded by `curves`; None when too little of the image, or of them, is visible."""
    # Every second pixel in each direction suffices for shares and quantiles.
    strength = edges.strength[::2, ::2]
    rows, columns = np.ogrid[: edges.size[1] : 2, : edges.size[0] : 2]
    beyond = np.zeros(strength.shape, dtype=bool)
    for curve in curves:
        beyond |= curve.inside(columns, rows) < -_CLEAR
    if not 0.004 < beyond.mean() < 0.9:
        return None
    quiet = strength[beyond]
    usual = float(np.quantile(quiet, 0.9))
    # Five points are averaged along a curve, which reduces noise to less than half.
    sides = [_side(curve, curves, edges, max(usual, _LEAST_JUMP)) for curve in curves]
    seen = [side for side in sides if len(side.hit)]
    if not seen:
        return None
    boundary = sum(side.length * len(side.hit) for side in seen)
    borne_out = sum(side.length * int(side.hit.sum()) for side in seen)
    outward = sum((side.length * side.normals.sum(0) for side in seen), np.zeros(2))
    jumps = np.concatenate([side.jumps for side in seen])
    restless = max(2.5 * usual, _LEAST_JUMP)
    strong = max(restless, 0.6 * float(np.median(jumps))) if len(jumps) else restless
    return BoundaryEvidence(
        coverage=borne_out / boundary,
        each=tuple(float(side.hit.mean()) if len(side.hit) else 0.0 for side in sides),
        unrest=float((quiet > restless).mean()),
        # A blurred step is about three pixels wide, and only every fourth pixel of the image is counted.
        rivals=float((quiet > strong).sum()) / (3 / 4 * boundary),
        ghosts=sum(side.length * side.ghosts for side in sides) / max(borne_out, 1e-9),
        beyond=float(beyond.mean()),
        extent=borne_out / (2 * max(edges.size)),
        sharpness=float(np.median(np.concatenate([side.sharpness for side in seen]))) if len(jumps) else 0.0,
        turning=max(0.0, 1 - float(np.linalg.norm(outward)) / borne_out) if borne_out else 0.0,
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One curve's part of the boundary of a field.

    length: pixels that each sample represents.
    hit: which samples on the visible boundary have an edge; none when too few are visible.
    normals, jumps, sharpness: at the samples with an edge.
    ghosts: number of samples with an edge outside the field of another curve.
    """

    length: float
    hit: NDArray[np.bool_]
    normals: NDArray[np.float64]
    jumps: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    ghosts: int


def _side(curve: Curve, curves: tuple[Curve, ...], edges: Edges, level: float) -> _Side:
    points, normals = curve.trace(edges.size)
    shown = _shown(points, edges.size)
    depth = np.full(len(points), np.inf)
    for other in curves:
        if other is not curve:
            depth = np.minimum(depth, other.inside(*points.T))
    on, off = shown & (depth > 1), shown & (depth < -_CLEAR)
    ghosts = int((edges.jumps(points[off], normals[off], _NEAR).max(1) > level).sum()) if off.sum() > 5 else 0
    span = 2 * np.pi * curve.radius if isinstance(curve, Circle) else 1.5 * max(edges.size)
    if on.sum() < _FEWEST:
        none = np.zeros(0)
        return _Side(span / _SAMPLES, none.astype(bool), np.zeros((0, 2)), none, none, ghosts)
    jumps = edges.jumps(points[on], normals[on], _NEAR).max(1)
    hit = jumps > level
    sharpness = _sharpness(edges, points[on][hit], normals[on][hit])
    return _Side(span / _SAMPLES, hit, normals[on][hit], jumps[hit], sharpness, ghosts)


def _sharpness(edges: Edges, points: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
    offsets = np.array([2.0, 3.0, -2.0, -3.0, -9.0, -10.0, -11.0])
    column, row = _nearest(points, normals, offsets, edges.size)
    tone = edges.tone[row, column].astype(np.float64)
    outside, near, far = tone[:, :2].mean(1), tone[:, 2:4].mean(1), tone[:, 4:].mean(1)
    return np.abs(near - outside) / np.maximum(np.maximum(np.abs(far - outside), np.abs(near - outside)), 1e-6)
