"""Poses to train on: their distribution, and that each is one a C-arm could have."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.geometry import (
    camera_from_carm,
    camera_from_placement,
    placement_of,
    pose_difference,
    transform_points,
)
from xrayreg.networks.data.pose_sampling import nominal_rotation, sample_poses
from xrayreg.settings import DISTRIBUTIONS, PoseDistribution

ISOCENTRE = torch.tensor([12.0, -180.0, 431.0], dtype=torch.float64)
MANY = 20000


def drawn(distribution: PoseDistribution, count: int = MANY, seed: int = 0) -> torch.Tensor:
    return sample_poses(distribution, ISOCENTRE, count, torch.Generator().manual_seed(seed))


def placements(poses: torch.Tensor) -> np.ndarray:
    """Primary, secondary, roll, right, up and depth of each pose (N, 6), the angles in degrees."""
    return np.array([list(vars(placement_of(pose.numpy(), ISOCENTRE.numpy())).values()) for pose in poses])


def test_normal_twists_about_the_nominal_view_have_the_spreads_asked_for():
    distribution = PoseDistribution((90.0,), 650.0, centre_offset_mm=(5.0, -10.0, 20.0))
    nominal = torch.from_numpy(camera_from_carm(90.0, 0.0, 650.0, ISOCENTRE.numpy()))
    # Rotation vectors longer than a half turn come back shorter, which one draw in a billion does at 20 degrees.
    twists = pose_difference(drawn(distribution), nominal, ISOCENTRE)
    spread = torch.tensor([*(math.radians(20.0),) * 3, 30.0, 30.0, 60.0], dtype=torch.float64)
    mean = torch.tensor([0.0, 0.0, 0.0, 5.0, -10.0, 20.0], dtype=torch.float64)
    standard = (twists - mean) / spread
    # Four standard errors of a mean, of a standard deviation, and of a correlation.
    assert standard.mean(0).abs().max() < 4 / math.sqrt(MANY)
    assert (standard.std(0) - 1).abs().max() < 4 / math.sqrt(2 * MANY)
    assert (torch.corrcoef(standard.T) - torch.eye(6)).abs().max() < 4 / math.sqrt(MANY)


def test_uniform_carm_angles_and_shifts_fill_their_ranges_and_nothing_else():
    distribution = DISTRIBUTIONS["femur"]
    found = placements(drawn(distribution, 4000))
    # Primary angles beyond a half turn come back from the other side.
    found[:, 0] %= 360.0
    middle = np.array([172.5, 0.0, 0.0, 0.0, -50.0, 800.0])
    half = np.array([*distribution.rotation_deg, *distribution.translation_mm])
    share = (found - middle) / half
    assert np.abs(share).max() <= 1 + 1e-9
    # The extremes of 4000 even draws lie within 1 % of the ends all but surely (each misses with probability 2e-9).
    assert share.min(axis=0).max() < -0.99 and share.max(axis=0).min() > 0.99
    assert np.abs(share.std(axis=0) * math.sqrt(3) - 1).max() < 0.05


def test_a_carm_pose_is_the_one_its_placement_describes():
    for pose in drawn(DISTRIBUTIONS["any_side"], 50):
        again = camera_from_placement(placement_of(pose.numpy(), ISOCENTRE.numpy()), ISOCENTRE.numpy())
        np.testing.assert_allclose(pose.numpy(), again, atol=1e-9)


@pytest.mark.parametrize("coordinates", ["twist", "carm"])
def test_without_spread_every_pose_is_the_nominal_view(coordinates):
    distribution = PoseDistribution((-90.0,), 712.0, "uniform", coordinates, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    expected = camera_from_carm(-90.0, 0.0, 712.0, ISOCENTRE.numpy())
    np.testing.assert_allclose(drawn(distribution, 3).numpy(), np.broadcast_to(expected, (3, 4, 4)), atol=1e-10)
    np.testing.assert_allclose(nominal_rotation(distribution).numpy(), expected[:3, :3], atol=1e-15)


def test_nominal_views_are_equally_likely():
    distribution = replace(DISTRIBUTIONS["any_side"], rotation_deg=(1.0, 1.0, 1.0))
    primary = placements(drawn(distribution, 4000))[:, 0]
    for nominal in distribution.primaries_deg:
        near = np.abs((primary - nominal + 180.0) % 360.0 - 180.0) < 10.0
        # Four standard errors of a share of a quarter.
        assert abs(near.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_preset_gives_rigid_poses_with_the_isocentre_in_front_of_the_source(name):
    poses = drawn(DISTRIBUTIONS[name], 2000)
    rotation = poses[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(2000, 3, 3), atol=1e-12, rtol=0)
    assert torch.linalg.det(rotation).min() > 0
    assert transform_points(poses, ISOCENTRE[None])[:, 0, 2].min() >= 0.3 * DISTRIBUTIONS[name].sod_mm


@pytest.mark.parametrize("coordinates", ["twist", "carm"])
def test_however_wide_the_depths_none_is_behind_the_source(coordinates):
    distribution = PoseDistribution((0.0,), 500.0, "normal", coordinates, translation_mm=(0.0, 0.0, 2000.0))
    depth = transform_points(drawn(distribution), ISOCENTRE[None])[:, 0, 2]
    assert depth.min() == pytest.approx(150.0)


def test_the_generator_alone_decides_and_the_isocentre_only_moves_the_volume():
    distribution = DISTRIBUTIONS["chen"]
    assert torch.equal(drawn(distribution, 40, 7), drawn(distribution, 40, 7))
    assert not torch.equal(drawn(distribution, 40, 7), drawn(distribution, 40, 8))
    elsewhere = sample_poses(distribution, torch.zeros(3), 40, torch.Generator().manual_seed(7))
    here = drawn(distribution, 40, 7)
    torch.testing.assert_close(here[:, :3, :3], elsewhere[:, :3, :3])
    torch.testing.assert_close(transform_points(here, ISOCENTRE[None])[:, 0], elsewhere[:, :3, 3])


@pytest.mark.parametrize(
    "change",
    [
        {"primaries_deg": ()},
        {"sod_mm": 0.0},
        {"sod_mm": math.nan},
        {"rotation_deg": (20.0, -1.0, 20.0)},
        {"translation_mm": (30.0, 30.0, math.inf)},
        {"centre_offset_mm": (0.0, 0.0, -700.0)},
    ],
)
def test_a_distribution_that_describes_no_poses_is_refused(change):
    with pytest.raises(InputError, match=r"expected .*; "):
        drawn(replace(PoseDistribution(), **change), 1)
