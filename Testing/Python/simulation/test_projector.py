"""Path lengths against closed forms: chords of boxes and balls, and the place where a point lands."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.simulation.projector import line_integrals, pixel_rays


def oblique_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> VoxelGrid:
    """A turned, shifted, anisotropic and left-handed grid."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([spacing[0], -spacing[1], spacing[2]])
    matrix[:3, 3] = (31.0, -17.0, 8.0)
    return VoxelGrid(shape, matrix)


def looking_at(point: np.ndarray, distance_mm: float) -> np.ndarray:
    """camera_from_volume of a camera turned at random that sees `point` on its axis at `distance_mm`."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.4, -0.7, 0.3]).as_matrix()
    pose[:3, 3] = -pose[:3, :3] @ point + (0, 0, distance_mm)
    return pose


def box_chords(grid: VoxelGrid, pose: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Analytic chords [mm] of the grid's box (slab method in a frame of the grid's own unit axes)."""
    corner, size = grid.volume_from_index[:3, 3], np.asarray(grid.shape) * grid.spacing_mm
    axes = grid.volume_from_index[:3, :3] / grid.spacing_mm
    volume_from_camera = np.linalg.inv(pose)
    source = axes.T @ (volume_from_camera[:3, 3] - corner) + grid.spacing_mm / 2
    along = directions @ volume_from_camera[:3, :3].T @ axes
    t = np.stack([-source / along, (size - source) / along])
    enter, leave = np.maximum(t.min(axis=0).max(axis=1), 0), t.max(axis=0).min(axis=1)
    return np.maximum(leave - enter, 0) * np.linalg.norm(directions, axis=1)


@pytest.mark.parametrize("distance_mm", [400.0, 3.0])
def test_a_uniform_box_gives_the_analytic_chords_from_outside_and_from_inside(distance_mm):
    grid = oblique_grid((40, 30, 20), (1.0, 1.5, 2.5))
    pose = looking_at(grid.centre, distance_mm)
    camera = Camera.from_sid(500, 2.0, 41, 37)
    directions = next(pixel_rays(camera, 1))
    found = line_integrals(np.ones((20, 30, 40), np.float32), grid, pose, directions)[0]
    expected = box_chords(grid, pose, directions)
    assert (expected > 1).sum() > 300
    assert (expected == 0).any() == (distance_mm == 400.0)
    # A constant is integrated exactly by any sampling; only float32 rounding is left.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_a_ball_gives_the_analytic_chords_within_one_per_cent():
    grid = oblique_grid((144, 120, 96), (0.5, 0.6, 0.75))
    k, j, i = np.meshgrid(*(np.arange(n) for n in (96, 120, 144)), indexing="ij")
    points = np.stack([i, j, k], axis=-1) @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]
    centre, radius = grid.centre + np.array([2.0, -3.0, 1.5]), 26.0
    ball = np.clip(0.5 - (np.linalg.norm(points - centre, axis=-1) - radius) / 0.6, 0, 1).astype(np.float32)
    pose = looking_at(centre, 300.0)
    camera = Camera.from_sid(500, 3.0, 31, 31)
    directions = next(pixel_rays(camera, 1))
    found = line_integrals(ball, grid, pose, directions)[0]
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    middle = pose[:3, :3] @ centre + pose[:3, 3]
    miss = np.linalg.norm(middle - (unit @ middle)[:, None] * unit, axis=1)
    expected = 2 * np.sqrt(np.maximum(radius**2 - miss**2, 0))
    # At the rim a chord changes faster than a voxel can tell; there only the sum of all chords is held.
    inner = miss < 0.8 * radius
    assert inner.sum() > 100
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0.01)
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)
    assert not found[miss > radius + 2.5].any()


def test_a_marker_lands_on_the_pixel_that_the_camera_names():
    grid = oblique_grid((40, 40, 40), (1.0, 1.0, 1.0))
    field = np.zeros((40, 40, 40), np.float32)
    index = np.array([9, 28, 22])
    field[index[2], index[1], index[0]] = 1
    marker = grid.volume_from_index[:3, :3] @ index + grid.volume_from_index[:3, 3]
    pose = looking_at(grid.centre, 300.0)
    camera = Camera.from_sid(600, 0.5, 120, 110)
    image = sum(line_integrals(field, grid, pose, rays)[0] for rays in pixel_rays(camera, 2)).reshape(110, 120)
    v, u = np.mgrid[:110, :120]
    found = np.array([(image * u).sum(), (image * v).sum()]) / image.sum()
    expected = camera.project(pose[:3, :3] @ marker + pose[:3, 3])
    assert 0 < expected[0] < 119 and 0 < expected[1] < 109
    # The marker's shadow is four pixels wide and lopsided by less than its magnification over its size.
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_the_rays_of_a_pixel_average_to_its_centre():
    camera = Camera.from_sid(700, 1.3, 7, 5)
    mean = np.mean(list(pixel_rays(camera, 3)), axis=0)
    np.testing.assert_allclose(mean, next(pixel_rays(camera, 1)), atol=1e-12)
    np.testing.assert_allclose(camera.project(mean[9]), (2, 1), atol=1e-9)


def test_empty_fields_and_rays_that_miss_give_zero():
    grid = VoxelGrid.from_spacing((8, 8, 8), (1, 1, 1))
    away = np.eye(4)
    away[2, 3] = -200
    rays = next(pixel_rays(Camera.from_sid(500, 1, 5, 5), 1))
    ones = np.ones((8, 8, 8), np.float32)
    assert not line_integrals(0 * ones, grid, looking_at(np.zeros(3), 100), rays).any()
    assert not line_integrals(ones, grid, away, rays).any()


def test_a_ray_along_an_axis_sees_the_whole_row():
    grid = VoxelGrid.from_spacing((5, 6, 7), (2, 2, 2))
    pose = np.eye(4)
    pose[2, 3] = 100
    rays = np.array([[0.0, 0.0, 1.0], [5.5 / 100, 0.0, 1.0]])
    found = line_integrals(np.ones((7, 6, 5), np.float32), grid, pose, rays)[0]
    # The second ray crosses x = 5 mm, the side face, at depth 90.9 mm, before it reaches the box at 93 mm.
    np.testing.assert_allclose(found, [14.0, 0.0], atol=1e-4)


def test_a_pose_that_is_not_rigid_is_refused():
    grid = VoxelGrid.from_spacing((4, 4, 4), (1, 1, 1))
    with pytest.raises(InputError, match="camera_from_volume"):
        line_integrals(np.ones((4, 4, 4), np.float32), grid, 2 * np.eye(4), np.array([[0.0, 0, 1]]))


def test_the_channels_of_a_split_add_up_to_the_whole():
    values = np.random.default_rng(2).uniform(0, 2, (9, 8, 7)).astype(np.float32)
    grid = oblique_grid((7, 8, 9), (2.0, 2.0, 2.0))
    rays = next(pixel_rays(Camera.from_sid(500, 1, 9, 9), 1))
    pose = looking_at(grid.centre, 200.0)
    whole = line_integrals(values, grid, pose, rays)
    parts = line_integrals(values, grid, pose, rays, split=lambda v: (np.minimum(v, 1), np.maximum(v - 1, 0)))
    assert (parts.max(axis=1) > 1).all()
    np.testing.assert_allclose(parts.sum(axis=0), whole[0], rtol=1e-5)
