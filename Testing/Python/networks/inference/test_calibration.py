"""Calibration: exact predictions give the exact frame, wrong ones are outvoted or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pelvis_scenes import phantom
from scipy.spatial.transform import Rotation
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.ct_alignment.alignment import align
from xrayreg.geometry import inverse, retract, rigid, rotation_angle
from xrayreg.networks.data.subjects import DrrSubject, prepare_subject, render_soft_and_bone
from xrayreg.networks.inference import calibration
from xrayreg.networks.inference.calibration import calibrate, geodesic_median
from xrayreg.networks.model.canonical_frame import canonical_from_patient, moved_to_template
from xrayreg.networks.model.heads import Hypotheses
from xrayreg.settings import NetworkCamera, PoseDistribution

CAMERA = NetworkCamera(image_px=24)


def a_pose(rotvec_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Tensor:
    rotation = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    return rigid(torch.as_tensor(rotation), torch.tensor(shift_mm, dtype=torch.float64))


@pytest.fixture(scope="module")
def patient() -> DrrSubject:
    return prepare_subject(phantom(6.0), voxel_mm=12.0)


class Oracle:
    """A network that knows where the patient lies: it notes the poses that are rendered and answers in its own frame.

    error: twists (degrees and mm) of this spread are added. wrong: share of the answers that are anything.
    """

    def __init__(self, monkeypatch, canonical_from_patient: Tensor, spread: float = 0.0, wrong: float = 0.0) -> None:
        self.truth, self.spread, self.wrong = canonical_from_patient, spread, wrong
        self.generator = torch.Generator().manual_seed(0)
        self.rendered = torch.empty(0)
        monkeypatch.setattr(calibration, "render_soft_and_bone", self.render)

    def render(self, subject, camera, poses: Tensor) -> Tensor:
        self.rendered = poses
        return render_soft_and_bone(subject, camera, poses)

    def __call__(self, inputs: Tensor) -> Hypotheses:
        assert inputs.shape[1:] == (3, 24, 24)
        assert inputs[:, 0].std() > 0.5
        answers = self.rendered @ inverse(self.truth)
        scale = torch.tensor([np.deg2rad(1.0)] * 3 + [1.0] * 3, dtype=torch.float64) * self.spread
        noise = torch.randn(len(answers), 6, generator=self.generator, dtype=torch.float64) * scale
        answers = retract(answers, noise, torch.zeros(3, dtype=torch.float64))
        lost = torch.rand(len(answers), generator=self.generator) < self.wrong
        answers[lost] = a_pose((90, 40, -30), (80, 300, 900))
        # The second hypothesis is believed more.
        nonsense = a_pose((1, 2, 3), (4, 5, 600)).expand_as(answers)
        return Hypotheses(torch.stack([nonsense, answers], 1), torch.tensor([0.0, 1.0]).expand(len(answers), 2))


def apart(one: Tensor, other: Tensor, isocentre: Tensor) -> tuple[float, float]:
    shift = (one - other)[:3, :3] @ isocentre + (one - other)[:3, 3]
    return float(torch.rad2deg(rotation_angle(one, other))), float(shift.norm())


def truth_about(patient: DrrSubject) -> Tensor:
    """The network's frame: turned, and its isocentre 30 mm away from the patient's own."""
    return a_pose((12, -8, 5), (20, -10, 20)) @ rigid(torch.eye(3).double(), -patient.isocentre.double())


def test_a_network_that_knows_gives_the_exact_frame(monkeypatch, patient):
    truth = truth_about(patient)
    found = calibrate(Oracle(monkeypatch, truth), patient, CAMERA, PoseDistribution())
    torch.testing.assert_close(found.canonical_from_patient, truth, atol=1e-4, rtol=0)
    assert found.rotation_deg < 1e-4 and found.distance_mm < 1e-4


def test_scatter_is_averaged_outliers_are_outvoted_and_the_spread_is_honest(monkeypatch, patient):
    truth = truth_about(patient)
    found = calibrate(Oracle(monkeypatch, truth, spread=5.0, wrong=0.2), patient, CAMERA, PoseDistribution())
    angle, shift = apart(found.canonical_from_patient, truth, patient.isocentre)
    # The mean of some 38 answers is better than one of them by a factor of six; nonsense takes away half of that.
    assert angle < found.rotation_deg / 2 and shift < found.distance_mm / 2
    assert 5 < found.rotation_deg < 12 and 5 < found.distance_mm < 12


def test_a_network_that_guesses_is_refused(monkeypatch, patient):
    with pytest.raises(InputError, match="agree on where the patient lies"):
        calibrate(
            Oracle(monkeypatch, truth_about(patient), wrong=0.0, spread=60.0), patient, CAMERA, PoseDistribution()
        )


def test_calibration_and_alignment_find_the_same_frame(monkeypatch):
    """The two ways to the patient's frame, for a network whose frame is the template's."""
    template = phantom(5.0)
    patient_from_template = a_pose((5, -9, 4), (60, 20, -40)).numpy()
    volume = moved_to_template(template, patient_from_template)
    subject = prepare_subject(volume, voxel_mm=12.0)
    isocentre = template.grid.centre
    by_alignment = canonical_from_patient(isocentre, align(template, volume).template_from_patient)
    oracle = Oracle(
        monkeypatch,
        torch.as_tensor(canonical_from_patient(isocentre, np.linalg.inv(patient_from_template))),
        spread=3.0,
    )
    by_network = calibrate(oracle, subject, CAMERA, PoseDistribution()).canonical_from_patient
    angle, shift = apart(by_network, torch.as_tensor(by_alignment), subject.isocentre)
    assert angle < 1.5 and shift < 2


def test_the_median_of_equal_poses_is_that_pose():
    pose = a_pose((170, 20, -60), (10, 20, 700))
    median, angle, distance = geodesic_median(pose.expand(5, 4, 4), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(median, pose)
    assert angle == pytest.approx(0, abs=1e-5) and distance == pytest.approx(0, abs=1e-9)


def test_the_median_ignores_two_fifths_of_nonsense():
    pose, pivot = a_pose((10, 20, 30), (1, 2, 3)), torch.zeros(3, dtype=torch.float64)
    wrong = torch.stack([a_pose((n * 40, 90, 0), (200 * n, -300, 0)) for n in range(4)])
    median, *_ = geodesic_median(torch.cat([wrong, pose.expand(6, 4, 4)]), pivot)
    torch.testing.assert_close(median, pose, atol=1e-3, rtol=0)


def test_the_median_does_not_depend_on_the_frame_it_is_told_in():
    """Turning all poses turns their median: no axis is special."""
    generator = torch.Generator().manual_seed(1)
    twists = 0.2 * torch.randn(9, 6, generator=generator, dtype=torch.float64)
    poses = retract(torch.eye(4).double().expand(9, 4, 4), twists, torch.zeros(3).double())
    turn = a_pose((40, 50, 60), (0, 0, 0))
    one, *_ = geodesic_median(poses, torch.zeros(3).double())
    other, *_ = geodesic_median(turn @ poses, torch.zeros(3).double())
    torch.testing.assert_close(other, turn @ one, atol=1e-5, rtol=0)
