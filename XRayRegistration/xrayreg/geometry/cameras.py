"""The pinhole camera of an X-ray view: intrinsics of source and detector, and their pose in the world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_array, require_rigid

# Source-to-image distance [mm] assumed where neither it nor the pixel pitch is known: typical of C-arms.
NOMINAL_SID_MM = 1000.0
# Limit of focal lengths and principal points [pixels]; products of larger ones could overflow.
MOST_PX = 1e9


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera in OpenCV convention: origin at the source, x along columns, y along rows, z to the detector.

    matrix: intrinsics K (3, 3) in pixels; pixel centres lie at integers, the top-left pixel is (0, 0).
    width, height: image size in pixels.
    camera_from_world: rigid (4, 4), millimetres.
    pixel_mm: detector pixel pitch [mm] where known; it determines detector distances in millimetres and the SID.

    Raises InputError for a singular or mirrored matrix, an empty image, or a pose that is not rigid.
    """

    matrix: NDArray[np.float64]
    width: int
    height: int
    camera_from_world: NDArray[np.float64]
    pixel_mm: float | None = None

    def __post_init__(self) -> None:
        matrix = require_array(self.matrix, "camera matrix", (3, 3))
        if np.abs(matrix).max() > MOST_PX:
            raise InputError(
                "camera matrix",
                expected=f"pixels, at most {MOST_PX:g}",
                found=f"{np.abs(matrix).max():g}",
                remedy="check the focal lengths (SID divided by the pixel spacing)",
            )
        if abs(np.linalg.det(matrix)) < 1e-9:
            raise InputError(
                "camera matrix",
                expected="an invertible 3 x 3 matrix",
                found="a singular one",
                remedy="check the focal lengths (SID divided by the pixel spacing)",
            )
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise InputError(
                "camera matrix",
                expected="positive focal lengths in pixels",
                found=f"fx = {matrix[0, 0]:g}, fy = {matrix[1, 1]:g}",
                remedy="express a mirrored image as a reflection of the image, not of the camera",
            )
        if np.abs(matrix[2] - [0.0, 0.0, 1.0]).max() > 1e-9 or abs(matrix[1, 0]) > 1e-9:
            raise InputError(
                "camera matrix",
                expected="the form [[fx, s, u0], [0, fy, v0], [0, 0, 1]]",
                found=str(matrix.tolist()),
                remedy="divide by the last element and keep rotations in camera_from_world",
            )
        if self.width < 1 or self.height < 1:
            raise InputError(
                "camera size",
                expected="at least one pixel each way",
                found=f"{self.width} x {self.height}",
                remedy="give [width, height] in pixels",
            )
        if self.pixel_mm is not None and not 0 < self.pixel_mm < 100:
            raise InputError(
                "pixel pitch", expected="millimetres above 0", found=f"{self.pixel_mm:g}", remedy="check the unit"
            )
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "camera_from_world", require_rigid(self.camera_from_world, "camera_from_world"))

    @classmethod
    def from_sid(
        cls, sid_mm: float, pixel_mm: float, width: int, height: int, camera_from_world: NDArray | None = None
    ) -> Camera:
        """A camera with source-to-image distance `sid_mm`, square pixels and the central ray at the image centre."""
        for name, value in (("SID", sid_mm), ("pixel pitch", pixel_mm)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(name, expected="millimetres above 0", found=str(value), remedy="check the geometry")
        focal = sid_mm / pixel_mm
        matrix = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
        pose = np.eye(4) if camera_from_world is None else camera_from_world
        return cls(matrix, width, height, pose, pixel_mm)

    @property
    def sid_mm(self) -> float | None:
        """Source-to-image distance [mm], known when the pixel pitch is."""
        return None if self.pixel_mm is None else float(self.matrix[0, 0] * self.pixel_mm)

    @property
    def focal_px(self) -> float:
        """Geometric mean of the two focal lengths [pixels]."""
        return float(np.sqrt(self.matrix[0, 0] * self.matrix[1, 1]))

    def resized(self, factor: int) -> Camera:
        """The camera of the image averaged over blocks of `factor` x `factor` pixels; a remainder is cut off."""
        matrix = self.matrix.copy()
        matrix[:2] /= factor
        matrix[:2, 2] = (self.matrix[:2, 2] + 0.5) / factor - 0.5
        pitch = None if self.pixel_mm is None else self.pixel_mm * factor
        return replace(self, matrix=matrix, width=self.width // factor, height=self.height // factor, pixel_mm=pitch)

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the same picture on another grid of `width` x `height` pixels, as for resampling."""
        scale = np.array([width / self.width, height / self.height])
        matrix = self.matrix.copy()
        matrix[:2] *= scale[:, None]
        matrix[:2, 2] = (self.matrix[:2, 2] + 0.5) * scale - 0.5
        pitch = None if self.pixel_mm is None else float(self.pixel_mm / scale[0])
        return replace(self, matrix=matrix, width=width, height=height, pixel_mm=pitch)

    def fitted(self, longest_px: int) -> Camera:
        """`scaled` to a grid whose longer side has `longest_px` pixels."""
        factor = longest_px / max(self.width, self.height)
        return self.scaled(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of the image rectangle that starts at column `left` and row `top`."""
        matrix = self.matrix.copy()
        matrix[0, 2] -= left
        matrix[1, 2] -= top
        return replace(self, matrix=matrix, width=width, height=height)

    def mirrored_columns(self) -> Camera:
        """The camera of an image whose columns were reversed: the principal point moves to the mirrored column."""
        matrix = self.matrix.copy()
        matrix[0, 2] = self.width - 1 - matrix[0, 2]
        matrix[0, 1] = -matrix[0, 1]
        return replace(self, matrix=matrix)

    def project(self, points_in_camera: NDArray) -> NDArray[np.float64]:
        """Pixels (..., 2) as (column, row) of points (..., 3) in the camera frame [mm]; NaN behind the source."""
        points = np.asarray(points_in_camera, dtype=np.float64)
        homogeneous = points @ self.matrix.T
        depth = np.where(points[..., 2:] > 1e-9, points[..., 2:], np.nan)
        return homogeneous[..., :2] / depth
