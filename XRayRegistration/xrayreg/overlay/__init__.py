"""Pictures of a registration: the anatomy drawn on the X-ray, and a sheet that compares the two."""

from .anatomy import Anatomy, pose_edges, pose_silhouettes, prepare_anatomy, prepare_labels, rendered
from .drawing import Silhouette, Style, checkerboard, difference, draw_edges, draw_overlay, label_colour
from .lines import Lines, drr_edges, outline, stroke
from .live import LIVE_PX, LiveDrr, prepare_live
from .sheet import Caption, SheetPanel, compose_sheet
from .tones import compared_region, dense_is_dark, matched_tones, shown_grey
from .view import overlay_view, resampled, view_sheet

__all__ = [
    "LIVE_PX",
    "Anatomy",
    "Caption",
    "Lines",
    "LiveDrr",
    "SheetPanel",
    "Silhouette",
    "Style",
    "checkerboard",
    "compared_region",
    "compose_sheet",
    "dense_is_dark",
    "difference",
    "draw_edges",
    "draw_overlay",
    "drr_edges",
    "label_colour",
    "matched_tones",
    "outline",
    "overlay_view",
    "pose_edges",
    "pose_silhouettes",
    "prepare_anatomy",
    "prepare_labels",
    "prepare_live",
    "rendered",
    "resampled",
    "shown_grey",
    "stroke",
    "view_sheet",
]
