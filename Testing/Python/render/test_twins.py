"""The fast engines against the readable reference, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import blob_map, blobs_around, camera, looking, oblique_grid, plain_grid
from render_checks import ENGINES, GEOMETRIES, column_errors, noise_map, relative

from xrayreg.geometry import VoxelGrid, twist_tangents
from xrayreg.render import render, render_with_jacobian
from xrayreg.render.rays import cast_rays
from xrayreg.scene import Attenuation

VIEW = camera(9, 7, 20.0)
NUMBA, TORCH, REFERENCE = ENGINES["numba"], ENGINES["torch"], ENGINES["reference"]


def dominant_axes(grid: VoxelGrid, view, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The axis along which each pixel's ray runs fastest, and its lead over the second (H, W)."""
    lengths = cast_rays(grid, view, pose).directions(0).abs().sort(-1, descending=True)
    return lengths.indices[..., 0], 1 - lengths.values[..., 1] / lengths.values[..., 0]


def test_smooth_maps_give_the_reference_image_and_jacobian(geometry):
    grid, pose = geometry
    attenuation = blob_map(grid, blobs_around(grid, 13.0))
    tangents = twist_tangents(pose, torch.as_tensor(grid.centre) + torch.tensor([30.0, -40.0, 20.0]))
    image, jacobian = render_with_jacobian(REFERENCE(attenuation), VIEW, pose, tangents)
    for engine in (TORCH, NUMBA):
        found, found_jacobian = render_with_jacobian(engine(attenuation), VIEW, pose, tangents)
        # One sample per plane in place of four per voxel, over blobs ten voxels wide.
        assert relative(found, image) < 1e-3
        assert column_errors(found_jacobian, jacobian).max() < 1e-2


@pytest.mark.parametrize("shape", [(31, 30, 33), (1, 20, 21), (22, 1, 19), (18, 23, 1), (1, 1, 1), (2, 3, 40)])
def test_the_twins_agree_on_noise_at_any_size(shape):
    grid = oblique_grid(shape, (1.1, 0.9, 1.3))
    attenuation, pose, view = noise_map(grid), looking(grid, distance_mm=300.0), camera(33, 25, 3.0)
    numba, torch_ = (render(engine(attenuation), view, pose) for engine in (NUMBA, TORCH))
    assert torch_.max() > 0
    # float32 places in a map of 40 voxels are good to 4e-6 voxels, and noise changes by its own size over one.
    assert relative(numba, torch_) < 1e-5


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_twins_agree_on_noise_in_any_direction(name):
    grid, pose = GEOMETRIES[name]()
    view = camera(33, 25, 6.0)
    attenuation = noise_map(grid)
    tangents = twist_tangents(pose, torch.as_tensor(grid.centre))
    (image, jacobian), (expected, expected_jacobian) = (
        render_with_jacobian(engine(attenuation), view, pose, tangents) for engine in (NUMBA, TORCH)
    )
    # As above, for rays through 120 planes.
    assert relative(image, expected) < 1e-5
    # The slope of a bilinear read jumps at every voxel centre. Of 825 rays x 120 planes x 2 axes one in ten may land
    # within 1e-6 of one and be rounded to its other side, and then differs by a random slope; all others must agree.
    apart = (jacobian - expected_jacobian).abs() / expected_jacobian.abs().amax((-2, -1), keepdim=True)
    assert (apart > 1e-4).double().mean() < 5e-3
    assert column_errors(jacobian, expected_jacobian).max() < 0.02


def test_image_and_jacobian_come_with_the_same_image_as_the_image_alone(engine):
    grid = oblique_grid((31, 30, 33))
    pose, view, projector = looking(grid, distance_mm=300.0), camera(9, 7, 6.0), engine(noise_map(grid))
    together, _ = render_with_jacobian(projector, view, pose, twist_tangents(pose, torch.zeros(3, dtype=torch.float64)))
    # The same sums in another order: float32 rounding.
    assert relative(together, render(projector, view, pose)) < 1e-6


