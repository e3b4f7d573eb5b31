"""The reference through uniform voxels, and its largest attenuations, against slow plain arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from closed_forms import along_index_axis, box_chords, camera, looking, oblique_grid
from render_checks import GEOMETRIES, noise_map, relative
from scipy.ndimage import map_coordinates
from torch import Tensor

from xrayreg.geometry import Camera, VoxelGrid, rigid
from xrayreg.render import ParallelRays, cast_rays, render
from xrayreg.render.reference import ReferenceProjector
from xrayreg.scene import Attenuation

DOUBLE = torch.float64
VIEW = camera(9, 7, 6.0)


def siddon(attenuation: Attenuation) -> ReferenceProjector:
    return ReferenceProjector(attenuation, pixel="siddon")


def brightest(attenuation: Attenuation) -> ReferenceProjector:
    return ReferenceProjector(attenuation, pixel="mip")


def one_ray(attenuation: Attenuation, start: tuple[float, ...], direction: tuple[float, ...], pixel: str) -> float:
    """What a single ray meets, in voxel coordinates where a voxel is a millimetre."""
    matrix = torch.zeros(1, 3, 3, dtype=DOUBLE)
    matrix[0, :, 2] = torch.tensor(start)
    length = torch.tensor(direction, dtype=DOUBLE).norm().reshape(1, 1)
    rays = ParallelRays(matrix, torch.tensor([direction], dtype=DOUBLE), length)
    return ReferenceProjector(attenuation, pixel=pixel).project(rays).item()


def chords_by_voxel(grid: VoxelGrid, view: Camera, pose: Tensor) -> Tensor:
    """Length [mm] (nk, nj, ni, H, W) of every ray in every voxel, one box after the other."""
    ni, nj, nk = grid.shape
    lengths = torch.empty(nk, nj, ni, view.height, view.width, dtype=DOUBLE)
    for k, j, i in itertools.product(range(nk), range(nj), range(ni)):
        low = np.array([i, j, k]) - 0.5
        lengths[k, j, i] = box_chords(view, pose, grid, low, low + 1)
    return lengths


@pytest.mark.parametrize("distance_mm", [300.0, 4.0])
def test_uniform_voxels_are_integrated_exactly_on_noise(distance_mm):
    grid = oblique_grid((6, 7, 5), (7.0, 5.5, 9.0))
    pose, attenuation = looking(grid, distance_mm=distance_mm), noise_map(grid)
    image = render(siddon(attenuation), VIEW, pose)[0]
    expected = torch.einsum("kji,kjihw->hw", attenuation.mu.double(), chords_by_voxel(grid, VIEW, pose))
    assert expected.max() > 10
    # The same chords by another sum: rounding of places 300 mm away.
    assert (image - expected).abs().max() < 1e-10


def test_the_derivative_by_the_map_is_the_length_in_each_voxel():
    grid = oblique_grid((6, 7, 5), (7.0, 5.5, 9.0))
    pose, mu = looking(grid), noise_map(grid).mu.double().requires_grad_()
    image = render(siddon(Attenuation(mu, grid)), VIEW, pose)[0]
    (gradient,) = torch.autograd.grad(image[3, 5], mu)
    assert torch.allclose(gradient, chords_by_voxel(grid, VIEW, pose)[..., 3, 5], atol=1e-11)
    assert (gradient > 0).sum() > 5


def test_a_box_gives_its_exact_chords_from_any_side(geometry):
    grid, pose = geometry
    grid = VoxelGrid((30, 31, 29), grid.volume_from_index @ np.array(shifted((40.0, 45.0, 50.0))))
    view = camera(21, 17, 6.0)
    image = render(siddon(Attenuation(torch.ones(29, 31, 30), grid)), view, pose)[0]
    chords = box_chords(view, pose, grid, np.full(3, -0.5), np.array([29.5, 30.5, 28.5]))
    assert (chords > 1).sum() > 20 and (chords == 0).any()
    assert (image - chords).abs().max() < 1e-9


def shifted(offset: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def counting_map() -> Attenuation:
    """A 3 x 3 x 3 map of ones, twos, fours, ...: every sum of voxels tells which ones it holds."""
    values = 2.0 ** torch.arange(27, dtype=DOUBLE).reshape(3, 3, 3)
    return Attenuation(values, VoxelGrid.from_spacing((3, 3, 3), (1, 1, 1)))


def voxel(i: int, j: int, k: int) -> float:
    return 2.0 ** (9 * k + 3 * j + i)


def test_a_ray_inside_a_face_gets_the_mean_of_both_sides():
    total = sum((voxel(0, 1, k) + voxel(1, 1, k)) / 2 for k in range(3))
    assert one_ray(counting_map(), (0.5, 1.0, -5.0), (0, 0, 1), "siddon") == pytest.approx(total, rel=1e-14)
    # The trilinear interpolant agrees halfway between two centres; its sum of 16 samples is good to its last bits.
    assert one_ray(counting_map(), (0.5, 1.0, -5.0), (0, 0, 1), "trilinear") == pytest.approx(total, rel=1e-12)


def test_a_ray_along_an_edge_gets_the_mean_of_the_four_voxels_there():
    total = sum(voxel(i, j, k) / 4 for i in (1, 2) for j in (0, 1) for k in range(3))
    assert one_ray(counting_map(), (1.5, 0.5, 9.0), (0, 0, -2), "siddon") == pytest.approx(total, rel=1e-14)


def test_a_ray_along_the_outer_face_or_edge_shares_it_with_the_air():
    face = sum(voxel(0, 1, k) / 2 for k in range(3))
    assert one_ray(counting_map(), (-0.5, 1.0, -5.0), (0, 0, 1), "siddon") == pytest.approx(face, rel=1e-14)
    edge = sum(voxel(2, 2, k) / 4 for k in range(3))
    assert one_ray(counting_map(), (2.5, 2.5, -5.0), (0, 0, 1), "siddon") == pytest.approx(edge, rel=1e-14)


def test_a_ray_through_corners_meets_the_voxels_on_its_way_alone():
    diagonal = sum(voxel(n, n, n) for n in range(3)) * 3**0.5
    assert one_ray(counting_map(), (-5.5, -5.5, -5.5), (1, 1, 1), "siddon") == pytest.approx(diagonal, rel=1e-14)
    # Diagonally inside a face: along k the halves of both layers.
    inside = sum((voxel(n, n, 0) + voxel(n, n, 1)) / 2 for n in range(3)) * 2**0.5
    assert one_ray(counting_map(), (-4.5, -4.5, 0.5), (1, 1, 0), "siddon") == pytest.approx(inside, rel=1e-14)


def test_a_ray_that_only_touches_the_map_in_a_corner_meets_nothing():
    assert one_ray(counting_map(), (-1.5, 0.5, 1.0), (1, -1, 0), "siddon") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("axis", range(3))
def test_the_picture_does_not_depend_on_which_way_the_grid_counts(axis):
    # Head on, with rays inside faces: where sides are taken, a mirrored grid would take the other ones.
    grid = VoxelGrid.from_spacing((6, 8, 4), (2.0, 2.0, 2.0))
    mu, flip = noise_map(grid).mu.double(), np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, grid.shape[axis] - 1
    mirrored = Attenuation(mu.flip(2 - axis), VoxelGrid(grid.shape, grid.volume_from_index @ flip))
    far = Camera(np.array([[1e4, 0, 4], [0, 1e4, 4], [0, 0, 1]]), 9, 9, np.eye(4))
    pose = rigid(torch.eye(3, dtype=DOUBLE), torch.tensor([0.0, 0.0, 5e3], dtype=DOUBLE))[None]
    image = render(siddon(Attenuation(mu, grid)), far, pose)
    assert relative(render(siddon(mirrored), far, pose), image) < 1e-12
    assert image.max() > 4


def test_the_largest_attenuation_is_that_of_dense_sampling(geometry):
    grid, pose = geometry
    middle = (np.array(grid.shape) - 1) / 2 - np.array([8, 7, 6])
    grid = VoxelGrid((9, 8, 7), grid.volume_from_index @ shifted(tuple(middle)) @ np.diag([2.0, 2.0, 2.0, 1.0]))
    view, attenuation = camera(9, 7, 2.0), noise_map(grid)
    image = render(brightest(attenuation), view, pose)[0]
    # Places a fiftieth of a millimetre apart on the rays, in voxel coordinates, and plain interpolation by scipy.
    rays = cast_rays(grid, view, pose)
    starts, directions = (part.numpy() for part in rays.lines(0))
    reach = np.linspace(250, 350, 5000) / rays.length_mm.numpy()[..., None]
    places = starts[..., None] + reach[..., None, :] * directions[..., None]
    padded = np.pad(attenuation.mu.numpy().astype(float), 1)
    expected = map_coordinates(padded, np.moveaxis(places, 2, 0)[::-1] + 1, order=1, mode="constant").max(-1)
    assert (expected > 0.5).any()
    # Samples a quarter voxel apart lie an eighth beside a peak; white noise falls by at most 3 of 1 a voxel there.
    assert (image.numpy() <= expected + 1e-3).all()
    assert np.abs(image.numpy() - expected).max() < 3 / 8
    assert np.abs(image.numpy() - expected).mean() < 0.03


def test_the_largest_attenuation_is_no_integral():
    # Neither thickness nor distance counts: a slab of any depth shows its own attenuation.
    for depth in (1, 2, 9):
        grid = VoxelGrid.from_spacing((7, 7, depth), (3.0, 3.0, 3.0))
        pose = along_index_axis(grid, 2, tilt=0.0)
        image = render(brightest(Attenuation(torch.full((depth, 7, 7), 0.02), grid)), camera(3, 3, 1.0), pose)
        # Samples of an odd number of steps meet the middle of a single layer to an eighth of a voxel.
        assert image.max().item() == pytest.approx(0.02, rel=0.13 if depth == 1 else 1e-6)


@pytest.mark.parametrize("pixel", ["siddon", "mip"])
def test_rays_that_miss_meet_nothing_and_have_no_derivative(pixel):
    grid = oblique_grid((6, 7, 5), (7.0, 5.5, 9.0))
    pose = looking(grid)
    pose[0, 0, 3] += 900
    pose.requires_grad_()
    image = render(ReferenceProjector(noise_map(grid), pixel=pixel), VIEW, pose)
    (gradient,) = torch.autograd.grad(image.sum(), pose)
    assert not image.any() and not gradient.any()


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("pixel", ["siddon", "mip"])
def test_no_direction_gives_anything_but_numbers(name, pixel):
    grid, pose = GEOMETRIES[name]()
    pose.requires_grad_()
    image = render(ReferenceProjector(noise_map(grid), pixel=pixel), camera(3, 2, 20.0), pose)
    (gradient,) = torch.autograd.grad(image.sum(), pose)
    assert torch.isfinite(image).all() and torch.isfinite(gradient).all() and gradient.any()
