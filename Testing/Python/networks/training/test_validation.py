"""Errors are those of the poses that were predicted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_scenes import SETTINGS, new_network, patient, subject

from xrayreg.geometry import rigid, rotation_from_vector
from xrayreg.networks.model.heads import Hypotheses
from xrayreg.networks.training import validation_set
from xrayreg.networks.training.validation import ValidationImages, overall, validate
from xrayreg.scene import Volume

CPU = torch.device("cpu")
POINTS = torch.tensor([[100.0, 0, 0], [-100.0, 0, 0]], dtype=torch.float64)


def told(poses: torch.Tensor, logits: torch.Tensor, truth: torch.Tensor):
    """What validation says of a network that predicts these poses."""
    images = ValidationImages(torch.zeros(len(truth), 3, 4, 4), truth, POINTS.expand(len(truth), -1, -1))

    class Fixed(torch.nn.Module):
        at = 0

        def forward(self, inputs):
            some = slice(self.at, self.at + len(inputs))
            self.at += len(inputs)
            return Hypotheses(poses[some].float(), logits[some].float())

    return validate(Fixed(), {"clean": images}, CPU, at_once=2)["clean"]  # type: ignore[arg-type]


def pose(turn_deg: float = 0.0, shift=(0.0, 0.0, 0.0)) -> torch.Tensor:
    turn = torch.tensor([0.0, 0.0, np.radians(turn_deg)], dtype=torch.float64)
    return rigid(rotation_from_vector(turn), torch.tensor([0.0, 0.0, 700.0]).double() + torch.tensor(shift).double())


def test_errors_are_medians_of_the_likeliest_hypothesis():
    truth = torch.stack([pose()] * 3)
    poses = torch.stack(
        [
            torch.stack([pose(0, (1, -2, 3)), pose()]),
            torch.stack([pose(), pose(4, (3, 4, -12))]),
            torch.stack([pose(90, (50, 60, 70)), pose(0, (9, 9, 9))]),
        ]
    )
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
    errors = told(poses, logits, truth)
    # float32 holds 700 mm to less than a thousandth.
    assert errors.rotation_deg == pytest.approx(4.0, abs=1e-3)
    assert (errors.x_mm, errors.y_mm, errors.depth_mm) == pytest.approx((3.0, 4.0, 12.0), abs=1e-3)
    # The nearest: exact, exact, and nine millimetres along each axis; the median of the three is exact.
    assert errors.nearest_mtre_mm == pytest.approx(0.0, abs=1e-3)
    assert errors.images == 3


def test_the_distance_is_that_of_the_corners_in_the_camera_frame():
    errors = told(pose(60)[None, None], torch.zeros(1, 1), pose()[None])
    # A chord of 60 degrees is as long as the radius.
    assert errors.mtre_mm == pytest.approx(100.0, abs=1e-3)


def test_networks_are_compared_by_the_mean_over_the_kinds_of_image():
    errors = told(pose(0, (3, 4, 0))[None, None], torch.zeros(1, 1), pose()[None])
    assert overall({"clean": errors, "physics": replace(errors, mtre_mm=7.0)}) == pytest.approx(6.0, abs=1e-3)
    assert overall({}) == float("inf")


def test_validation_leaves_the_network_as_it_was():
    network = new_network().train()
    images = validation_set(subject(), patient(), SETTINGS)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    validate(network, images, CPU)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_set_holds_drrs_and_xrays_of_poses_of_their_own():
    settings = replace(SETTINGS, validation_xrays=2)
    images = validation_set(subject(), patient(), settings)
    again = validation_set(subject(), patient(), settings)
    assert {kind: len(some.poses) for kind, some in images.items()} == {"clean": 3, "physics": 2}
    for kind, some in images.items():
        assert torch.equal(some.inputs, again[kind].inputs)
        # Zero mean and unit variance where there is image (see `network_input`; the cut at four deviations aside).
        assert some.inputs[:, 0].mean(dim=(1, 2)).abs().max() < 0.1
    # The centred isocentre lies in front of the source, about the SOD away.
    assert (images["clean"].poses[:, 2, 3] > 300).all()
    other = validation_set(subject(), patient(), replace(settings, seed=1))
    assert not torch.equal(other["clean"].poses, images["clean"].poses)


def test_an_xray_looks_like_the_drr_of_its_pose(monkeypatch):
    from xrayreg.networks.training import validation_images

    generator = validation_images.seeded_generator
    monkeypatch.setattr(validation_images, "seeded_generator", lambda seed, *numbers: generator(seed))
    images = validation_set(subject(), patient(), replace(SETTINGS, validation_poses=2, validation_xrays=2))
    assert torch.equal(images["clean"].poses, images["physics"].poses)
    for drr, xray in zip(images["clean"].inputs[:, 0], images["physics"].inputs[:, 0], strict=True):
        # Scatter, hardening, saturation and the tone curve change the tones, not what is where.
        assert np.corrcoef(drr.flatten(), xray.flatten())[0, 1] > 0.7


def test_a_volume_without_hounsfield_units_has_no_physics():
    volume = patient()
    cut = Volume(np.clip(volume.values, 0, None), volume.grid)
    images = validation_set(subject(), cut, replace(SETTINGS, validation_xrays=2))
    assert set(images) == {"clean"}
    assert SimpleNamespace(**images).clean is images["clean"]
