"""The CT on its other grid: nothing moves, nothing is shared with the grid that methods render."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.benchmark.study.resampling import VOXEL_MM, resampled_grid, resampled_patient
from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.scene import Volume
from xrayreg.simulation import XraySettings, simulate_xray

CLEAN = XraySettings(energy_kev=60.0, photons=None, scatter_to_primary=0.0, blur_px=0.0, exposure=1.0, rays_per_side=1)


def points(spacing: tuple[float, float, float] = (2.0, 2.5, 3.0), oblique: bool = False) -> tuple[Volume, np.ndarray]:
    """Blurred points of bone in water at known places of a volume off its frame's origin."""
    shape = (50, 44, 40)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = (-30, 12, 140)
    if oblique:
        matrix[:3, :3] = Rotation.from_euler("xyz", [10, -25, 40], degrees=True).as_matrix() @ matrix[:3, :3]
    grid = VoxelGrid(shape, matrix)
    indices = np.array([[12.3, 10.7, 9.2], [36.1, 30.4, 28.8], [14.9, 33.2, 30.5]])
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape[::-1]), indexing="ij")
    values = np.full(shape[::-1], -1000.0)
    for place in indices:
        values += 2500 * np.exp(-((i - place[0]) ** 2 + (j - place[1]) ** 2 + (k - place[2]) ** 2) / (2 * 1.5**2))
    return Volume(values.astype(np.float32), grid), indices @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("oblique", [False, True])
def test_a_point_stays_where_it_is(tmp_path, oblique):
    volume, places = points(oblique=oblique)
    patient = resampled_patient(volume, tmp_path / "field.npy")
    k, j, i = np.meshgrid(*(np.arange(n) for n in patient.grid.shape[::-1]), indexing="ij")
    for place in places:
        index = patient.grid.index_from_volume @ [*place, 1.0]
        near = (np.abs(i - index[0]) < 24) & (np.abs(j - index[1]) < 24) & (np.abs(k - index[2]) < 24)
        weight = patient.relative * near.astype(float)
        found = [float((weight * axis).sum() / weight.sum()) for axis in (i, j, k)]
        # A hundredth of a millimetre: half a voxel of either grid would be thirty times as much.
        assert np.abs(np.array(found) - index[:3]).max() * VOXEL_MM < 0.02


def test_the_voxels_are_of_another_size_and_lie_off_the_cts():
    volume, _ = points()
    grid, _ = resampled_grid(volume.grid, VOXEL_MM)
    assert np.allclose(grid.spacing_mm, VOXEL_MM)
    first = volume.grid.index_from_volume @ grid.volume_from_index @ [0.0, 0.0, 0.0, 1.0]
    assert (np.abs(first[:3] - np.rint(first[:3])) * volume.grid.spacing_mm > 0.1).all()
    # A CT that has the new size of voxels by itself is read between its voxels all the same, but for the corner's.
    assert np.allclose((volume.grid.corners() - grid.corners())[0], 0, atol=1e-9)


def test_the_new_grid_fills_the_box_of_the_old():
    volume, _ = points()
    grid, _ = resampled_grid(volume.grid, VOXEL_MM)
    assert np.abs(volume.grid.corners() - grid.corners()).max() < VOXEL_MM


def test_weights_sum_to_one_and_give_a_line_back():
    volume, _ = points()
    grid, weights = resampled_grid(volume.grid, VOXEL_MM)
    for axis, weight in enumerate(weights):
        assert np.allclose(weight.sum(axis=1), 1, atol=1e-5)
        inner = slice(8, -8)
        along = weight @ np.arange(volume.grid.shape[axis], dtype=np.float32)
        expected = (np.arange(grid.shape[axis]) + 0.5) * VOXEL_MM / volume.grid.spacing_mm[axis] - 0.5
        assert np.allclose(along[inner], expected[inner], atol=1e-3)


def test_the_x_ray_of_the_resampled_patient_is_that_of_the_patient(tmp_path):
    volume, _ = points((2.0, 2.0, 2.0))
    patient = resampled_patient(volume, tmp_path / "field.npy")
    camera = Camera.from_sid(1000.0, 3.0, 50, 50)
    pose = camera_from_carm(30.0, 20.0, 700.0, volume.grid.centre)
    plain, other = (-np.log(simulate_xray(what, camera, pose, CLEAN).primary) for what in (volume, patient))
    assert plain.max() > 0.3
    # What is thinner than the limit to air falls to either side of it; half a voxel's shift would cost ten times more.
    assert np.corrcoef(plain.ravel(), other.ravel())[0, 1] > 0.999
    assert np.abs(plain - other).max() < 0.1 * plain.max()


def test_the_values_do_not_overshoot(tmp_path):
    step = np.full((20, 20, 20), -1000, np.int16)
    step[5:15, 5:15, 5:15] = 1000
    patient = resampled_patient(Volume(step, VoxelGrid.from_spacing((20, 20, 20), (3.0, 3.0, 3.0))), tmp_path / "f.npy")
    assert patient.relative.max() == 2000 and patient.relative.min() == 0
