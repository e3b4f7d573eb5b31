"""Six clinical numbers and a pose are two names of where a C-arm stands, also along the patient."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Placement, beam_axes, camera_from_carm, camera_from_placement, placement_of

ISOCENTRE = np.array([12.0, -340.0, 871.5])
CAMERA = Camera.from_sid(1000.0, 0.5, 801, 801)
PA = Placement(0.0, 0.0, 0.0, 0.0, 0.0, 700.0)
# A rounding of numbers near 1000 mm, and of angles near 180 degrees, a few times over.
EXACT = 1e-9

turns = st.floats(-180.0, 180.0, exclude_min=True)
shifts = st.floats(-300.0, 300.0)


def pixel(placement: Placement, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Where a point `offset` from the isocentre shows."""
    pose = camera_from_placement(placement, ISOCENTRE)
    return CAMERA.project(pose[:3, :3] @ (ISOCENTRE + offset) + pose[:3, 3])


def returned(pose: np.ndarray) -> np.ndarray:
    return camera_from_placement(placement_of(pose, ISOCENTRE), ISOCENTRE)


@settings(max_examples=300)
@given(turns, st.floats(-89.9, 89.9), turns, shifts, shifts, st.floats(1.0, 2000.0))
def test_numbers_come_back_from_their_pose(primary, secondary, roll, right, up, sod):
    placement = Placement(primary, secondary, roll, right, up, sod)
    found = placement_of(camera_from_placement(placement, ISOCENTRE), ISOCENTRE)
    off = np.subtract(astuple(found), astuple(placement))
    # At -180 the last digit decides which of two names a half turn gets.
    off[[0, 2]] = (off[[0, 2]] + 180) % 360 - 180
    # Rounding of an angle grows with 1 / cos(secondary), here at most 600.
    np.testing.assert_allclose(off, 0, atol=EXACT)


@pytest.mark.parametrize("seed", range(20))
def test_any_rotation_comes_back_from_its_numbers(seed):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    pose[:3, 3] = [30.0, -20.0, 650.0] - pose[:3, :3] @ ISOCENTRE
    np.testing.assert_allclose(returned(pose), pose, atol=EXACT)


@pytest.mark.parametrize("secondary", [90.0, -90.0, 90 - 1e-5, -90 + 1e-8, 90 - 1e-11, 90 - 1e-13])
@pytest.mark.parametrize("primary", [0.0, 37.0, -120.0, 180.0])
@pytest.mark.parametrize("roll", [0.0, 75.0, -180.0])
def test_poses_along_the_patient_come_back_too(primary, secondary, roll):
    pose = camera_from_placement(Placement(primary, secondary, roll, 5.0, -8.0, 700.0), ISOCENTRE)
    np.testing.assert_allclose(returned(pose), pose, atol=EXACT)


@pytest.mark.parametrize(("secondary", "sense"), [(90.0, -1.0), (-90.0, 1.0)])
def test_along_the_patient_the_roll_has_the_whole_turn(secondary, sense):
    pose = camera_from_placement(Placement(40.0, secondary, 25.0, 0.0, 0.0, 700.0), ISOCENTRE)
    found = placement_of(pose, ISOCENTRE)
    np.testing.assert_allclose(astuple(found), [0, secondary, 25.0 + sense * 40.0, 0, 0, 700], atol=EXACT)


@settings(max_examples=200)
@given(st.floats(-720.0, 720.0), st.floats(-720.0, 720.0), st.floats(-720.0, 720.0))
def test_angles_come_back_in_their_range(primary, secondary, roll):
    pose = camera_from_placement(Placement(primary, secondary, roll, 1.0, 2.0, 700.0), ISOCENTRE)
    found = placement_of(pose, ISOCENTRE)
    assert -180 < found.primary_deg <= 180 and -180 < found.roll_deg <= 180 and -90 <= found.secondary_deg <= 90
    np.testing.assert_allclose(camera_from_placement(found, ISOCENTRE), pose, atol=EXACT)


