"""Colours laid over an X-ray: edges, silhouettes, checkerboard and difference. Pictures are uint8 RGB (H, W, 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .lines import Lines, coverage, outline, stroke

Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]

# Colours distinct under any common colour blindness (Okabe and Ito 2008; Tol 2021), none similar to EDGE.
EDGE: Colour = (255, 140, 0)
LABELS: tuple[Colour, ...] = (
    (86, 180, 233),
    (204, 121, 167),
    (68, 187, 153),
    (240, 228, 66),
    (51, 117, 220),
    (255, 170, 187),
    (170, 170, 0),
    (153, 221, 255),
    (221, 204, 119),
    (170, 123, 255),
    (150, 220, 60),
)
XRAY_DENSER: Colour = (255, 150, 40)
DRR_DENSER: Colour = (70, 160, 255)


@dataclass(frozen=True)
class Silhouette:
    """Image of one label: path length (H, W) [mm], the length [mm] from which a pixel belongs to it, and the smoothing
    [pixels] of its outline."""

    path_mm: NDArray
    threshold_mm: float
    smoothing_px: float = 0.8

    def inside(self) -> NDArray[np.bool_]:
        """The pixels (H, W) inside the label's smoothed outline."""
        mask = np.zeros(self.path_mm.shape, dtype=bool)
        rows, columns = (np.flatnonzero((self.path_mm > 0).any(axis=axis)) for axis in (1, 0))
        if rows.size:
            margin = int(np.ceil(3 * self.smoothing_px))
            box = tuple(slice(max(0, hit[0] - margin), hit[-1] + 1 + margin) for hit in (rows, columns))
            covered = coverage(self.path_mm[box], self.threshold_mm)
            mask[box] = ndimage.gaussian_filter(covered, self.smoothing_px, mode="nearest") >= 0.5
        return mask


@dataclass(frozen=True)
class Style:
    """How overlays are drawn. Widths in pixels; None for the width that suits the picture's size."""

    edge_colour: Colour = EDGE
    width_px: float | None = None
    fill_opacity: float = 0.16
    casing: float = 0.3

    def width_for(self, shape: tuple[int, ...]) -> float:
        """Line width [pixels] in a picture of `shape`."""
        return self.width_px if self.width_px is not None else max(1.0, 0.0012 * max(shape))


def label_colour(label: int) -> Colour:
    """The colour of a label; after the eleventh the colours repeat, lighter."""
    turn, place = divmod(label - 1, len(LABELS))
    share = 0.45 * (turn % 2)
    red, green, blue = (round(channel + share * (255 - channel)) for channel in LABELS[place])
    return red, green, blue


def draw_overlay(
    grey: NDArray, edges: Lines | None, silhouettes: Mapping[int, Silhouette] | None = None, style: Style | None = None
) -> Picture:
    """DRR edges and the silhouettes of labels on a grey picture (H, W) of 0 to 1."""
    style = style or Style()
    canvas = np.repeat(np.asarray(grey, dtype=np.float32)[..., None], 3, axis=-1)
    width = style.width_for(grey.shape)
    shown = {label: shape for label, shape in (silhouettes or {}).items() if (shape.path_mm > 0).any()}
    for label, shape in shown.items():
        inside = coverage(shape.path_mm, shape.threshold_mm)
        _lay(canvas, label_colour(label), style.fill_opacity * ndimage.gaussian_filter(inside, shape.smoothing_px))
    for label, shape in shown.items():
        lines = outline(shape.path_mm, shape.threshold_mm, shape.smoothing_px)
        _lay(canvas, label_colour(label), stroke(lines, grey.shape, width))
    if edges is not None:
        _lay_lines(canvas, edges, style, width)
    return as_picture(canvas)


def draw_edges(picture: Picture, edges: Lines, style: Style | None = None) -> Picture:
    """The picture with the edges of one more pose drawn on it."""
    style = style or Style()
    canvas = picture.astype(np.float32)
    canvas /= 255
    _lay_lines(canvas, edges, style, style.width_for(picture.shape))
    return as_picture(canvas)


def checkerboard(grey: NDArray, matched: NDArray, region: NDArray[np.bool_], tiles: int = 8) -> Picture:
    """Alternating tiles of X-ray and DRR, `tiles` along the longer side; outside `region` the X-ray only.

    grey, matched: pictures (H, W) of 0 to 1, the DRR in the X-ray's tones. Its tiles are slightly tinted.
    """
    size = max(grey.shape) / tiles
    rows, columns = (np.floor((np.arange(length) + 0.5) / size).astype(int) for length in grey.shape)
    of_drr = ((rows[:, None] + columns) % 2 == 1) & region
    canvas = np.repeat(np.where(of_drr, matched, grey).astype(np.float32)[..., None], 3, axis=-1)
    _lay(canvas, EDGE, 0.06 * of_drr.astype(np.float32))
    return as_picture(canvas)


def difference(grey: NDArray, matched: NDArray, region: NDArray[np.bool_], dense_is_dark: bool) -> Picture:
    """X-ray minus DRR (H, W) in `region`: black where they agree, orange where the X-ray is denser, blue where the DRR.

    Full colour stands for half the range from black to white. Elsewhere the X-ray is shown dimly.
    """
    excess = np.where(region, grey - matched, 0).astype(np.float32)
    excess = np.clip((-2 if dense_is_dark else 2) * excess, -1, 1)
    canvas = np.repeat(np.where(region, 0.04, 0.25 * grey).astype(np.float32)[..., None], 3, axis=-1)
    _lay(canvas, XRAY_DENSER, np.maximum(excess, 0))
    _lay(canvas, DRR_DENSER, np.maximum(-excess, 0))
    return as_picture(canvas)


def as_picture(canvas: NDArray[np.float32]) -> Picture:
    """An RGB picture in bytes from one (H, W, 3) of 0 to 1."""
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)


def _lay_lines(canvas: NDArray[np.float32], lines: Lines, style: Style, width_px: float) -> None:
    shape = (canvas.shape[0], canvas.shape[1])
    # A dark outline keeps lines visible on white.
    _lay(canvas, (0, 0, 0), style.casing * stroke(lines, shape, width_px + 1.2))
    _lay(canvas, style.edge_colour, stroke(lines, shape, width_px))


def _lay(canvas: NDArray[np.float32], colour: Colour, opacity: NDArray[np.float32]) -> None:
    """Lay `colour` over `canvas` (H, W, 3) with `opacity` (H, W)."""
    rows, columns = np.nonzero(opacity)
    share = opacity[rows, columns][:, None]
    canvas[rows, columns] += share * (np.asarray(colour, dtype=np.float32) / 255 - canvas[rows, columns])
