"""Draws the pictures that Slicer's Sample Data page shows for the phantom.

PYTHONPATH=XRayRegistration python Testing/Tools/draw_thumbnails.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xrayreg.geometry import Camera, NominalView, nominal_pose
from xrayreg.overlay import Anatomy, Style, draw_overlay, pose_edges, prepare_anatomy
from xrayreg.scene import Volume
from xrayreg.simulation import XraySettings, pelvis_phantom, simulate_xray

ICONS = Path(__file__).resolve().parents[2] / "XRayRegistration" / "Resources" / "Icons"
SIZE_PX = (260, 280)
# Drawn larger and made smaller, so that lines are smooth.
SCALE = 3
SID_MM, SOD_MM = 1000.0, 700.0
STYLE = Style(edge_colour=(0, 230, 90), width_px=1.1 * SCALE)


def drawn(
    volume: Volume, anatomy: Anatomy, view: NominalView, size: tuple[int, int], height_mm: float
) -> NDArray[np.uint8]:
    """A simulated X-ray (width, height of `size` in pixels) with the bones' edges on its right half."""
    width, height = size
    camera = Camera.from_sid(SID_MM, height_mm / height, width, height)
    pose = nominal_pose(view, volume.grid.centre, SOD_MM)
    xray = simulate_xray(volume, camera, pose, XraySettings(rays_per_side=1, exposure=3.0, gamma=0.45))
    grey = np.log1p(xray.transmission.astype(np.float32))
    low, high = np.quantile(grey, [0.005, 0.85])
    grey = np.clip((grey - low) / (high - low), 0, 1)
    plain = draw_overlay(grey, None)
    overlaid = draw_overlay(grey, pose_edges(anatomy, camera, pose), style=STYLE)
    plain[:, width // 2 :] = overlaid[:, width // 2 :]
    return plain


def save(picture: NDArray[np.uint8], name: str) -> None:
    """Write a thumbnail; few colours are enough for a grey picture with green lines."""
    small = Image.fromarray(picture).resize(SIZE_PX, Image.Resampling.LANCZOS)
    small.quantize(160, dither=Image.Dither.NONE).save(ICONS / name, optimize=True)


def main() -> None:
    """Draw both thumbnails."""
    volume = pelvis_phantom(1.5)
    anatomy = prepare_anatomy(volume)
    width, height = (side * SCALE for side in SIZE_PX)
    gap = 2 * SCALE
    save(drawn(volume, anatomy, "pa", (width, height), 500.0), "XRayPhantom.png")
    half = ((width - gap) // 2, height)
    pair = [drawn(volume, anatomy, view, half, 560.0) for view in ("pa", "left_lateral")]
    save(
        np.concatenate([pair[0], np.full((height, gap, 3), 255, np.uint8), pair[1]], axis=1), "XRayPhantomTwoViews.png"
    )


if __name__ == "__main__":
    main()