@pytest.mark.parametrize("primary", [180.0, -180.0])
@pytest.mark.parametrize("roll", [180.0, -180.0])
def test_a_half_turn_is_called_180(primary, roll):
    found = placement_of(camera_from_placement(Placement(primary, 0.0, roll, 0, 0, 700.0), ISOCENTRE), ISOCENTRE)
    assert (abs(found.primary_deg), abs(found.roll_deg)) == pytest.approx((180.0, 180.0))
    exact = np.eye(4)
    exact[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    exact[:3, 3] = [0, 0, 700] - exact[:3, :3] @ ISOCENTRE
    # Integers all through, so nothing is rounded: an AP view upside down.
    assert astuple(placement_of(exact, ISOCENTRE)) == (180.0, 0.0, 180.0, 0.0, 0.0, 700.0)


def test_right_and_up_move_the_anatomy_right_and_up_in_the_image():
    centre = (CAMERA.width - 1) / 2
    np.testing.assert_allclose(pixel(replace(PA, right_mm=35.0)), [centre + 2000 * 35 / 700, centre], atol=EXACT)
    np.testing.assert_allclose(pixel(replace(PA, up_mm=35.0)), [centre, centre - 2000 * 35 / 700], atol=EXACT)


@pytest.mark.parametrize("angles", [(0.0, 0.0), (180.0, 0.0), (-50.0, 20.0), (10.0, 90.0)])
def test_positive_roll_turns_the_anatomy_clockwise(angles):
    upright = replace(PA, primary_deg=angles[0], secondary_deg=angles[1], right_mm=20.0, up_mm=-10.0)
    overhead = -50 * beam_axes(*angles)[1]
    middle = pixel(upright)
    # Twelve o'clock, then a quarter turn on three o'clock, about the isocentre and not the image's middle.
    np.testing.assert_allclose(pixel(upright, overhead) - middle, [0, -2000 * 50 / 700], atol=EXACT)
    np.testing.assert_allclose(
        pixel(replace(upright, roll_deg=90.0), overhead) - middle, [2000 * 50 / 700, 0], atol=EXACT
    )


@pytest.mark.parametrize(("primary", "secondary"), [(0.0, 0.0), (-35.0, 20.0), (170.0, -90.0)])
def test_a_centred_upright_c_arm_is_camera_from_carm(primary, secondary):
    found = camera_from_placement(Placement(primary, secondary, 0.0, 0.0, 0.0, 640.0), ISOCENTRE)
    np.testing.assert_allclose(found, camera_from_carm(primary, secondary, 640.0, ISOCENTRE), atol=1e-12)


@pytest.mark.parametrize(
    ("turned_patient", "expected"),
    [
        (np.diag([-1.0, -1.0, 1.0]), (-155.0, 15.0, 5.0)),
        (np.diag([-1.0, 1.0, -1.0]), (-25.0, -15.0, -175.0)),
        (np.diag([1.0, -1.0, -1.0]), (155.0, -15.0, -175.0)),
    ],
    ids=["prone", "feet first", "feet first prone"],
)
def test_patients_who_lie_otherwise_have_a_placement_too(turned_patient, expected):
    supine = camera_from_placement(Placement(25.0, 15.0, 5.0, 0.0, 0.0, 700.0), np.zeros(3))
    pose = supine.copy()
    pose[:3, :3] = supine[:3, :3] @ turned_patient
    np.testing.assert_allclose(astuple(placement_of(pose, np.zeros(3)))[:3], expected, atol=EXACT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["primary_deg", "secondary_deg", "roll_deg", "right_mm", "up_mm", "sod_mm"])
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises(InputError):
        replace(PA, **{name: value})


@pytest.mark.parametrize("distance", [0.0, -700.0])
def test_a_source_in_the_isocentre_or_beyond_is_refused(distance):
    with pytest.raises(InputError, match="source-to-isocentre distance: expected millimetres above 0"):
        replace(PA, sod_mm=distance)
    behind = camera_from_placement(PA, ISOCENTRE)
    behind[2, 3] += distance - 700.0
    with pytest.raises(InputError, match="isocentre: expected a point in front of the X-ray source"):
        placement_of(behind, ISOCENTRE)


@pytest.mark.parametrize(
    ("pose", "isocentre", "words"),
    [
        (np.diag([1.1, 1.0, 1.0, 1.0]), np.zeros(3), "camera_from_volume: expected a rotation"),
        (np.diag([-1.0, 1.0, 1.0, 1.0]), np.zeros(3), "camera_from_volume: .* found a reflection"),
        (np.full((4, 4), np.nan), np.zeros(3), "camera_from_volume: expected finite numbers"),
        (np.eye(4), [0.0, 0.0, np.nan], "isocentre: expected finite numbers"),
        (np.eye(4), [0.0, 0.0], "isocentre: expected 3 numbers"),
    ],
)
def test_what_is_no_pose_about_an_isocentre_is_refused(pose, isocentre, words):
    with pytest.raises(InputError, match=words):
        placement_of(pose, isocentre)
