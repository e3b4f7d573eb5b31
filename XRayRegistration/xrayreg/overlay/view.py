"""Pictures of one view with its poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..scene import Radiograph
from .anatomy import Anatomy, pose_edges, pose_silhouettes, rendered
from .drawing import (
    DRR_DENSER,
    XRAY_DENSER,
    Colour,
    Picture,
    Style,
    checkerboard,
    difference,
    draw_overlay,
    label_colour,
)
from .sheet import Caption, SheetPanel, compose_sheet
from .tones import Floats, compared_region, dense_is_dark, matched_tones, shown_grey

# Width [pixels] of lines on the sheet.
_SHEET_LINE_PX = 1.7
# Size of the panels relative to the anatomy, and their least size as a share of the image's side.
_SURROUNDINGS, _LEAST_SHARE = 1.5, 0.3


def overlay_view(
    view: Radiograph, anatomy: Anatomy, camera_from_volume: NDArray, style: Style | None = None
) -> Picture:
    """The view at its own resolution, uint8 RGB (H, W, 3), with the anatomy at one pose (4, 4) drawn on it."""
    grey = shown_grey(view)
    edges = pose_edges(anatomy, view.camera, camera_from_volume)
    silhouettes = pose_silhouettes(anatomy, view.camera, camera_from_volume)
    return draw_overlay(grey, edges, silhouettes, style)


def view_sheet(
    view: Radiograph,
    anatomy: Anatomy,
    registered: NDArray,
    initial: NDArray | None = None,
    caption: Caption | None = None,
    style: Style | None = None,
    panel_px: int = 880,
) -> Picture:
    """A sheet (uint8 RGB) about one view: before and after, checkerboard and difference, caption and legend.

    registered, initial: camera_from_volume (4, 4). Without an initial pose the bare X-ray takes its place.
    panel_px: longer side of a panel [pixels]. Panels show the anatomy's surroundings, X-ray and DRR sampled for it.
    """
    style = style or Style(width_px=_SHEET_LINE_PX)
    close = _close_up(view, anatomy, [registered] if initial is None else [registered, initial], panel_px)
    grey = shown_grey(close)
    dark = dense_is_dark(close)
    drr = rendered(anatomy.whole, close.camera, registered)
    region = compared_region(drr, close.valid)
    matched = matched_tones(drr, grey, region, dark)
    before = draw_overlay(grey, None)
    if initial is not None:
        before = overlay_view(close, anatomy, initial, style)
    after = overlay_view(close, anatomy, registered, style)
    title = "Pose" if caption is None or caption.accepted is None else "Registered pose"
    panels = [SheetPanel("X-ray" if initial is None else "Initial pose", before), SheetPanel(title, after)]
    panels.append(SheetPanel("X-ray and DRR in turn", checkerboard(grey, matched, region)))
    key = ((XRAY_DENSER, "X-ray denser"), (DRR_DENSER, "DRR denser"))
    panels.append(SheetPanel("Difference", difference(grey, matched, region, dark), key=key))
    sheet = compose_sheet(caption or Caption(view.name), panels, _legend(anatomy, style))
    return sheet


def resampled(view: Radiograph, factor: float) -> Radiograph:
    """The view with `factor` times as many pixels along each axis, for display, and its camera accordingly."""
    from PIL import Image

    camera = view.camera
    size = (max(1, round(camera.width * factor)), max(1, round(camera.height * factor)))

    def resized(image: NDArray) -> Floats:
        picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))

    return replace(
        view,
        recorded=resized(view.recorded),
        attenuation=resized(view.attenuation),
        valid=resized(view.valid) > 0.5,
        camera=camera.scaled(*size),
    )


def _legend(anatomy: Anatomy, style: Style) -> list[tuple[Colour, str]]:
    edges = "Edges of the DRR" if anatomy.bone is anatomy.whole else "Edges of bone in the DRR"
    labels = [(label_colour(n), anatomy.names.get(n, f"label {n}").replace("_", " ")) for n in anatomy.labels]
    return [(style.edge_colour, edges), *labels]


def _close_up(view: Radiograph, anatomy: Anatomy, poses: list[NDArray], panel_px: int) -> Radiograph:
    """The part of the view around the anatomy at `poses`, its longer side sampled with `panel_px` pixels."""
    camera = view.camera
    coarse = resampled(view, min(1.0, 128 / max(camera.width, camera.height)))
    shown = np.any([rendered(anatomy.bone, coarse.camera, pose) > 0 for pose in poses], axis=0)
    rows, columns = np.nonzero(shown)
    if rows.size:
        scale = camera.width / coarse.camera.width
        ends = np.array([[columns.min(), columns.max() + 1], [rows.min(), rows.max() + 1]]) * scale
        least = _LEAST_SHARE * max(camera.width, camera.height)
        half = np.maximum(_SURROUNDINGS * (ends[:, 1] - ends[:, 0]), least) / 2
        # Limits the aspect ratio of panels to 1.5.
        half = np.maximum(half, half.max() / 1.5)
        first = np.clip(np.floor(ends.mean(axis=1) - half), 0, None).astype(int)
        last = np.minimum(np.ceil(ends.mean(axis=1) + half), [camera.width, camera.height]).astype(int)
        view = view.cropped(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))
    return resampled(view, panel_px / max(view.camera.width, view.camera.height))
