"""Conversion of the datasets' stored projections to a pinhole camera and an image that is not mirrored.

xReg's frame, which DeepFluoro and the Ljubljana data use: origin at the source, x along the stored image's columns, y
along its rows, z from the detector TOWARDS the source, so that visible points have negative z and the focal lengths in
K are negative. x, y and z are right-handed; hence the stored image is seen from the detector side and is the mirror
image of a pinhole camera's. Here the image is first rotated upright, if necessary, and then reflected; K is transformed
accordingly (methods.md C1, C6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...geometry import Camera

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StoredProjection:
    """Conversion of a dataset's stored image to a pinhole image, and the camera of the latter.

    camera: of the upright pinhole image, world = camera. camera_from_file: rigid (4, 4), from the dataset's camera
    frame to ours. width, height: of the stored image. quarter_turns, mirrored: operations that give the pinhole image.
    """

    camera: Camera
    camera_from_file: Array
    width: int
    height: int
    quarter_turns: int
    mirrored: bool

    def upright(self, pixels: Array) -> Array:
        """Positions in the pinhole image of `pixels` (..., 2) of the stored image, as (column, row)."""
        last = np.array([self.width - 1.0, self.height - 1.0])
        turned = last - pixels if self.quarter_turns == 2 else pixels.copy()
        if self.mirrored:
            turned[..., 0] = last[0] - turned[..., 0]
        return turned


def pinhole_of(
    matrix: Array, width: int, height: int, pixel_mm: float, what: str, upside_down: bool = False
) -> StoredProjection:
    """The pinhole image of a stored one whose projection is `matrix` (3, 3), as (u w, v w, w) = matrix (x, y, z).

    Negative focal lengths mean that z points towards the source; positive ones are those of a pinhole camera.
    upside_down: whether the stored image has to be rotated by 180 degrees. Raises InputError naming `what`.
    """
    signs = np.sign([matrix[0, 0], matrix[1, 1]])
    if signs[0] != signs[1] or signs[0] == 0:
        raise InputError(
            what,
            expected="focal lengths of one sign (negative: z towards the source)",
            found=f"{matrix[0, 0]:g} and {matrix[1, 1]:g}",
            remedy="check the file; an image mirrored once more cannot be told from its matrix",
        )
    towards_source = bool(signs[0] < 0)
    # z' = -z, which also changes the sign of the homogeneous factor.
    seen = -matrix @ np.diag([1.0, 1.0, -1.0]) if towards_source else matrix
    axes = np.diag([1.0, 1.0, -1.0]) if towards_source else np.eye(3)
    if upside_down:
        half_turn = np.diag([-1.0, -1.0, 1.0])
        flip = np.array([[-1.0, 0.0, width - 1.0], [0.0, -1.0, height - 1.0], [0.0, 0.0, 1.0]])
        seen, axes = flip @ seen @ half_turn, half_turn @ axes
    camera = Camera(seen, width, height, np.eye(4), pixel_mm)
    if towards_source:
        camera, axes = camera.mirrored_columns(), np.diag([-1.0, 1.0, 1.0]) @ axes
    camera_from_file = np.eye(4)
    camera_from_file[:3, :3] = axes
    return StoredProjection(camera, camera_from_file, width, height, 2 if upside_down else 0, towards_source)
