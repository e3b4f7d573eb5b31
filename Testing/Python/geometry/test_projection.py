"""A view's geometry as editable numbers: cameras in, cameras out, and nothing assumed that is not said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection

POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_rotvec([0.3, -1.2, 0.5]).as_matrix()
POSE[:3, 3] = 12.0, -40.0, 900.0
MATRIX = np.array([[900.0, 4.0, 41.3], [0.0, 850.0, 52.8], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("pitch", [0.4, None])
def test_a_calibrated_camera_comes_back(pitch: float | None) -> None:
    camera = Camera(MATRIX, 97, 83, POSE, pitch)
    again = Projection.of_camera(camera, "calibration").camera()
    np.testing.assert_allclose(again.matrix, MATRIX, rtol=1e-14)
    np.testing.assert_allclose(again.camera_from_world, camera.camera_from_world, atol=1e-12)
    assert (again.width, again.height) == (97, 83)


def test_an_uncalibrated_distance_is_named_as_such() -> None:
    known = Projection.of_camera(Camera(MATRIX, 97, 83, POSE, 0.4), "calibration")
    unknown = Projection.of_camera(Camera(MATRIX, 97, 83, POSE), "calibration")
    assert known.sid_mm == pytest.approx(360.0)
    assert known.origins["SID"] == "calibration"
    assert (
        unknown.origins["SID"] == unknown.origins["pixel pitch"] == "assumed: calibration tells only SID / pixel pitch"
    )
    assert unknown.scale_is_open and not known.scale_is_open
    # The ratio is all that a registration needs.
    assert known.assumptions == unknown.assumptions == ()


@pytest.mark.parametrize("sid", [150.0, 1000.0, 1550.0])
def test_the_detector_of_a_camera_without_pitch_may_stand_anywhere(sid: float) -> None:
    unknown = Projection.of_camera(Camera(MATRIX, 97, 83, POSE), "calibration")
    moved = unknown.rescaled(sid, "assumed")
    assert moved.sid_mm == sid and moved.scale_is_open
    np.testing.assert_allclose(moved.camera().matrix, MATRIX, rtol=1e-14)
    np.testing.assert_allclose(np.array(moved.pixel_mm), sid / MATRIX[[0, 1], [0, 1]], rtol=1e-14)
    assert moved.origins["SID"] == moved.origins["pixel pitch"] == "assumed" and moved.assumptions == ()


def test_what_an_image_does_not_tell_is_assumed_until_somebody_enters_it() -> None:
    assumed = Projection.assumed(640, 480)
    assert assumed.assumptions == ("SID", "pixel pitch")
    entered = assumed.changed("entered by hand", sid_mm=1150.0)
    assert entered.assumptions == ("pixel pitch",)
    assert entered.origins["SID"] == "entered by hand"
    assert entered.changed("entered by hand", pixel_mm=(0.3, 0.3)).assumptions == ()
    assert assumed.sid_mm != 1150.0


def test_an_assumed_central_ray_meets_the_middle() -> None:
    camera = Projection.assumed(640, 480).camera()
    np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 700.0])), [319.5, 239.5])


def test_a_way_through_json_changes_nothing() -> None:
    projection = Projection.of_camera(Camera(MATRIX, 97, 83, POSE, 0.4), "calibration").changed(
        "DICOM", primary_deg=-30.0, secondary_deg=12.0, sod_mm=700.0, mirrored=True, quarter_turns=3
    )
    assert Projection.from_dict(json.loads(json.dumps(projection.as_dict()))) == projection


@pytest.mark.parametrize(
    "values", [{"sid_mm": 0.0}, {"sid_mm": float("nan")}, {"pixel_mm": (0.3, -0.3)}, {"pixel_mm": (float("inf"), 0.3)}]
)
def test_numbers_that_make_no_camera_are_named(values: dict) -> None:
    with pytest.raises(InputError, match=r"SID|pixel pitch"):
        Projection.assumed(640, 480).changed("entered by hand", **values).camera()


MARKED = np.zeros((83, 97))
MARKED[20, 61] = 1.0


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_go_where_turning_and_mirroring_the_image_takes_them(turns: int, mirrored: bool) -> None:
    upright = np.rot90(MARKED, turns)[:, ::-1] if mirrored else np.rot90(MARKED, turns)
    projection = Projection.assumed(97, 83).oriented(turns, mirrored, "test")
    assert projection.size == upright.shape[::-1]
    (row,), (column,) = np.nonzero(upright)
    np.testing.assert_array_equal(projection.upright_pixels((61.0, 20.0)), (column, row))
    np.testing.assert_array_equal(projection.stored_pixels((column, row)), (61.0, 20.0))
    several = np.random.default_rng(0).uniform(0, 80, (4, 5, 2))
    np.testing.assert_allclose(projection.stored_pixels(projection.upright_pixels(several)), several, atol=1e-12)


@pytest.mark.parametrize("first", [(0, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("second", [(0, True), (1, False), (3, True)])
def test_orienting_twice_is_orienting_once(first: tuple[int, bool], second: tuple[int, bool]) -> None:
    start = Projection.assumed(97, 83).changed("test", principal_px=(40.0, 30.0), pixel_mm=(0.3, 0.4))
    once, twice = start.oriented(*second, "test"), start.oriented(*first, "test").oriented(*second, "test")
    assert (once.size, once.pixel_mm) == (twice.size, twice.pixel_mm)
    np.testing.assert_allclose(once.principal_px, twice.principal_px, atol=1e-12)
    assert (once.quarter_turns, once.mirrored) == second


def test_only_what_was_changed_gets_another_origin() -> None:
    start = Projection.assumed(97, 83)
    assert start.oriented(0, True, "seen").origins == {**start.origins, "mirrored": "seen"}
    assert start.oriented(2, False, "seen").origins == {**start.origins, "quarter_turns": "seen"}


def test_a_skewed_camera_is_mirrored_but_never_turned() -> None:
    skewed = Projection.of_camera(Camera(MATRIX, 97, 83, POSE, 0.4), "calibration")
    mirrored = skewed.oriented(0, True, "test").camera()
    np.testing.assert_allclose(mirrored.matrix, skewed.camera().mirrored_columns().matrix, rtol=1e-14)
    with pytest.raises(InputError, match="skew"):
        skewed.oriented(1, False, "test")
