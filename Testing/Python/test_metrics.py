"""Metrics against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import NOMINAL_SID_MM, Camera
from xrayreg.metrics import pose_error

# The sums below are of a few numbers up to 1000, so rounding stays under this.
ROUNDING = 1e-9
SOURCE_TO_VOLUME = 800.0
# Eight corners of a cube of 100 mm about the volume's origin.
CUBE = np.array([[x, y, z] for x in (-50, 50) for y in (-50, 50) for z in (-50, 50)], dtype=float)


def at_depth(depth_mm: float = SOURCE_TO_VOLUME) -> np.ndarray:
    pose = np.eye(4)
    pose[2, 3] = depth_mm
    return pose


def turned(pose: np.ndarray, degrees: float, axis: str) -> np.ndarray:
    """`pose` turned about an axis of the camera through the volume's origin."""
    result = pose.copy()
    result[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix() @ pose[:3, :3]
    return result


def shifted(pose: np.ndarray, x: float = 0, y: float = 0, z: float = 0) -> np.ndarray:
    result = pose.copy()
    result[:3, 3] += (x, y, z)
    return result


@pytest.fixture
def camera() -> Camera:
    return Camera.from_sid(1000.0, 0.5, 401, 301)


def test_a_pose_has_no_error_against_itself(camera):
    pose = turned(at_depth(), 40, "y")
    error = pose_error(camera, pose, pose, CUBE).as_dict()
    assert error.pop("sid_is_nominal") is False
    assert np.abs(error.pop("translation_mm")).max() < ROUNDING
    # The rotation passes through the arc of a rounded rotation matrix: 1e-13 degrees, not exactly zero.
    assert max(error.values()) < ROUNDING


@pytest.mark.parametrize(("axis", "column"), [("x", 0), ("y", 1), ("z", 2)])
def test_a_shift_along_a_camera_axis_is_measured_along_that_axis(camera, axis, column):
    pose = turned(at_depth(), 70, "y")
    error = pose_error(camera, shifted(pose, **{axis: -3.0}), pose, CUBE)
    assert error.mtre_mm == pytest.approx(3, abs=ROUNDING)
    assert error.mtre_in_plane_mm == pytest.approx(0 if axis == "z" else 3, abs=ROUNDING)
    assert error.mtre_depth_mm == pytest.approx(3 if axis == "z" else 0, abs=ROUNDING)
    assert error.translation_mm == pytest.approx(-3 * np.eye(3)[column], abs=ROUNDING)
    assert error.rotation_deg == pytest.approx(0, abs=ROUNDING)


@pytest.mark.parametrize("degrees", [1e-6, 0.5, 90.0, 179.5, 180.0])
def test_a_turn_about_the_viewing_axis_moves_targets_along_chords_in_the_plane(camera, degrees):
    radius = math.hypot(50, 50)
    error = pose_error(camera, turned(at_depth(), degrees, "z"), at_depth(), CUBE)
    chord = 2 * radius * math.sin(math.radians(degrees) / 2)
    assert error.mtre_mm == pytest.approx(chord, abs=ROUNDING)
    assert error.mtre_in_plane_mm == pytest.approx(chord, abs=ROUNDING)
    assert error.mtre_depth_mm == pytest.approx(0, abs=ROUNDING)
    assert error.rotation_deg == pytest.approx(degrees, abs=1e-6)
    assert error.rotation_in_plane_deg == pytest.approx(degrees, abs=1e-6)
    assert error.rotation_out_of_plane_deg == pytest.approx(0, abs=1e-6)
    # Both depths of the cube show the same chord, magnified by focal length over depth.
    assert error.mpd_px == pytest.approx(np.mean([chord * 2000 / 750, chord * 2000 / 850]), rel=1e-9)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_turn_out_of_the_plane_is_told_apart(camera, axis):
    error = pose_error(camera, turned(at_depth(), 7, axis), at_depth(), CUBE)
    assert error.rotation_out_of_plane_deg == pytest.approx(7, abs=1e-9)
    assert error.rotation_in_plane_deg == pytest.approx(0, abs=1e-9)


def test_one_degree_out_of_plane_at_100_mm_is_under_2_mm_in_the_camera_frame(camera):
    """Through the inverse poses the same error reads about 14 mm: the whole camera seems to swing round."""
    ball = Rotation.random(400, random_state=3).apply([100.0, 0, 0])
    estimated, reference = turned(at_depth(), 1, "y"), at_depth()
    # A turn by theta moves a point at distance r from its axis by the chord 2 r sin(theta / 2).
    chord = 2 * np.hypot(ball[:, 0], ball[:, 2]) * math.sin(math.radians(0.5))
    assert pose_error(camera, estimated, reference, ball).mtre_mm == pytest.approx(chord.mean(), abs=ROUNDING)
    assert chord.mean() == pytest.approx(math.pi / 4 * 100 * math.radians(1), rel=0.05)  # 400 points of a sphere


def test_a_turn_about_the_source_is_not_hidden_by_the_swing_of_the_patient(camera):
    """Turned about the source by 1 degree, targets 800 mm away move 14 mm; through inverse poses this reads 1.4 mm."""
    swing = np.eye(4)
    swing[:3, :3] = Rotation.from_euler("y", 1, degrees=True).as_matrix()
    error = pose_error(camera, swing @ at_depth(), at_depth(), CUBE)
    arms = np.hypot(CUBE[:, 0], CUBE[:, 2] + SOURCE_TO_VOLUME)
    assert error.mtre_mm == pytest.approx((2 * arms * math.sin(math.radians(0.5))).mean(), abs=ROUNDING)
    assert error.mtre_mm > 13


def test_a_common_motion_of_the_world_leaves_distances_and_angle_alone(camera):
    other_view = shifted(turned(at_depth(), 63, "y"), 5, 6, 7)
    estimated = shifted(turned(at_depth(), 3, "x"), 1, 2, 3)
    here = pose_error(camera, estimated, at_depth(), CUBE)
    there = pose_error(camera, other_view @ estimated, other_view @ at_depth(), CUBE)
    assert there.mtre_mm == pytest.approx(here.mtre_mm, abs=ROUNDING)
    assert there.rotation_deg == pytest.approx(here.rotation_deg, abs=ROUNDING)


def test_projection_and_reprojection_distance_of_a_sideways_shift(camera):
    centre = np.zeros((1, 3))
    error = pose_error(camera, shifted(at_depth(), x=4), at_depth(), centre)
    assert error.mpd_mm == pytest.approx(4 * 1000 / 800, abs=ROUNDING)
    assert error.mpd_px == pytest.approx(4 * 1000 / 800 / 0.5, abs=ROUNDING)
    assert error.mrpd_mm == pytest.approx(4, abs=ROUNDING)  # perpendicular to the central ray
    aside = pose_error(camera, shifted(at_depth(), x=4), at_depth(), centre + [600, 0, 0])
    assert aside.mrpd_mm == pytest.approx(4 * 800 / 1000, abs=ROUNDING)  # 3-4-5 triangle: the ray is slanted


def test_depth_is_invisible_to_the_projection_distances(camera):
    error = pose_error(camera, shifted(at_depth(), z=20), at_depth(), np.zeros((1, 3)))
    assert error.mtre_mm == pytest.approx(20, abs=ROUNDING)
    assert error.mpd_mm == pytest.approx(0, abs=ROUNDING)
    assert error.mrpd_mm == pytest.approx(0, abs=ROUNDING)


def test_without_a_pixel_pitch_a_nominal_distance_is_used_and_said(camera):
    bare = Camera(camera.matrix, camera.width, camera.height, np.eye(4))
    error = pose_error(bare, shifted(at_depth(), x=4), at_depth(), np.zeros((1, 3)))
    assert error.sid_is_nominal
    assert error.mpd_mm == pytest.approx(error.mpd_px * NOMINAL_SID_MM / camera.matrix[0, 0], abs=ROUNDING)


def test_non_square_pixels_do_not_distort_millimetres():
    camera = Camera(np.array([[2000, 0, 100], [0, 1000, 100], [0, 0, 1]]), 200, 200, np.eye(4), pixel_mm=0.5)
    along_y = pose_error(camera, shifted(at_depth(), y=4), at_depth(), np.zeros((1, 3)))
    assert along_y.mpd_px == pytest.approx(5, abs=ROUNDING)  # pixels are 1 mm high
    assert along_y.mpd_mm == pytest.approx(5, abs=ROUNDING)


def test_the_geodesic_distance_adds_arc_and_shift_at_right_angles(camera):
    error = pose_error(camera, shifted(turned(at_depth(), 2, "x"), y=5), at_depth(), CUBE)
    assert error.dgeo_mm == pytest.approx(math.hypot(500 * math.radians(2), 5), abs=ROUNDING)


def test_a_pose_behind_the_source_has_infinite_projection_distance(camera):
    error = pose_error(camera, shifted(at_depth(), z=-900), at_depth(), CUBE)
    assert error.mpd_px == error.mpd_mm == math.inf
    # The ray starts at the source, so a point behind it is as far from the ray as from the source.
    assert error.mrpd_mm == pytest.approx(np.linalg.norm(CUBE - [0, 0, 100], axis=1).mean(), abs=ROUNDING)
    assert error.mtre_mm == pytest.approx(900, abs=ROUNDING)


def test_the_dictionary_holds_the_names_of_the_file_contract(camera):
    content = pose_error(camera, at_depth(), at_depth(), CUBE).as_dict()
    assert {"mtre_mm", "rotation_deg", "translation_mm", "mpd_mm"} <= set(content)
    assert all(type(value) in (float, bool, list) for value in content.values())
    assert [type(value) for value in content["translation_mm"]] == [float] * 3


@pytest.mark.parametrize(
    ("estimated", "reference", "targets", "words"),
    [
        (np.diag([2.0, 2, 2, 1]), at_depth(), CUBE, "estimated pose"),
        (at_depth(), np.linalg.inv(at_depth()), CUBE, "not its inverse"),
        (at_depth(), at_depth(), np.zeros((0, 3)), "targets"),
        (at_depth(), at_depth(), np.zeros(3), "targets"),
        (at_depth(), at_depth(), np.full((2, 3), np.nan), "targets"),
    ],
)
def test_unusable_input_is_told_in_one_line(camera, estimated, reference, targets, words):
    with pytest.raises(InputError, match=words) as told:
        pose_error(camera, estimated, reference, targets)
    assert "\n" not in str(told.value)
