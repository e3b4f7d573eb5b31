"""A phantom without any symmetry, and X-rays of it by the rules that each dataset states for itself.

Landmarks are single voxels of their own brightness, and spots of their own darkness in the image: a picture that is
mirrored, upside down or shifted, or landmarks that were taken for one another, cannot pass for the right one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

NAMES = ("ASIS-l", "ASIS-r", "FH-l", "FH-r", "GSN-l", "GSN-r", "IOF-l", "IOF-r", "MOF-l", "SPS-r")
# Darkness of the landmarks' spots (few and small: what is much darker counts as starved of photons), and how far a
# spot reaches [pixels].
DARKNESS = np.linspace(0.25, 0.85, len(NAMES))
SPOT_PX = 2.0


def rigid(angles_deg: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def through(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@dataclass(frozen=True)
class Phantom:
    """values, labels [i, j, k]; a voxel (i, j, k) lies at frame_from_index of it, in the frame the dataset uses."""

    values: np.ndarray
    labels: np.ndarray
    frame_from_index: np.ndarray
    indices: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The landmarks (N, 3) in the dataset's frame."""
        return through(self.frame_from_index, self.indices)

    @property
    def middle(self) -> np.ndarray:
        return through(self.frame_from_index, (np.array(self.values.shape) - 1) / 2)


@functools.cache
def phantom() -> Phantom:
    """Voxels of 4 x 5 x 6 mm on slanting axes, far off the origin."""
    shape = (30, 26, 22)
    values = np.full(shape, -1000, dtype=np.int16)
    values[4:-4, 4:-4, 3:-3] = 0
    labels = np.zeros(shape, dtype=np.uint8)
    labels[4:15, 4:-4, 3:-3], labels[15:-4, 4:-4, 3:-3] = 1, 2
    labels[5:8, 5:8, 4:6] = 5
    rng = np.random.default_rng(5)
    taken = rng.permutation([(i, j, k) for i in range(6, 24, 3) for j in range(6, 20, 3) for k in range(5, 17, 3)])
    indices = taken[: len(NAMES)]
    for number, index in enumerate(indices):
        values[tuple(index)] = 1500 + 100 * number
    frame_from_index = rigid((4.0, -7.0, 11.0), (-90.0, 60.0, -940.0)) @ np.diag([4.0, 5.0, 6.0, 1.0])
    return Phantom(values, labels, frame_from_index, indices)


def spots(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Line integrals (height, width): a spot at each landmark's place (column, row)."""
    rows, columns = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for (column, row), darkness in zip(pixels, DARKNESS, strict=True):
        image += darkness * np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * SPOT_PX**2))
    return image


def intensities(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """What a detector counts, with a little noise."""
    noise = np.random.default_rng(1).normal(0, 0.002, (height, width))
    return 40000 * np.exp(-spots(pixels, width, height) + noise)


def require_landmarks_in_place(scene, view: int = 0, least: int = 6) -> None:
    """Each target projects to the spot of its own darkness, and lies in the voxel of its own brightness."""
    shown = scene.views[view]
    camera_from_volume = shown.camera.camera_from_world @ scene.reference
    pixels = shown.camera.project(through(camera_from_volume, scene.targets))
    size = np.array([shown.camera.width, shown.camera.height])
    inside = ((pixels > 6) & (pixels < size - 7)).all(axis=1)
    assert inside.sum() >= least
    height, width = shown.attenuation.shape
    expected = spots(pixels, width, height)
    column, row = np.rint(pixels[inside]).astype(int).T
    near = np.zeros((height, width), bool)
    for c, r in zip(column, row, strict=True):
        near[r - 6 : r + 7, c - 6 : c + 7] = True
    # Half a pixel off would leave 0.985.
    assert np.corrcoef(shown.attenuation[near], expected[near])[0, 1] > 0.99
    for flipped in (expected[:, ::-1], expected[::-1], expected[::-1, ::-1]):
        assert np.corrcoef(shown.attenuation[near], flipped[near])[0, 1] < 0.6
    indices = np.rint(through(scene.volume.grid.index_from_volume, scene.targets)).astype(int)
    i, j, k = indices.T
    values = scene.volume.values[k, j, i].astype(float)
    np.testing.assert_allclose(np.diff(values), 100)
    assert len(np.unique(values)) == len(NAMES)
    assert np.linalg.det(scene.reference[:3, :3]) == pytest.approx(1)
