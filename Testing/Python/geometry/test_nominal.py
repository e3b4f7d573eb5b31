"""Nominal views show a supine patient as the textbook does."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import (
    NOMINAL_VIEWS,
    Camera,
    camera_from_placement,
    nominal_placement,
    nominal_pose,
    nominal_sod_mm,
)

ISOCENTRE = np.array([12.0, -30.0, 85.0])
SOD_MM = 650.0
DIRECTIONS = {
    "right": (1, 0, 0),
    "left": (-1, 0, 0),
    "front": (0, 1, 0),
    "back": (0, -1, 0),
    "head": (0, 0, 1),
    "feet": (0, 0, -1),
}
# What the eye at the X-ray source sees: where right and front of the patient lie in the image, and what is nearer.
# Between tube and patient in PA is the back; an AP image has its right side on the left, as on the viewing box.
SEEN = {
    "pa": {"image right": "right", "near": "back"},
    "ap": {"image right": "left", "near": "front"},
    "left_lateral": {"image right": "front", "near": "right"},
    "right_lateral": {"image right": "back", "near": "left"},
}


@pytest.fixture
def wide() -> Camera:
    return Camera.from_sid(1000.0, 1.0, 401, 301)


def in_camera(view: str, direction: str, distance_mm: float = 50.0) -> np.ndarray:
    pose = nominal_pose(view, ISOCENTRE, SOD_MM)  # type: ignore[arg-type]
    point = ISOCENTRE + distance_mm * np.array(DIRECTIONS[direction])
    return pose[:3, :3] @ point + pose[:3, 3]


def test_every_nominal_view_is_listed_here():
    assert set(SEEN) == set(NOMINAL_VIEWS)


@pytest.mark.parametrize("view", NOMINAL_VIEWS)
def test_left_right_and_front_show_where_they_should(view, wide):
    column, row = wide.project(in_camera(view, SEEN[view]["image right"]))
    assert column == pytest.approx(200 + 1000 * 50 / SOD_MM) and row == pytest.approx(150)


@pytest.mark.parametrize("view", NOMINAL_VIEWS)
def test_what_is_nearer_to_the_tube_is_nearer(view):
    np.testing.assert_allclose(in_camera(view, SEEN[view]["near"]), [0, 0, SOD_MM - 50], atol=1e-9)


@pytest.mark.parametrize("view", NOMINAL_VIEWS)
def test_the_head_is_up_and_the_isocentre_in_the_middle(view, wide):
    column, row = wide.project(in_camera(view, "head"))
    assert column == pytest.approx(200) and row == pytest.approx(150 - 1000 * 50 / SOD_MM)
    np.testing.assert_allclose(in_camera(view, "head", 0.0), [0, 0, SOD_MM], atol=1e-9)


@pytest.mark.parametrize("view", NOMINAL_VIEWS)
def test_the_pose_is_rigid(view):
    rotation = nominal_pose(view, ISOCENTRE, SOD_MM)[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("view", NOMINAL_VIEWS)
def test_the_placement_is_that_of_the_pose_upright_and_centred(view):
    placement = nominal_placement(view, SOD_MM)
    assert (placement.secondary_deg, placement.roll_deg, placement.right_mm, placement.up_mm) == (0, 0, 0, 0)
    assert placement.sod_mm == SOD_MM
    np.testing.assert_array_equal(camera_from_placement(placement, ISOCENTRE), nominal_pose(view, ISOCENTRE, SOD_MM))


@pytest.mark.parametrize("view", ["AP", "oblique", ""])
def test_an_unknown_view_is_refused_by_name(view):
    with pytest.raises(InputError, match="left_lateral") as refused:
        nominal_pose(view, ISOCENTRE, SOD_MM)
    assert refused.value.found == view


def test_the_isocentre_is_assumed_at_a_share_of_the_distance_to_the_detector():
    known = Camera.from_sid(1400.0, 0.5, 64, 64)
    unknown = Camera(known.matrix, 64, 64, np.eye(4))
    assert nominal_sod_mm(known) == pytest.approx(980.0)
    # Nothing tells the distance, so a typical C-arm's metre is taken.
    assert nominal_sod_mm(unknown) == pytest.approx(700.0)
