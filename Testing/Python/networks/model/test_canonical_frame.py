"""The canonical frame: the same views, with the isocentre as origin."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import rigid, transform_points
from xrayreg.networks.model.canonical_frame import CanonicalFrame, canonical_poses, volume_poses

ISOCENTRE = torch.tensor([120.0, -35.0, 900.0], dtype=torch.float64)


def some_poses(count: int = 5) -> torch.Tensor:
    turns = torch.as_tensor(Rotation.random(count, random_state=3).as_matrix())
    return rigid(turns, torch.as_tensor(np.random.default_rng(0).normal(scale=300, size=(count, 3))))


def test_points_relative_to_the_isocentre_are_seen_where_they_were() -> None:
    poses = some_poses()
    points = torch.as_tensor(np.random.default_rng(1).normal(scale=100, size=(7, 3)))
    seen = transform_points(canonical_poses(poses, ISOCENTRE), points - ISOCENTRE)
    torch.testing.assert_close(seen, transform_points(poses, points), atol=1e-9, rtol=0)
    # The isocentre is the origin, so the last column says where it is seen.
    torch.testing.assert_close(
        canonical_poses(poses, ISOCENTRE)[:, :3, 3], transform_points(poses, ISOCENTRE[None])[:, 0], atol=1e-9, rtol=0
    )


def test_volume_poses_undo_canonical_poses_for_any_batch() -> None:
    poses = some_poses(6).reshape(3, 2, 4, 4)
    torch.testing.assert_close(volume_poses(canonical_poses(poses, ISOCENTRE), ISOCENTRE), poses, atol=1e-9, rtol=0)
    each = torch.as_tensor(np.random.default_rng(2).normal(scale=100, size=(3, 2, 3)))
    torch.testing.assert_close(volume_poses(canonical_poses(poses, each), each), poses, atol=1e-9, rtol=0)
    torch.testing.assert_close(canonical_poses(poses, each)[1, 0], canonical_poses(poses[1, 0], each[1, 0]))


def test_nominal_view_has_the_isocentre_on_the_central_ray() -> None:
    frame = CanonicalFrame(some_poses(1)[0, :3, :3], 730.0)
    seen = transform_points(frame.nominal_pose, torch.zeros(1, 3, dtype=torch.float64))
    torch.testing.assert_close(seen[0], torch.tensor([0.0, 0.0, 730.0], dtype=torch.float64))


def test_frame_survives_a_file() -> None:
    frame = CanonicalFrame(some_poses(1)[0, :3, :3], 730.25)
    back = CanonicalFrame.from_dict(json.loads(json.dumps(frame.as_dict())))
    torch.testing.assert_close(back.nominal_pose, frame.nominal_pose, atol=1e-15, rtol=0)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"nominal_rotation": np.eye(3).tolist()},
        {"nominal_rotation": "AP", "sod_mm": 700.0},
        {"nominal_rotation": np.eye(3).tolist(), "sod_mm": "far"},
        {"nominal_rotation": np.eye(3).tolist(), "sod_mm": 0.0},
        {"nominal_rotation": np.eye(3).tolist(), "sod_mm": float("nan")},
        {"nominal_rotation": np.eye(2).tolist(), "sod_mm": 700.0},
        {"nominal_rotation": np.diag([1.0, 1.0, -1.0]).tolist(), "sod_mm": 700.0},
        {"nominal_rotation": (2 * np.eye(3)).tolist(), "sod_mm": 700.0},
        [1, 2],
    ],
)
def test_frame_that_is_none_is_refused(content) -> None:
    with pytest.raises(InputError):
        CanonicalFrame.from_dict(content)
