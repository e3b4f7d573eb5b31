"""Averaging a map to voxels of any size: mass and its centre stay, and so does what an X-ray shows of it."""

from __future__ import annotations

import numpy as np
import pelvis_scenes
import pytest
import torch
from scipy.spatial.transform import Rotation

from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.networks.data.downsample_map import downsample_map
from xrayreg.render import prepare, render
from xrayreg.scene import Attenuation, attenuation_of, coarsened


def oblique() -> Attenuation:
    """A random map on a turned grid of 1 x 2 x 5 mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix() * [1.0, 2.0, 5.0]
    matrix[:3, 3] = 30.0, -12.0, 7.0
    mu = torch.rand(11, 17, 23, generator=torch.Generator().manual_seed(0))
    return Attenuation(mu, VoxelGrid((23, 17, 11), matrix))


def mass_and_centre(attenuation: Attenuation) -> tuple[float, np.ndarray]:
    k, j, i = np.indices(attenuation.mu.shape)
    points = np.stack([i, j, k], -1) @ attenuation.grid.volume_from_index[:3, :3].T
    points += attenuation.grid.volume_from_index[:3, 3]
    mu = attenuation.mu.double().numpy()[..., None]
    volume = np.prod(attenuation.grid.spacing_mm)
    return float(mu.sum() * volume), (mu * points).sum((0, 1, 2)) / mu.sum()


@pytest.mark.parametrize("voxel_mm", [1.3, 3.0, 4.37, 9.0, 100.0])
def test_mass_stays_and_hardly_moves(voxel_mm):
    before, after = oblique(), downsample_map(oblique(), voxel_mm)
    np.testing.assert_allclose(after.grid.spacing_mm, np.maximum([1.0, 2.0, 5.0], voxel_mm))
    (mass, centre), (mass_after, centre_after) = mass_and_centre(before), mass_and_centre(after)
    assert mass_after == pytest.approx(mass, rel=1e-5)
    # Thousands of random voxels move by up to half a new voxel each, some this way and some that.
    assert np.abs(centre_after - centre).max() < 0.01 * max(5.0, voxel_mm)


@pytest.mark.parametrize("voxel_mm", [1.3, 3.0, 4.37, 9.0, 100.0])
def test_the_centre_of_an_even_block_stays_exactly(voxel_mm):
    even = Attenuation(torch.ones_like(oblique().mu), oblique().grid)
    np.testing.assert_allclose(mass_and_centre(downsample_map(even, voxel_mm))[1], even.grid.centre, atol=1e-4)


@pytest.mark.parametrize("place", [(0, 0, 0), (10, 16, 22), (5, 3, 14)])
def test_a_single_voxel_stays_where_it_is_to_half_a_new_one(place):
    one = torch.zeros_like(oblique().mu)
    one[place] = 1.0
    before = Attenuation(one, oblique().grid)
    (mass, centre), (mass_after, centre_after) = mass_and_centre(before), mass_and_centre(downsample_map(before, 4.37))
    assert mass_after == pytest.approx(mass, rel=1e-5)
    along_axes = (centre_after - centre) @ (before.grid.volume_from_index[:3, :3] / before.grid.spacing_mm)
    assert np.abs(along_axes).max() <= 4.37 / 2 and np.abs(along_axes[2]) < 1e-4


def test_whole_blocks_are_averaged_as_the_scene_does():
    given = oblique()
    # 20, 15 and 10 voxels of 1, 2 and 5 mm: two, three and five voxels of 10 mm.
    even = Attenuation(given.mu[:10, :15, :20].contiguous(), given.grid.cropped((0, 0, 0), (20, 15, 10)))
    found, expected = downsample_map(even, 10.0), coarsened(even, 10.0)
    torch.testing.assert_close(found.mu, expected.mu)
    assert found.grid.same_as(expected.grid)


def test_voxels_that_are_large_enough_stay_as_they_are():
    given = oblique()
    found = downsample_map(given, 0.9)
    assert torch.equal(found.mu, given.mu) and found.grid is given.grid


def test_a_part_of_each_voxel_is_averaged_as_if_the_map_held_nothing_else():
    given = oblique()
    part = Attenuation(given.mu.clamp_min(0.5), given.grid)
    found = downsample_map(given, 4.37, lambda mu: mu.clamp_min(0.5))
    torch.testing.assert_close(found.mu, downsample_map(part, 4.37).mu)


def test_an_image_shows_the_same_at_a_third_of_the_cost():
    whole = attenuation_of(pelvis_scenes.pelvis())
    poses = torch.as_tensor(np.stack([pelvis_scenes.frontal(), pelvis_scenes.truth()]))
    coarse_camera, camera = (Camera.from_sid(1020.0, 400.0 / size, size, size) for size in (48, 192))
    fine = torch.nn.functional.avg_pool2d(render(prepare(whole), camera, poses)[:, None], 4)[:, 0]
    found = render(prepare(downsample_map(whole, 5.7)), coarse_camera, poses)
    # Against the mean over each pixel's area: as near as the unaveraged map's own samples, whose error is aliasing.
    error = float((found - fine).square().mean().sqrt())
    aliasing = float((render(prepare(whole), coarse_camera, poses) - fine).square().mean().sqrt())
    assert error < 1.3 * aliasing and error < 0.02 * float(fine.max())