def test_one_image_may_hold_all_three_dominant_axes():
    grid = plain_grid()
    direction = torch.tensor([1.0, 1.02, 0.98], dtype=torch.float64)
    turn = torch.linalg.cross(direction / direction.norm(), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    angle = float(torch.acos(direction[2] / direction.norm()))
    pose = looking(grid, tuple((turn / turn.norm() * angle).tolist()), 300.0)
    view = camera(41, 37, 5.0)
    axes, lead = dominant_axes(grid, view, pose)
    assert set(axes.unique().tolist()) == {0, 1, 2}
    noise = noise_map(grid)
    numba, torch_ = (render(engine(noise), view, pose)[0] for engine in (NUMBA, TORCH))
    # Where two axes tie to the last digit the twins may take different ones.
    clear = lead > 1e-9
    assert clear.double().mean() > 0.99
    assert relative(numba[clear], torch_[clear]) < 1e-5
    small = camera(13, 11, 16.0)
    assert set(dominant_axes(grid, small, pose)[0].unique().tolist()) == {0, 1, 2}
    smooth = blob_map(grid, blobs_around(grid, 13.0))
    expected = render(REFERENCE(smooth), small, pose)
    for engine in (TORCH, NUMBA):
        # No seam where the axis changes.
        assert relative(render(engine(smooth), small, pose), expected) < 1e-3


def test_rays_exactly_along_the_axes_and_diagonals_agree():
    grid = VoxelGrid.from_spacing((20, 20, 20), (1, 1, 1))
    noise = noise_map(grid)
    view = camera(1, 1)
    for turn in ([0, 0, 0], [0, 90, 0], [90, 0, 0], [0, 180, 0], [45, 0, 0], [0, 45, 0], [0, -135, 0], [45, 90, 0]):
        pose = looking(grid, tuple(np.deg2rad(turn)), 100.0)
        pose[0, :2, 3] += torch.tensor([0.3, 0.2])
        straight = type(view)(np.array([[500.0, 0, 0], [0, 500, 0], [0, 0, 1]]), 1, 1, np.eye(4))
        images = [render(ENGINES[name](noise), straight, pose).item() for name in ("torch", "numba", "reference")]
        assert images[0] > 5
        assert images[1] == pytest.approx(images[0], rel=1e-5)
        # On a diagonal the value between two planes is a product of two ramps, which one sample per plane misses.
        assert images[2] == pytest.approx(images[0], rel=0.1)


@pytest.mark.parametrize("distance_mm", [-20.0, -3.3, 0.0, 0.6, 9.7])
def test_a_source_inside_the_map_counts_only_what_lies_ahead(distance_mm):
    grid = plain_grid((41, 43, 45))
    pose, view, noise = looking(grid, distance_mm=distance_mm), camera(15, 13, 20.0), noise_map(grid)
    numba, torch_, reference = (render(ENGINES[n](noise), view, pose) for n in ("numba", "torch", "reference"))
    assert relative(numba, torch_) < 1e-5
    # Half a voxel at the source at most (sqrt 3 mm between planes at most), and noise read once instead of four times.
    assert (numba.double() - reference).abs().max() < 0.5 * 3**0.5 + 0.08 * reference.max()


def test_a_source_exactly_on_a_plane_of_voxels_is_no_exception():
    grid = VoxelGrid.from_spacing((21, 21, 21), (1, 1, 1))
    pose = torch.eye(4, dtype=torch.float64)[None]
    view, noise = camera(15, 13, 20.0), noise_map(grid)
    for engine in (TORCH, NUMBA):
        ahead = Attenuation(noise.mu.clone(), grid)
        ahead.mu[:11] = 0
        # The plane of the source itself lies on the ray's very first point and does not count.
        centre = render(engine(noise), view, pose)[0, 6:8, 6:9]
        assert relative(centre, render(engine(ahead), view, pose)[0, 6:8, 6:9]) < 1e-6


def test_what_lies_behind_the_source_contributes_nothing(engine):
    grid = plain_grid((31, 33, 35))
    projector, view = engine(noise_map(grid)), camera(9, 7, 40.0)
    pose = looking(grid, distance_mm=-60.0)
    assert not render(projector, view, pose).any()
    _, jacobian = render_with_jacobian(projector, view, pose, twist_tangents(pose, torch.as_tensor(grid.centre)))
    assert not jacobian.any()
