"""The pelvic bones and the proximal femora as tables of stations.

Frame: RAS millimetres, origin midway between the hip centres, an adult pelvis lying supine with its anterior plane
level. The tables describe the right side (x > 0); the left side is their reflection, made unequal on purpose.
Sizes follow textbook proportions of the adult bony pelvis; nothing was measured on a patient.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from .bones import Bone
from .shapes import Ellipsoid, Matrix, Sheet, Tube

HIP_CENTRE = np.array([88.0, 0.0, 0.0])
HEAD_RADIUS = 23.5

# Rows from the crest down to the base of the wing, columns from front to back; x, y, z, half-thickness [mm].
_WING = (
    (
        (119, 46, 86, 5.0),
        (134, 34, 109, 5.0),
        (140, 10, 131, 6.0),
        (130, -18, 147, 5.0),
        (107, -45, 154, 5.0),
        (80, -70, 145, 5.5),
        (57, -88, 119, 7.0),
        (47, -96, 88, 8.0),
    ),
    (
        (112, 41, 66, 4.5),
        (125, 27, 85, 2.8),
        (130, 5, 101, 2.6),
        (119, -20, 113, 2.2),
        (98, -43, 116, 2.2),
        (76, -62, 108, 4.0),
        (57, -80, 92, 7.0),
        (44, -92, 74, 8.0),
    ),
    (
        (106, 37, 50, 7.0),
        (111, 22, 60, 5.0),
        (110, 2, 68, 4.0),
        (100, -19, 76, 3.5),
        (84, -38, 80, 4.5),
        (68, -55, 78, 6.5),
        (54, -72, 72, 8.0),
        (44, -84, 62, 8.0),
    ),
    (
        (98, 30, 36, 9.0),
        (97, 16, 40, 9.0),
        (92, 2, 42, 9.0),
        (84, -16, 45, 8.5),
        (74, -32, 48, 8.0),
        (64, -46, 52, 8.0),
        (54, -60, 54, 7.0),
        (45, -72, 54, 6.5),
    ),
)
# Inner wall of the true pelvis below the arcuate line, from front to back and downwards.
_QUADRILATERAL_PLATE = (
    ((70, 26, 20, 6.0), (65, 6, 32, 5.5), (63, -16, 42, 5.5), (60, -36, 47, 5.5)),
    ((67, 20, -2, 4.5), (63, 3, 6, 3.5), (61, -17, 10, 4.0), (60, -38, 18, 5.0)),
    ((69, 10, -22, 5.0), (65, -5, -20, 4.5), (62, -24, -18, 5.0), (58, -42, -10, 5.0)),
)


def hip_right() -> Bone:
    """The right hip bone: ilium, ischium, pubis, with the acetabulum cut out."""
    opening = np.array([0.80, 0.28, -0.53])
    mouth = HIP_CENTRE + 34 * opening
    solids = (
        Sheet.of(_WING),
        Sheet.of(_QUADRILATERAL_PLATE),
        Ellipsoid.of(HIP_CENTRE + np.array([-5, -3, 5]), (33, 34, 35)),
        Tube.of((104, 38, 48, 7), (98, 32, 34, 9)),
        # Ischium: posterior column, tuberosity, spine.
        Tube.of((75, -28, -6, 17), (70, -37, -34, 15.5), (64, -40, -60, 16), (59, -33, -76, 14)),
        Tube.of((64, -38, -2, 7), (50, -56, -15, 3)),
        # Pubis: superior ramus, body, inferior ramus to the ischium.
        Tube.of((82, 22, 14, 15), (62, 35, 6, 11.5), (42, 44, -4, 10), (24, 47, -13, 10.5)),
        Ellipsoid.of(
            (15.5, 45, -25), (12.5, 8, 20), Rotation.from_euler("xy", [18, -7], degrees=True).as_matrix(), 2.8
        ),
        Tube.of((20, 42, -40, 8.5), (31, 22, -55, 7.5), (44, -3, -69, 9), (57, -24, -77, 12)),
        Tube.of((24, 51, -5, 5), (21, 53, -8, 4.5)),
    )
    hollows = (
        Ellipsoid.of(HIP_CENTRE, (26, 26, 26)),
        Tube.of((*HIP_CENTRE + 8 * opening, 26), (*mouth, 30)),
        Tube.of((86, -2, -14, 11), (82, 4, -34, 13)),
    )
    dense = (
        (Ellipsoid.of(HIP_CENTRE + np.array([4, -2, 31]), (22, 20, 6)), 420.0),
        (Tube.of((66, 20, 24, 5), (62, -8, 40, 5), (56, -36, 58, 6), (52, -52, 70, 7)), 300.0),
        (Tube.of((62, -40, -66, 8), (57, -32, -84, 7)), 120.0),
    )
    return Bone(
        "hip_right",
        solids,
        hollows,
        dense,
        blend_mm=9.0,
        cortex_mm=((-90, 1.8), (0, 2.0), (60, 1.8), (150, 1.6)),
        cortex_hu=((-90, 900), (20, 1050), (90, 800), (150, 720)),
        marrow_hu=((-90, 140), (10, 230), (60, 200), (150, 120)),
    )


def femur_right(bottom_mm: float) -> Bone:
    """The right femur from its head down to `bottom_mm` (z)."""
    shaft_top, shaft_slope = np.array([131.0, -9.0, -40.0]), np.array([-0.10, 0.05, -1.0])
    end = shaft_top + shaft_slope * (shaft_top[2] - bottom_mm + 20)
    solids = (
        Ellipsoid.of(HIP_CENTRE, (HEAD_RADIUS,) * 3),
        Tube.of((*HIP_CENTRE, 19), (104, -3, -12, 15.5), (122, -8, -27, 17)),
        Tube.of((122, -8, -28, 18), (*shaft_top, 19.5), (*shaft_top + 32 * shaft_slope, 16.5)),
        Tube.of((*shaft_top + 26 * shaft_slope, 16.5), (*shaft_top + 60 * shaft_slope, 14.5), (*end, 14)),
        # Greater trochanter, its tip level with the head's centre; lesser trochanter behind and inside.
        Tube.of((138, -13, -42, 13), (144, -15, -22, 12.5), (143, -19, -6, 9)),
        Ellipsoid.of((114, -21, -66), (9.5, 9, 16)),
    )
    dense = (
        (Tube.of((92, 2, 14, 7), (100, -2, -10, 7), (112, -5, -34, 6), (118, -8, -56, 4)), 260.0),
        (Tube.of((80, 0, 6, 5), (104, -4, 0, 5), (126, -9, -14, 5), (140, -12, -32, 4)), 120.0),
    )
    return Bone(
        "femur_right",
        solids,
        dense=dense,
        blend_mm=9.0,
        cortex_mm=((-130, 6.5), (-85, 5.5), (-55, 3.0), (-30, 1.8), (0, 1.4)),
        cortex_hu=((-130, 1500), (-70, 1400), (-30, 950), (0, 800)),
        marrow_hu=((-130, -50), (-80, -20), (-50, 90), (-20, 170), (0, 290)),
    )


# Segments S1-S5: centre y, z; half-width and half-depth of the body [mm]; tilt of its axis [deg].
_SACRUM = (
    (-40, 90, 24, 15, 40),
    (-62, 67, 18, 11, 48),
    (-79, 44, 15, 9, 34),
    (-89, 21, 13, 7.5, 12),
    (-91, 0, 10, 6.5, -14),
)


def sacrum() -> Bone:
    """Sacrum and coccyx; the left half is the mirrored right one."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    zero = np.zeros(3)
    middle: list = [
        Ellipsoid.of((0, y, z), (half, depth, 13.5), Rotation.from_euler("x", -tilt, degrees=True).as_matrix(), 3.0)
        for y, z, half, depth, tilt in _SACRUM
    ]
    middle += [
        Tube.of((0, -84, 84, 4), (0, -98, 62, 5), (0, -106, 40, 5), (0, -107, 18, 4), (0, -100, 0, 4)),
        Tube.of((0, -86, -14, 7), (0, -80, -28, 5.5), (0, -70, -40, 4), (0, -62, -47, 3)),
    ]
    right = (
        # Ala and lateral mass: rows from above down, columns from the body to the sacroiliac joint.
        Sheet.of(
            (
                ((20, -46, 96, 9), (36, -54, 95, 9), (53, -64, 90, 9)),
                ((20, -60, 76, 9), (34, -65, 74, 10), (48, -72, 70, 10)),
                ((18, -76, 54, 8), (29, -78, 52, 9), (40, -80, 48, 8)),
                ((15, -87, 30, 6.5), (22, -88, 28, 7), (29, -88, 25, 6)),
                ((12, -92, 6, 5.5), (16, -92, 4, 5.5), (20, -92, 1, 5)),
            )
        ),
        Tube.of((20, -72, 98, 4.5), (20, -78, 104, 4)),
        Tube.of((16, -86, 78, 3.5), (14, -96, 58, 3.5), (12, -102, 38, 3)),
        Tube.of((16, -86, 78, 3.5), (0, -92, 72, 3.5)),
        Tube.of((14, -97, 56, 3.5), (0, -101, 52, 3.5)),
    )
    foramina = tuple(
        Tube.of((x, y + 16 * np.sin(a), z - 16 * np.cos(a), r), (x + 3, y - 4, z + 2, r * 0.75)).moved(np.eye(3), zero)
        for x, y, z, r, a in (
            (24, -58, 81, 6.5, 0.9),
            (21, -76, 57, 6.0, 1.1),
            (18, -88, 33, 5.0, 1.5),
            (15, -92, 12, 4.0, 1.8),
        )
    )
    canal = Tube.of((0, -68, 106, 9), (0, -80, 84, 8), (0, -92, 60, 6), (0, -98, 38, 4))
    return Bone(
        "sacrum",
        (*middle, *right, *(shape.moved(mirror, zero) for shape in right)),
        (*foramina, *(shape.moved(mirror, zero) for shape in foramina), canal),
        blend_mm=6.0,
        cortex_mm=((0, 1.4),),
        cortex_hu=((-40, 520), (40, 700), (100, 800)),
        marrow_hu=((0, 100), (60, 150), (110, 220)),
    )


def placed(bone: Bone, name: str, turn: Matrix, pivot: Matrix, shift: Matrix, scale: float, mirror: bool) -> Bone:
    """`bone`, reflected to the other side if `mirror`, then rotated and scaled about `pivot` and shifted [mm]."""
    reflection = np.diag([-1.0, 1.0, 1.0]) if mirror else np.eye(3)
    linear = scale * turn @ reflection
    return replace(bone.moved(linear, pivot + shift - scale * turn @ pivot), name=name)
