"""Test-time augmentation: inputs are what a rotated camera takes, and predicted poses are rotated back exactly."""

from __future__ import annotations

import numpy as np
import torch
from closed_forms import Blob, blob_image

from xrayreg.geometry import Camera, rigid, rotation_from_vector
from xrayreg.networks.inference.test_time_augmentation import (
    augmentation_rotations,
    augmented_inputs,
    consensus,
    undo_rotation,
)
from xrayreg.networks.model.heads import Hypotheses
from xrayreg.networks.model.input_image import network_input
from xrayreg.networks.model.network_camera import pinhole
from xrayreg.scene import Radiograph
from xrayreg.settings import NetworkCamera

NETWORK = NetworkCamera(image_px=64, field_mm=300.0, sid_mm=1000.0)
FINE = Camera.from_sid(1000.0, 0.6, 640, 640)
POSE = rigid(torch.eye(3, dtype=torch.float64), torch.tensor([5.0, -8.0, 700.0], dtype=torch.float64))
BLOBS = (
    Blob((31.0, -17.0, 12.0), 16.0, 0.03),
    Blob((-40.0, 23.0, -20.0), 16.0, 0.02),
    Blob((2.0, 9.0, 0.0), 50.0, 0.01),
)


def xray(camera: Camera) -> Radiograph:
    image = blob_image(camera, POSE[None], BLOBS)[0].float().numpy()
    return Radiograph(image, image, np.ones(image.shape, bool), camera)


def test_a_look_is_what_the_turned_camera_takes():
    shown, valid = augmented_inputs(xray(FINE), NETWORK, 6)
    assert shown.shape == (6, 3, 64, 64) and bool(valid.all())
    for look, turn in zip(shown, augmentation_rotations(6, NETWORK), strict=True):
        pose = rigid(turn, torch.zeros(3, dtype=torch.float64)) @ POSE
        expected = network_input(blob_image(pinhole(NETWORK), pose[None], BLOBS).float(), look[None, 1])
        # A look is a mean over finer pixels, read by interpolation: the sharpest blob is eight pixels wide.
        assert float((look[0] - expected[0, 0])[look[1] > 0].abs().max()) < 0.05
        # A tenth of the image is the most that a turn pushes out of it, either way.
        assert float(look[1].mean()) > 0.75


def test_the_first_look_is_straight_ahead_and_the_others_differ():
    rotations = augmentation_rotations(16, NETWORK)
    torch.testing.assert_close(rotations[0], torch.eye(3, dtype=torch.float64))
    apart = (rotations[:, None] - rotations[None]).flatten(2).norm(dim=-1) + torch.eye(16)
    assert float(apart.min()) > 0.01


def test_what_the_X_ray_does_not_cover_is_not_valid_in_any_look():
    shown, valid = augmented_inputs(xray(Camera.from_sid(1000.0, 0.6, 250, 250)), NETWORK, 4)
    assert 0.2 < float(valid.mean()) < 0.3
    for look in shown:
        assert 0.15 < float(look[1].mean()) < 0.35
        assert not look[0][look[1] == 0].any()


def pose_of(vector: tuple[float, float, float], shift: tuple[float, float, float]) -> torch.Tensor:
    rotation = rotation_from_vector(torch.deg2rad(torch.tensor(vector, dtype=torch.float64)))
    return rigid(rotation, torch.tensor(shift, dtype=torch.float64))


def test_answers_that_are_right_in_every_look_agree_on_the_pose():
    truth = pose_of((10, -20, 5), (12, -7, 690))
    rotations = augmentation_rotations(16, NETWORK)
    told = rigid(rotations, torch.zeros(3, dtype=torch.float64)) @ truth
    found = consensus(undo_rotation(Hypotheses(told[:, None], torch.zeros(16, 1, dtype=torch.float64)), rotations))
    torch.testing.assert_close(found.poses[0, 0], truth)
    assert float(found.beliefs[0, 0]) == 1.0


def test_chance_errors_average_out_and_two_clusters_stay_apart():
    generator = torch.Generator().manual_seed(0)
    one, other = pose_of((0, 0, 0), (0, 0, 700)), pose_of((0, 60, 0), (20, 0, 700))
    noise = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    scatter = torch.tensor([3.0, 3.0, 12.0], dtype=torch.float64)
    turned = rotation_from_vector(torch.deg2rad(2 * noise[:, :3]))
    poses = torch.stack(
        [rigid(turned @ pose[:3, :3], pose[:3, 3] + noise[:, 3:] * scatter) for pose in (one, other)], 1
    )
    logits = torch.tensor([0.7, 0.3], dtype=torch.float64).log().expand(64, 2)
    found = consensus(Hypotheses(poses, logits))
    # What each look has of the rarer opinion is found again; three deviations of a mean of 64.
    torch.testing.assert_close(found.beliefs[0], torch.tensor([0.7, 0.3], dtype=torch.float64), atol=0.06, rtol=0)
    for mean, true in zip(found.poses[0], (one, other), strict=True):
        assert float((mean - true)[:2, 3].abs().max()) < 3 * 3 / 8
        assert float((mean - true)[:3, :3].abs().max()) < np.radians(3 * 2 / 8) * 1.5


def test_answers_that_are_no_numbers_belong_to_no_opinion():
    truth = pose_of((0, 0, 0), (0, 0, 700))
    poses = truth.repeat(3, 2, 1, 1)
    poses[1] = torch.nan
    found = consensus(Hypotheses(poses, torch.zeros(3, 2, dtype=torch.float64)))
    torch.testing.assert_close(found.poses[0, 0], truth)
    assert float(found.beliefs[0, 1]) == 0.0
    nothing = consensus(Hypotheses(torch.full((2, 1, 4, 4), torch.nan), torch.zeros(2, 1)))
    assert not bool(nothing.beliefs.nan_to_num(0).any())
