"""What makes a pose trusted: the rules one by one, and the evidence they rest on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from phantoms import PIVOT, camera_at, frontal, phantom_map, xray
from torch import Tensor

from xrayreg.geometry import Camera, pose_difference, retract, transform_points
from xrayreg.reasons import ReasonCode
from xrayreg.registration.problem import Problem, build_problem
from xrayreg.registration.verdict import (
    LEAST_CONTRAST,
    LEAST_GAP,
    LEAST_IN_VIEW,
    LEAST_SIMILARITY,
    LEAST_SIMILARITY_OF_A_VIEW,
    MOST_BEHIND_DETECTOR,
    MOST_BEHIND_SOURCE,
    MOST_ERROR_MM,
    Evidence,
    Place,
    Verdict,
    contrast,
    in_view,
    judge,
    mirrored_pose,
    place_of,
    uncertainty_of,
    unless_assumed,
)
from xrayreg.render import prepare
from xrayreg.scene import Radiograph
from xrayreg.settings import Term
from xrayreg.similarity import Agreement, Similarity

DOUBLE = torch.float64
GOOD = Evidence(similarity=0.8, contrast=12.0, gap=0.4, in_view=0.9, expected_error_mm=0.5, mirror_gap=0.3)

# A change to good evidence, whether it is still accepted, and a word of the reason.
RULES = {
    "all is well": ({}, True, "12.0 SD above"),
    "no other optimum was looked for": ({"gap": None}, True, "0.50 mm"),
    "just enough similarity": ({"similarity": LEAST_SIMILARITY}, True, "Estimated error"),
    "too little similarity": ({"similarity": LEAST_SIMILARITY - 1e-3}, False, "too weak"),
    "just enough contrast": ({"contrast": LEAST_CONTRAST}, True, "Estimated error"),
    "a slope and no peak": ({"contrast": LEAST_CONTRAST - 1e-3}, False, "too weak"),
    "a rival just far enough below": ({"gap": LEAST_GAP}, True, "Estimated error"),
    "a rival too near": ({"gap": LEAST_GAP - 1e-3}, False, "Another pose"),
    "a rival that is better": ({"gap": -0.1}, False, "explains the X-ray better"),
    "the mirror image fits a little worse": ({"mirror_gap": LEAST_GAP}, True, "Estimated error"),
    "the mirror image fits as well": ({"mirror_gap": 0.0}, False, "symmetric"),
    "the mirror image fits better": ({"mirror_gap": -LEAST_GAP - 1e-3}, False, "flipped"),
    "a weak match of a flipped image": ({"mirror_gap": -0.3, "similarity": 0.1}, False, "flipped"),
    "a weak match, and hardly better in the mirror": ({"mirror_gap": -0.1, "similarity": 0.1}, False, "too weak"),
    "a weak match that fits either way": ({"mirror_gap": 0.0, "similarity": 0.1}, False, "too weak"),
    "just enough in view": ({"in_view": LEAST_IN_VIEW}, True, "Estimated error"),
    "almost nothing in view": ({"in_view": LEAST_IN_VIEW - 1e-3}, False, "usable image"),
    "nothing in view, however good the rest": ({"in_view": 0.0}, False, "0%"),
    "just certain enough": ({"expected_error_mm": MOST_ERROR_MM}, True, "4.00 mm"),
    "left open by the images": ({"expected_error_mm": MOST_ERROR_MM + 0.1}, False, "4.1 mm"),
    "left open entirely": ({"expected_error_mm": math.inf}, False, "inf"),
    "a weaker X-ray of several": ({"weakest_view": LEAST_SIMILARITY_OF_A_VIEW}, True, "Estimated error"),
    "an X-ray of something else": ({"weakest_view": LEAST_SIMILARITY_OF_A_VIEW - 1e-3}, False, "One of the X-rays"),
    "arms behind the source": ({"place": Place(behind_source=MOST_BEHIND_SOURCE)}, True, "Estimated error"),
    "a body behind the source": (
        {"place": Place(behind_source=0.4)},
        False,
        "40% of the anatomy would lie behind the X",
    ),
    "a table behind the detector": ({"place": Place(behind_detector=MOST_BEHIND_DETECTOR)}, True, "Estimated error"),
    "a detector in the body": ({"place": Place(behind_detector=0.3)}, False, "behind the detector"),
    "a source in the body": ({"place": Place(source_inside=True)}, False, "source would lie inside"),
    "an impossible place that matches weakly": (
        {"place": Place(behind_source=1.0), "similarity": 0.1},
        False,
        "Impossible geometry",
    ),
}


@pytest.mark.parametrize(("change", "accepted", "word"), RULES.values(), ids=RULES)
def test_each_rule_decides_and_says_so(change, accepted, word):
    verdict = judge(replace(GOOD, **change))
    assert verdict.accepted is accepted
    assert word in verdict.reason and verdict.reason.endswith(".")


NUMBERS = ["similarity", "contrast", "gap", "in_view", "expected_error_mm", "mirror_gap", "weakest_view"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_could_not_be_computed_is_never_trusted(name, value):
    assert not judge(replace(GOOD, **{name: value})).accepted


@pytest.mark.parametrize("name", ["behind_source", "behind_detector"])
def test_a_place_that_could_not_be_computed_is_never_trusted(name):
    assert not judge(replace(GOOD, place=Place(**{name: math.nan}))).accepted


@for_all(
    st.builds(
        Evidence,
        similarity=st.floats(-1, 1),
        contrast=st.floats(-5, 30),
        gap=st.none() | st.floats(-1, 1),
        in_view=st.floats(0, 1),
        expected_error_mm=st.floats(0),
        mirror_gap=st.floats(-1, 1),
        weakest_view=st.none() | st.floats(-1, 1),
        place=st.builds(Place, st.floats(0, 1), st.floats(0, 1), st.booleans()),
    )
)
def test_a_reason_calls_nothing_else_similarity_and_gives_millimetres_of_trust_only_with_trust(evidence):
    verdict = judge(evidence)
    quoted = re.findall(r"[Ss]imilarity (-?[\d.]+)", verdict.reason)
    assert set(quoted) <= {f"{evidence.similarity:.3f}", f"{evidence.weakest_view or 0:.3f}"}
    assert ("Estimated error" in verdict.reason) is verdict.accepted is (verdict.code is ReasonCode.ACCEPTED)


def test_evidence_and_uncertainty_are_plain_numbers():
    assert GOOD.as_dict() == {
        "similarity": 0.8,
        "contrast": 12.0,
        "gap": 0.4,
        "in_view": 0.9,
        "expected_error_mm": 0.5,
        "mirror_gap": 0.3,
        "weakest_view": None,
        "behind_source": 0.0,
        "behind_detector": 0.0,
        "source_inside": False,
    }


POSE = frontal((0.2, -0.1, 0.3), (5.0, -3.0, 10.0))[0]
# All on one side of the pivot, where a wrong sign cannot average out.
TARGETS = torch.tensor([[x, y, z] for x in (20, 70) for y in (10, 50) for z in (30, 90)], dtype=DOUBLE)


def at(score: float, normal: Tensor) -> Agreement:
    return Agreement(torch.tensor([score]), torch.zeros(1, 6), normal[None])


def test_uncertainty_without_rotation_is_the_inverse_curvature():
    # Rotations held by a very steep score; 100 values whose residual energy is 2 (1 - 0.9) have a variance of 0.002.
    normal = torch.diag(torch.tensor([1e12, 1e12, 1e12, 0.05, 0.2, 0.0125], dtype=DOUBLE))
    found = uncertainty_of(at(0.9, normal), POSE, PIVOT, TARGETS, 100)
    expected = np.sqrt([0.002 / 0.05, 0.002 / 0.2, 0.002 / 0.0125])
    np.testing.assert_allclose(found.translation_mm, expected, rtol=1e-5)
    assert found.target_mm == pytest.approx(np.linalg.norm(expected), rel=1e-5)
    assert found.target_in_plane_mm == pytest.approx(np.linalg.norm(expected[:2]), rel=1e-5)
    assert found.target_depth_mm == pytest.approx(expected[2], rel=1e-5)


def test_uncertainty_about_one_axis_grows_with_the_distance_from_it():
    # Only rolls about the central ray are open: 1 degree. A target at lever r then moves by r times that, in the plane.
    sigma = math.radians(1.0)
    normal = torch.diag(torch.tensor([1e12, 1e12, 0.002 / sigma**2, 1e12, 1e12, 1e12], dtype=DOUBLE))
    found = uncertainty_of(at(0.9, normal), POSE, PIVOT, TARGETS, 100)
    lever = (TARGETS - PIVOT) @ POSE[:3, :3].mT
    assert found.rotation_deg[2] == pytest.approx(1.0, rel=1e-5)
    assert found.target_mm == pytest.approx(float(sigma * lever[:, :2].norm(dim=-1).mean()), rel=1e-4)
    assert found.target_depth_mm < 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_uncertainty_agrees_with_displacing_the_pose_at_random(seed):
    generator = torch.Generator().manual_seed(seed)
    # Curvature with every parameter coupled to every other, as strong for 1 mm as for half a degree.
    scale = torch.tensor([100.0, 100.0, 100.0, 1.0, 1.0, 0.3], dtype=DOUBLE)
    factor = torch.randn(6, 8, generator=generator, dtype=DOUBLE)
    normal = 0.5 * scale[:, None] * (factor @ factor.mT / 8) * scale
    found = uncertainty_of(at(0.7, normal), POSE, PIVOT, TARGETS, 400)
    covariance = 2 * 0.3 / 400 * torch.linalg.inv(normal)
    draws = torch.randn(20000, 6, generator=generator, dtype=DOUBLE) @ torch.linalg.cholesky(covariance).mT
    poses = retract(POSE.expand(20000, 4, 4), draws, PIVOT)
    offset = transform_points(poses, TARGETS) - transform_points(POSE, TARGETS)
    spread = offset.pow(2).mean(0)
    # 20000 draws know a standard deviation to 0.5 %; the turns are small enough to be linear.
    assert found.target_mm == pytest.approx(float(spread.sum(-1).sqrt().mean()), rel=0.02)
    assert found.target_in_plane_mm == pytest.approx(float(spread[:, :2].sum(-1).sqrt().mean()), rel=0.02)
    assert found.target_depth_mm == pytest.approx(float(spread[:, 2].sqrt().mean()), rel=0.02)
    twists = pose_difference(poses, POSE, PIVOT).std(0)
    np.testing.assert_allclose(found.rotation_deg, torch.rad2deg(twists[:3]), rtol=0.02)
    np.testing.assert_allclose(found.translation_mm, twists[3:], rtol=0.02)


@pytest.mark.parametrize("depth", [0.0, -1e-9])
def test_what_the_images_do_not_see_is_not_certain(depth):
    # A curvature of zero, or just below it by rounding, leaves depth open; it does not make it exact.
    normal = torch.diag(torch.tensor([900.0, 900.0, 900.0, 0.5, 0.5, depth], dtype=DOUBLE))
    found = uncertainty_of(at(0.9, normal), POSE, PIVOT, TARGETS, 100)
    assert found.translation_mm[2] > 100 and found.target_depth_mm > 100
    assert found.translation_mm[0] == pytest.approx(math.sqrt(0.002 / 0.5), rel=1e-5)
    assert not judge(replace(GOOD, expected_error_mm=found.target_mm)).accepted
    assert not any(math.isnan(value) for value in (found.target_mm, found.target_in_plane_mm))


@pytest.mark.parametrize("where", ["score", "normal", "pose"])
def test_what_could_not_be_computed_leaves_everything_open(where):
    agreement, pose = at(0.9, torch.eye(6, dtype=DOUBLE)), POSE.clone()
    {"score": agreement.score, "normal": agreement.normal, "pose": pose}[where].view(-1)[0] = math.nan
    found = uncertainty_of(agreement, pose, PIVOT, TARGETS, 100)
    assert found.target_mm == found.target_depth_mm == max(found.rotation_deg) == math.inf


@pytest.mark.parametrize("pixels", [0, 1])
def test_without_pixels_uncertainty_is_finite_and_large(pixels):
    normal = torch.diag(torch.tensor([900.0, 900.0, 900.0, 0.01, 0.01, 0.001], dtype=DOUBLE))
    assert MOST_ERROR_MM < uncertainty_of(at(0.5, normal), POSE, PIVOT, TARGETS, pixels).target_mm < math.inf


def problem(*views: Radiograph) -> Problem:
    return build_problem(prepare(phantom_map(), "torch", "cpu"), views, Similarity((Term(),)), image_px=64, pivot=PIVOT)


CENTRED = frontal()[0]


def test_all_of_a_small_map_is_in_view():
    # 150 mm at 700 mm from the source fill 225 of the detector's 240 mm.
    assert in_view(problem(xray(camera_at(64), CENTRED[None])), CENTRED) == 1.0


def test_pixels_that_may_not_be_used_are_not_in_view():
    whole = xray(camera_at(64), CENTRED[None])
    valid = whole.valid.copy()
    valid[:, :32] = False
    assert in_view(problem(replace(whole, valid=valid)), CENTRED) == pytest.approx(0.5, abs=0.01)
    assert in_view(problem(replace(whole, valid=np.zeros_like(valid))), CENTRED) == 0.0


def test_a_map_half_outside_is_half_in_view():
    # The centre lies on the image's edge; perspective adds little to the farther half.
    shifted = frontal(shift=(84.0, 0.0, 0.0))[0]
    assert in_view(problem(xray(camera_at(64), CENTRED[None])), shifted) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("shift", [(400.0, 0.0, 0.0), (0.0, -400.0, 0.0), (0.0, 0.0, -1400.0)])
def test_beside_or_behind_the_source_nothing_is_in_view(shift):
    assert in_view(problem(xray(camera_at(64), CENTRED[None])), frontal(shift=shift)[0]) == 0.0


def test_the_view_that_shows_least_counts():
    whole = xray(camera_at(64), CENTRED[None])
    valid = whole.valid.copy()
    valid[16:] = False
    covered = replace(whole, valid=valid)
    alone = in_view(problem(covered), CENTRED)
    assert 0 < alone < 0.5
    assert in_view(problem(whole, covered), CENTRED) == in_view(problem(covered, whole), CENTRED) == alone


# The phantom's map is a box of 150 mm; the camera's detector stands 1000 mm from its source.
def place_at(depth_mm: float, *cameras: Camera) -> Place:
    """Where the phantom lies when its centre is at a depth from the first camera's source."""
    views = tuple(xray(camera, CENTRED[None]) for camera in cameras or (camera_at(64),))
    pose = frontal(shift=(0.0, 0.0, depth_mm - float(CENTRED[2, :3] @ PIVOT + CENTRED[2, 3])))[0]
    return place_of(phantom_map(), problem(*views), pose)


