"""Starts lie as far from the truth as was drawn, and depend on the generator alone."""

from __future__ import annotations

import torch
from training_scenes import subject

from xrayreg.geometry import rotation_angle, transform_points
from xrayreg.networks.data.pose_sampling import sample_poses
from xrayreg.networks.data.start_sampling import displaced, sample_starts
from xrayreg.settings import PoseDistribution, SimilaritySettings

POSES = PoseDistribution()


def truth(count: int) -> torch.Tensor:
    return sample_poses(POSES, subject().isocentre, count, torch.Generator().manual_seed(1))


def distances(poses: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    places = [transform_points(some, subject().points) for some in (poses, others)]
    return (places[0] - places[1]).norm(dim=-1).mean(-1)


def test_poses_are_displaced_by_the_distance_asked_for():
    poses, wanted = truth(200), torch.linspace(1, 120, 200).double()
    moved = displaced(poses, subject().points, subject().isocentre, wanted, torch.Generator().manual_seed(2))
    # The search for the scale ends within a hundredth of the distance wherever the distance can be reached.
    torch.testing.assert_close(distances(moved, poses), wanted, rtol=0.01, atol=0.0)
    turned = torch.rad2deg(rotation_angle(moved, poses))
    shifted = (transform_points(moved, subject().isocentre[None]) - transform_points(poses, subject().isocentre[None]))[
        :, 0
    ].norm(dim=-1)
    # Some are mostly turns, some mostly shifts.
    lever = (subject().points - subject().isocentre).norm(dim=-1).mean()
    share = torch.deg2rad(turned) * lever / (torch.deg2rad(turned) * lever + shifted)
    assert share.min() < 0.2
    assert share.max() > 0.8


def test_a_distance_that_no_pose_reaches_is_left_shorter_and_in_front_of_the_source():
    wanted = torch.full((50,), 2000.0).double()
    moved = displaced(truth(50), subject().points, subject().isocentre, wanted, torch.Generator().manual_seed(2))
    assert moved.isfinite().all()
    assert (transform_points(moved, subject().isocentre[None])[:, 0, 2] > 0).all()


def test_starts_cover_near_and_far_and_are_those_of_the_generator():
    settings = SimilaritySettings(starts=50, independent=0.2, start_error_mm=(5.0, 100.0))
    poses = truth(4)
    starts, again, other = (
        sample_starts(
            poses, subject().points, subject().isocentre, settings, POSES, torch.Generator().manual_seed(seed)
        )
        for seed in (3, 3, 4)
    )
    assert starts.shape == (200, 4, 4)
    assert torch.equal(starts, again)
    assert not torch.equal(starts, other)
    errors = distances(starts, poses.repeat_interleave(50, 0))
    # A fifth is drawn from the whole distribution, whose errors are larger in the mean; the logarithm of the rest is
    # even, so that the median of all lies somewhat above sqrt(5 100) = 22 mm.
    assert 18 < errors.median() < 50
    assert errors.min() > 4.9
    assert 0.03 < (errors > 101).float().mean() < 0.3
