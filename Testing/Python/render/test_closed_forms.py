"""Every engine against integrals that are known exactly, and against where the camera says that things are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import (
    along_index_axis,
    ball_chords,
    ball_map,
    blob_image,
    blob_map,
    blobs_around,
    box_chords,
    camera,
    clear_of_edges,
    looking,
    oblique_grid,
    plain_grid,
    twist_jacobian,
)
from render_checks import column_errors, relative

from xrayreg.geometry import Camera, VoxelGrid, twist_tangents
from xrayreg.render import render, render_with_jacobian
from xrayreg.scene import Attenuation

SIGMA_MM = 13.0
VIEW = camera(9, 7, 20.0)


def off_centre(grid: VoxelGrid) -> torch.Tensor:
    """A pivot beside the structure, so that turning moves it and no column of the Jacobian nearly cancels."""
    return torch.as_tensor(grid.centre) + torch.tensor([30.0, -40.0, 20.0])


def test_blobs_give_their_analytic_image_and_pose_derivative(engine, geometry):
    grid, pose = geometry
    blobs = blobs_around(grid, SIGMA_MM)
    pivot = off_centre(grid)
    image, jacobian = render_with_jacobian(engine(blob_map(grid, blobs)), VIEW, pose, twist_tangents(pose, pivot))
    # Linear interpolation flattens a Gaussian by h^2 / 12 sigma^2 for each of the two axes across the ray: 0.15 % for
    # the narrowest blob (10.4 mm), less for the sum.
    assert relative(image, blob_image(VIEW, pose, blobs)) < 1.5e-3
    # A linear interpolant's slope is off by up to h / 1.2 sigma = 7 %; the planes of a ray average that out, least
    # where the ray runs along an axis and meets every plane at the same place between two voxels.
    assert column_errors(jacobian, twist_jacobian(VIEW, pose, blobs, pivot)).max() < 3e-2


def test_the_source_inside_a_blob_sees_only_what_lies_ahead(engine):
    grid = plain_grid()
    blobs = blobs_around(grid, SIGMA_MM)
    pose = looking(grid, distance_mm=4.3)
    exact = blob_image(VIEW, pose, blobs)
    image = render(engine(blob_map(grid, blobs)), VIEW, pose)
    # The first plane counts in full however near the source is: half a voxel of at most 0.065 / mm, times the ray's
    # 1.7 mm between planes, of 1.4 altogether.
    assert relative(image, exact) < 0.04
    assert exact.min() > 0.3


def test_a_box_gives_its_exact_chords_between_two_opposite_faces(engine):
    # Such a ray meets every plane of the axis once, and the fading of the two faces is even.
    grid = VoxelGrid.from_spacing((20, 24, 30), (1.5, 2.0, 1.0))
    pose, view = along_index_axis(grid, 2, 1), camera(21, 17, 4.0)
    image = render(engine(Attenuation(torch.ones(30, 24, 20), grid)), view, pose)[0].double()
    chords = box_chords(view, pose, grid, np.full(3, -0.5), np.array([19.5, 23.5, 29.5]))
    # Rays that stay clear of the side faces from before the first plane until after the last.
    column = box_chords(view, pose, grid, np.array([0.0, 0.0, -2.5]), np.array([19.0, 23.0, 31.5]))
    layer = box_chords(view, pose, grid, np.array([-1e3, -1e3, -2.5]), np.array([1e3, 1e3, 31.5]))
    through = column > layer - 1e-9
    assert through.sum() > 50
    # float32 rounding of a sum of 30 planes.
    assert (image - chords)[through].abs().max() < 2e-4


def test_a_box_seen_obliquely_gives_its_chords_up_to_its_soft_faces(engine):
    grid = oblique_grid((50, 60, 40), (1.1, 0.9, 1.3))
    pose, view = looking(grid, distance_mm=300.0), camera(21, 17, 7.0)
    image = render(engine(Attenuation(torch.ones(40, 60, 50), grid)), view, pose)[0].double()
    low, high = np.full(3, -0.5), np.array([49.5, 59.5, 39.5])
    chords = box_chords(view, pose, grid, low, high)
    # A voxel map fades over one voxel around its faces, evenly, so that a ray which crosses two of them away from any
    # edge loses nothing; only the sampling of the ramps is left, by a twentieth of a voxel.
    clear = clear_of_edges(view, pose, grid, low, high)
    assert clear.sum() > 100
    assert (image - chords)[clear].abs().max() < 0.05
    outer = box_chords(view, pose, grid, low - 0.5, high + 0.5)
    inner = box_chords(view, pose, grid, low + 0.5, high - 0.5)
    # Near the edges it stays between the box of the outermost voxels' centres and the box where the fading ends.
    assert (image >= inner - 0.2).all() and (image <= outer + 0.2).all()
    assert not image[outer == 0].any() and (outer == 0).any()


def test_a_ball_gives_its_chords_within_half_a_per_cent(engine):
    grid = oblique_grid((68, 75, 80), (1.0, 0.9, 0.85))
    pose, view = looking(grid, distance_mm=300.0), camera(21, 17, 7.0)
    centre = grid.centre + np.array([2.0, -3.0, 1.5])
    image = render(engine(ball_map(grid, tuple(centre), 26.0, 0.02)), view, pose)[0].double()
    expected = 0.02 * ball_chords(view, pose, centre, 26.0)
    # A voxel counts a quarter voxel wrong at most at the two ends of a chord of 30 voxels or more; near the rim a
    # chord changes faster than a voxel can tell, there only the sum is held.
    inner = expected > 0.6 * expected.max()
    assert inner.sum() > 30
    assert ((image - expected)[inner].abs() / expected[inner]).max() < 0.01
    assert float(image.sum() / expected.sum()) == pytest.approx(1, abs=5e-3)


def test_a_single_voxel_integrates_to_its_mass(engine):
    # Nearly parallel rays, far apart compared with nothing: the image's area integral is mu times the voxel's volume.
    grid = oblique_grid((7, 8, 9), (1.1, 0.9, 1.3))
    mu = torch.zeros(9, 8, 7, dtype=torch.float64)
    mu[4, 4, 3] = 2.0
    pitch, magnification = 0.2, 1.25
    view = Camera.from_sid(1e5, pitch * magnification, 41, 43)
    image = render(engine(Attenuation(mu, grid)), view, looking(grid, distance_mm=8e4))[0].double()
    assert image[0].max() == image[-1].max() == image[:, 0].max() == image[:, -1].max() == 0
    # 0.2 mm pixels under a shadow 3 mm wide; Joseph's planes catch between 98 % and 102 % of an oblique voxel.
    assert float(image.sum()) * pitch**2 == pytest.approx(2 * 1.1 * 0.9 * 1.3, rel=0.03)


def test_a_marker_renders_at_the_pixel_that_the_camera_names(engine):
    grid = oblique_grid((30, 32, 34), (1.0, 1.0, 1.0))
    index = np.array([9, 22, 21])
    mu = torch.zeros(34, 32, 30)
    mu[index[2], index[1], index[0]] = 1
    marker = grid.volume_from_index[:3, :3] @ index + grid.volume_from_index[:3, 3]
    pose, view = looking(grid, distance_mm=300.0), camera(75, 62, 0.8)
    image = render(engine(Attenuation(mu, grid)), view, pose)[0].double().numpy()
    v, u = np.mgrid[: view.height, : view.width]
    found = np.array([(image * u).sum(), (image * v).sum()]) / image.sum()
    pose_array = pose[0].numpy()
    expected = view.project(pose_array[:3, :3] @ marker + pose_array[:3, 3])
    assert (expected > 5).all() and (expected < (70, 57)).all()
    # The shadow is 4 pixels wide; half a pixel of wrong convention would be ten times this.
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_reduced_camera_sees_the_block_means_of_the_full_image(fast_engine):
    grid = plain_grid()
    blobs = blobs_around(grid, SIGMA_MM)
    projector, pose = fast_engine(blob_map(grid, blobs)), looking(grid)
    full, factor = camera(65, 50, 2.0), 4
    image = render(projector, full, pose)[0, :48, :64]
    means = image.reshape(12, 4, 16, 4).mean((1, 3))
    reduced = render(projector, full.resized(factor), pose)[0]
    # A block's mean differs from its centre by the curvature, (s^2 - 1) / 24 sigma^2 for each axis with sigma = 8.7
    # pixels at least: 1.7 %. A shift by half a reduced pixel would change a flank by 4 * 0.5 * 0.6 / 8.7 = 14 %.
    assert relative(reduced, means) < 0.02
