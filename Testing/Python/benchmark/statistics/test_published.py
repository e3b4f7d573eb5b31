"""The metrics of other systems, against what their authors printed and what geometry says of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.benchmark.statistics import FAR_LEVER, LEGACY, cube_corners, diffpose_mtre, far_lever_mtre, xvr_mtre
from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.metrics import pose_error

ROUNDING = 1e-9
CUBE = cube_corners(np.zeros(3), 100.0)
AXIS = np.array([0.0, 0.0, 1.0])


def pose(degrees: float = 0.0, axis: str = "y", shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """The volume's origin 800 mm before the source, turned about it and shifted."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    matrix[:3, 3] = np.add((0, 0, 800.0), shift)
    return matrix


def mtre(estimated: np.ndarray, reference: np.ndarray, points: np.ndarray = CUBE) -> float:
    return pose_error(Camera.from_sid(1000.0, 0.5, 401, 401), estimated, reference, points).mtre_mm


def test_without_a_lever_the_far_metric_is_the_plain_one():
    assert far_lever_mtre(pose(7, "x", (1, 2, 3)), pose(), CUBE, AXIS, 0.0) == pytest.approx(
        mtre(pose(7, "x", (1, 2, 3)), pose()), abs=ROUNDING
    )


def test_a_shift_is_as_long_at_the_end_of_the_lever():
    assert far_lever_mtre(pose(shift=(3, 0, 4)), pose(), CUBE, AXIS, 520.0) == pytest.approx(5.0, abs=ROUNDING)


def test_a_turn_out_of_the_plane_swings_the_end_of_the_lever_and_one_in_the_plane_does_not():
    centre = np.zeros((1, 3))
    swung = far_lever_mtre(pose(2, "y"), pose(), centre, AXIS, 520.0)
    assert swung == pytest.approx(2 * 520 * math.sin(math.radians(1)), abs=ROUNDING)
    assert far_lever_mtre(pose(2, "z"), pose(), centre, AXIS, 520.0) == pytest.approx(0, abs=ROUNDING)


def test_ten_millimetres_by_the_far_metric_are_about_one_degree():
    assert far_lever_mtre(pose(1.1, "y"), pose(), CUBE, AXIS, 520.0) == pytest.approx(10, abs=0.5)


def test_the_lever_keeps_its_length_whatever_the_length_of_the_axis():
    long, short = (far_lever_mtre(pose(5, "x"), pose(), CUBE, AXIS * n, 520.0) for n in (7.0, 0.1))
    assert long == pytest.approx(short, abs=ROUNDING)


def test_one_degree_reads_fourteen_millimetres_by_the_formula_of_xvr_and_under_two_in_truth():
    """The example of the frame error: 800 mm from the source, landmarks 100 mm from the isocentre."""
    ball = Rotation.random(400, random_state=3).apply([100.0, 0, 0])
    assert xvr_mtre(pose(1, "y"), pose(), ball, np.zeros(3)) == pytest.approx(14.1, abs=0.15)
    assert mtre(pose(1, "y"), pose(), ball) < 1.8


def test_a_turn_about_the_source_is_hidden_by_the_formula_of_xvr():
    swing = np.eye(4)
    swing[:3, :3] = Rotation.from_euler("y", 1, degrees=True).as_matrix()
    ball = Rotation.random(400, random_state=3).apply([100.0, 0, 0])
    assert xvr_mtre(swing @ pose(), pose(), ball, np.zeros(3)) == pytest.approx(1.35, abs=0.05)
    assert mtre(swing @ pose(), pose(), ball) == pytest.approx(13.9, abs=0.2)


def test_the_formula_of_xvr_does_not_depend_on_where_the_volume_has_its_origin():
    moved = np.eye(4)
    moved[:3, 3] = (-200, 150, 90)
    here = xvr_mtre(pose(3, "x", (1, 2, 3)), pose(), CUBE, np.zeros(3))
    there = xvr_mtre(pose(3, "x", (1, 2, 3)) @ moved, pose() @ moved, CUBE - moved[:3, 3], -moved[:3, 3])
    assert there == pytest.approx(here, abs=1e-6)


def test_the_formula_of_diffpose_is_a_fifth_of_the_distance():
    assert diffpose_mtre(10.0) == pytest.approx(1.94)
    assert 10.0 / diffpose_mtre(10.0) == pytest.approx(5.15, abs=0.01)


def test_the_labels_say_what_they_are_not_for():
    assert "only" in FAR_LEVER and "do not interpret" in LEGACY


@pytest.mark.parametrize("bad", [np.diag([2.0, 2, 2, 1]), np.full((4, 4), np.nan)])
def test_a_pose_that_is_none_is_told(bad):
    with pytest.raises(InputError, match="pose"):
        far_lever_mtre(bad, pose(), CUBE, AXIS, 520.0)
    with pytest.raises(InputError, match="pose"):
        xvr_mtre(pose(), bad, CUBE, np.zeros(3))
