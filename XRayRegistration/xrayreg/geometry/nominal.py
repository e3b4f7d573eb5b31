"""Nominal views: C-arm positions for standard AP, PA and lateral images."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .placement import Placement, camera_from_placement

NominalView = Literal["pa", "ap", "left_lateral", "right_lateral"]
NOMINAL_VIEWS: tuple[NominalView, ...] = get_args(NominalView)

# C-arm primary angle [deg] of each view for a supine patient; PA is fluoroscopy with the tube under the table.
_PRIMARY_DEG = {"pa": 0.0, "ap": 180.0, "left_lateral": 90.0, "right_lateral": -90.0}


def nominal_placement(view: NominalView, sod_mm: float) -> Placement:
    """The C-arm of a nominal view with the isocentre on the central ray, `sod_mm` from the source."""
    if view not in NOMINAL_VIEWS:
        raise InputError("view", expected=f"one of {', '.join(NOMINAL_VIEWS)}", found=view, remedy="choose one of them")
    return Placement(_PRIMARY_DEG[view], 0.0, 0.0, 0.0, 0.0, sod_mm)


def nominal_pose(view: NominalView, isocentre: NDArray[np.float64], sod_mm: float) -> NDArray[np.float64]:
    """camera_from_volume (4, 4) of a nominal view with the isocentre (RAS mm) `sod_mm` from the source."""
    return camera_from_placement(nominal_placement(view, sod_mm), isocentre)
