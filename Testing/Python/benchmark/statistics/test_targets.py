"""Targets on bones: where they lie and how evenly, on shapes whose area is known."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.benchmark.statistics import cube_corners, surface_points
from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.scene import Volume

SPACING = (2.0, 2.0, 3.0)


def ball(radius_mm: float = 40.0, labelled: bool = True) -> Volume:
    """A ball of bone in air about the origin, on voxels that are not cubes."""
    grid = VoxelGrid.from_spacing((60, 60, 40), SPACING)
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip((60, 60, 40), SPACING, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = (x**2 + y**2 + z**2 <= radius_mm**2).T
    values = np.where(inside, 600, -1000).astype(np.int16)
    return Volume(values, grid, inside.astype(np.uint8) if labelled else None)


def test_points_lie_on_the_surface():
    points = surface_points(ball(), (1,), count=2000)
    # A face between voxels is at most half a voxel's diagonal from the surface between their centres.
    assert points.shape == (2000, 3)
    assert np.abs(np.linalg.norm(points, axis=1) - 40).max() < np.linalg.norm(SPACING) / 2 + 0.5


def test_points_are_spread_evenly_over_the_area():
    """By Archimedes, slabs of a sphere of equal thickness have equal area, along any axis."""
    points = surface_points(ball(), (1,), count=6000)
    for way in (np.eye(3)[0], np.eye(3)[2], np.ones(3) / np.sqrt(3)):
        share = np.histogram(points @ way / 40, bins=8, range=(-1, 1))[0] / 6000
        # Shares of 1/8 from 6000 draws scatter by 0.004; faces counted without their slant would miss by 0.03.
        assert np.abs(share - 1 / 8).max() < 0.02


def test_the_same_seed_gives_the_same_points_and_another_others():
    first, again, other = (surface_points(ball(), (1,), 50, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_a_label_map_bone_is_what_is_dense():
    labelled, dense = surface_points(ball(), (1,)), surface_points(ball(labelled=False))
    assert np.array_equal(labelled, dense)


def test_a_structure_cut_by_the_volumes_border_ends_there():
    points = surface_points(ball(80.0), (1,), count=500)
    assert np.abs(points[:, 2]).max() == pytest.approx(60.0)


def test_a_volume_without_bone_is_told():
    values = np.full((4, 4, 4), -1000, np.int16)
    values[0, 0, 0] = 40
    with pytest.raises(InputError, match="label map"):
        surface_points(Volume(values, VoxelGrid.from_spacing((4, 4, 4), (1.0, 1.0, 1.0))))


def test_a_cube_has_its_corners_half_an_edge_from_its_centre():
    corners = cube_corners(np.array([1.0, 2.0, 3.0]), 10.0)
    assert len(np.unique(corners, axis=0)) == 8
    assert np.allclose(np.abs(corners - [1, 2, 3]), 5.0)
