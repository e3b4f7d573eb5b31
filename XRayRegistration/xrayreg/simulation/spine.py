"""The lumbar vertebrae as one table of shapes, placed along a lordotic and slightly scoliotic curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from .bones import Bone
from .shapes import Drum, Ellipsoid, Tube

# Name; centre of the body x, y, z [mm]; forward tilt, side tilt, twist [deg]; scale. Right-convex curve.
LUMBAR = (
    ("vertebrae_L5", 0.5, -19.0, 123.0, 19.0, -2.5, 1.0, 1.02),
    ("vertebrae_L4", 2.5, -9.0, 159.0, 8.0, -3.0, 2.5, 1.02),
    ("vertebrae_L3", 4.5, -7.0, 195.5, -1.0, -1.0, 3.5, 1.0),
    ("vertebrae_L2", 4.0, -11.0, 231.0, -8.0, 2.5, 3.0, 0.97),
    ("vertebrae_L1", 1.5, -18.0, 265.0, -13.0, 4.5, 1.5, 0.94),
)


def vertebra(row: tuple[str, float, float, float, float, float, float, float]) -> Bone:
    """One lumbar vertebra at its place in the spine."""
    name, x, y, z, forward, side, twist, scale = row
    turn = Rotation.from_euler("zyx", [twist, side, -forward], degrees=True).as_matrix()
    return replace(_VERTEBRA.moved(scale * turn, np.array([x, y, z])), name=name)


def _right_arch() -> tuple[Tube | Ellipsoid, ...]:
    return (
        Ellipsoid.of((15.5, -21, 5), (5, 10, 8)),
        Tube.of((17, -28, 4, 5), (17.5, -33, 14, 5.5), (16, -34, 19, 4.5)),
        Tube.of((16, -32, 0, 5.5), (14, -37, -12, 5), (13.5, -37, -21, 5.5)),
        Tube.of((14, -34, 0, 4.5), (1, -44, -5, 4.0)),
        Tube.of((19, -27, 4, 5.5), (32, -31, 5, 4.5), (44, -35, 7, 4.2)),
    )


def _template() -> Bone:
    mirror, zero = np.diag([-1.0, 1.0, 1.0]), np.zeros(3)
    arch = _right_arch()
    body = Drum(zero, np.diag([25.5, 17.0, 14.5]))
    spinous = Ellipsoid.of((0, -59, -9), (3.6, 17, 11.5), power=2.6)
    end_plates = tuple((Ellipsoid.of((0, 0, level), (22, 14, 3)), 160.0) for level in (12.5, -12.5))
    return Bone(
        "vertebra",
        (body, *arch, *(shape.moved(mirror, zero) for shape in arch), spinous),
        dense=end_plates,
        blend_mm=4.0,
        cortex_mm=((0, 1.3),),
        cortex_hu=((0, 720),),
        marrow_hu=((0, 180),),
    )


_VERTEBRA = _template()