def test_between_source_and_detector_is_a_place_for_anatomy():
    for depth in (150.0, 700.0, 850.0):
        assert place_at(depth) == Place()


@pytest.mark.parametrize(("depth", "kind"), [(-700.0, "behind_source"), (1700.0, "behind_detector")])
def test_all_of_the_anatomy_can_lie_beyond_either_end(depth, kind):
    found = place_at(depth)
    assert getattr(found, kind) == pytest.approx(1.0)
    assert not judge(replace(GOOD, place=found)).accepted


def test_a_source_or_a_detector_can_lie_in_the_anatomy():
    sid_mm = camera_at(64).sid_mm
    at_source, at_detector = place_at(0.0), place_at(sid_mm)
    assert at_source.source_inside and 0.3 < at_source.behind_source < 0.7
    assert not at_detector.source_inside and 0.3 < at_detector.behind_detector < 0.7
    for found in (at_source, at_detector):
        assert not judge(replace(GOOD, place=found)).accepted


def test_where_the_detector_is_unknown_nothing_lies_behind_it():
    assert place_at(1700.0, replace(camera_at(64), pixel_mm=None)) == Place()


def test_the_view_where_the_anatomy_is_worst_placed_counts():
    near = camera_at(64)
    world = np.eye(4)
    # The same direction from 1000 mm further on: what is 700 mm before the one is 300 mm behind the other.
    world[2, 3] = -1000.0
    found = place_at(700.0, near, replace(near, camera_from_world=world))
    assert found.behind_source == pytest.approx(1.0) and found.behind_detector == 0.0


