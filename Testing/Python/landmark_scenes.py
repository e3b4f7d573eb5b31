"""Landmarks of a patient seen by a C-arm from anywhere, with clicks as exact as asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from xrayreg.geometry import Camera

PIXEL_MM, SIDE = 0.5, 700
ISOCENTRE = np.array([0.0, 0.0, 700.0])


@dataclass(frozen=True, eq=False)
class LandmarkScene:
    """cameras (V), points (N, 3) in the volume, pixels (V, N, 2), and the truth (4, 4)."""

    cameras: list[Camera]
    points: np.ndarray
    pixels: np.ndarray
    world_from_volume: np.ndarray

    def error_mm(self, world_from_volume: np.ndarray) -> np.ndarray:
        """How far (N,) each landmark comes to lie from where it is."""
        return np.linalg.norm(
            moved(world_from_volume, self.points) - moved(self.world_from_volume, self.points), axis=1
        )


def moved(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ pose[:3, :3].T + pose[:3, 3]


def projected(cameras: list[Camera], world_from_volume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels (V, N, 2) of points (N, 3) of the volume."""
    return np.stack([camera.project(moved(camera.camera_from_world @ world_from_volume, points)) for camera in cameras])


def turned_about_isocentre(rotation: np.ndarray) -> Camera:
    """A camera that sees the world's isocentre on its central ray; the world is the frame of one not turned."""
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = ISOCENTRE - rotation @ ISOCENTRE
    return Camera.from_sid(1000.0, PIXEL_MM, SIDE, SIDE, pose)


def rig(views: int, rng: np.random.Generator) -> list[Camera]:
    """Views of a C-arm turned by 20 to 100 degrees about any axis; the first is the world."""
    cameras = [turned_about_isocentre(np.eye(3))]
    for _ in range(views - 1):
        axis = rng.normal(size=3)
        angle = np.radians(rng.uniform(20, 100))
        cameras.append(turned_about_isocentre(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()))
    return cameras


def landmark_scene(
    seed: int, count: int, views: int = 1, flat: bool = False, noise_px: float = 1.0, reach_mm: float = 100.0
) -> LandmarkScene:
    """`count` landmarks within `reach_mm` of a place in a volume that lies anyhow, all of them marked in every view.

    flat: whether they lie in a plane.
    """
    rng = np.random.default_rng(seed)
    cameras = rig(views, rng)
    points = rng.uniform(-reach_mm, reach_mm, (count, 3))
    if flat:
        points[:, 2] = 0
    points = points @ Rotation.random(rng=rng).as_matrix().T + rng.normal(0, 200, 3)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
    centre = rng.uniform([-60, -60, 550], [60, 60, 850])
    pose[:3, 3] = centre - pose[:3, :3] @ points.mean(axis=0)
    pixels = projected(cameras, pose, points)
    return LandmarkScene(cameras, points, pixels + rng.normal(0, noise_px, pixels.shape), pose)