def test_a_pose_that_is_not_finite_has_no_place():
    pose = CENTRED.clone()
    pose[0, 0] = math.nan
    found = place_of(phantom_map(), problem(xray(camera_at(64), CENTRED[None])), pose)
    assert not judge(replace(GOOD, place=found)).accepted


@dataclass(frozen=True)
class Landscape:
    """A score over poses: a peak of `height` at `summit`, on a slope along one parameter of the twist from there."""

    summit: Tensor
    height: float
    slope: float
    pivot: Tensor = PIVOT
    counts: list[int] = field(default_factory=list)

    def scores(self, poses: Tensor) -> Tensor:
        self.counts.append(len(poses))
        twist = pose_difference(poses, self.summit, self.pivot)
        distance = twist / torch.tensor([0.03, 0.03, 0.03, 3.0, 3.0, 15.0], dtype=DOUBLE)
        return self.height * (-0.5 * (distance**2).sum(-1)).exp() + self.slope * twist[:, 3]


def contrast_on(height: float, slope: float, seed: int = 0) -> float:
    given = Landscape(POSE, height, slope)
    return contrast(given, POSE, float(given.scores(POSE[None])[0]), seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_a_peak_stands_out_and_a_slope_does_not(seed):
    assert contrast_on(0.5, 0.002, seed) > 2 * LEAST_CONTRAST
    # On a slope as many displaced poses score above as below: the mean of 24 lies within a fraction of their spread.
    assert abs(contrast_on(0.0, 0.002, seed)) < 1.0


def test_a_flat_score_has_no_contrast():
    assert contrast_on(0.0, 0.0) == 0.0


def test_contrast_does_not_depend_on_the_scale_of_the_score_nor_on_chance():
    assert contrast_on(0.5, 0.002) == pytest.approx(contrast_on(0.05, 0.0002), rel=1e-4)
    assert contrast_on(0.5, 0.002) == contrast_on(0.5, 0.002)


def test_displaced_poses_are_spared_where_the_first_leave_no_doubt():
    def looked_at(height: float) -> int:
        given = Landscape(POSE, height, 0.002)
        contrast(given, POSE, height)  # type: ignore[arg-type]
        return sum(given.counts)

    assert looked_at(0.5) < looked_at(0.0) == 24


OFF_CENTRE = torch.tensor([30.0, -20.0, 55.0], dtype=DOUBLE)


def test_a_mirrored_pose_is_rigid_and_mirroring_twice_is_none():
    mirrored = mirrored_pose(POSE, OFF_CENTRE)
    torch.testing.assert_close(mirrored[:3, :3] @ mirrored[:3, :3].mT, torch.eye(3, dtype=DOUBLE))
    assert torch.linalg.det(mirrored[:3, :3]).item() == pytest.approx(1.0)
    assert torch.equal(mirrored[3], torch.tensor([0, 0, 0, 1], dtype=DOUBLE))
    torch.testing.assert_close(mirrored_pose(mirrored, OFF_CENTRE), POSE)
    assert not torch.allclose(mirrored, POSE, atol=1.0)


def test_at_the_mirrored_pose_left_shows_where_right_did():
    exchanged = TARGETS.clone()
    exchanged[:, 0] = 2 * OFF_CENTRE[0] - TARGETS[:, 0]
    before = transform_points(POSE, TARGETS)
    after = transform_points(mirrored_pose(POSE, OFF_CENTRE), exchanged)
    torch.testing.assert_close(after, before * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE))


def test_an_upright_frontal_pose_on_the_midline_is_its_own_mirror():
    torch.testing.assert_close(mirrored_pose(CENTRED, PIVOT), CENTRED, atol=1e-12, rtol=0)


def test_a_pose_that_depends_on_assumed_numbers_is_not_accepted():
    accepted = Verdict(True, "fine", ReasonCode.ACCEPTED)
    rejected = Verdict(False, "too weak", ReasonCode.WEAK)
    assert unless_assumed(accepted, ()) == accepted
    assert unless_assumed(rejected, ("The spacing was assumed.",)) == rejected
    doubted = unless_assumed(accepted, ("The spacing was assumed.",))
    assert not doubted.accepted and doubted.code is ReasonCode.ASSUMED
    assert "The spacing was assumed." in doubted.reason
