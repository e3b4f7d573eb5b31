"""A camera's image may be cut, reduced or mirrored: points project to the pixels that show them."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera

MATRIX = np.array([[900.0, 4.0, 41.3], [0.0, 850.0, 52.8], [0.0, 0.0, 1.0]])
CAMERA = Camera(MATRIX, 97, 83, np.eye(4), pixel_mm=0.4)
POINTS = np.random.default_rng(0).uniform([-30, -30, 600], [30, 30, 1100], size=(20, 3))


def changed(row: int, column: int, value: float) -> np.ndarray:
    matrix = MATRIX.copy()
    matrix[row, column] = value
    return matrix


def test_projection_is_the_pinhole_formula() -> None:
    x, y, z = POINTS.T
    expected = np.stack([(900 * x + 4 * y) / z + 41.3, 850 * y / z + 52.8], -1)
    np.testing.assert_allclose(CAMERA.project(POINTS), expected, atol=1e-11)  # double precision on 100 pixels


def test_points_behind_the_source_have_no_pixel() -> None:
    found = CAMERA.project(np.array([[0.0, 0.0, 500.0], [1.0, 2.0, 0.0], [1.0, 2.0, -500.0]]))
    assert np.isfinite(found[0]).all() and np.isnan(found[1:]).all()


def test_any_leading_axes_are_kept() -> None:
    assert CAMERA.project(POINTS.reshape(4, 5, 3)).shape == (4, 5, 2)
    assert CAMERA.project(POINTS[0]).shape == (2,)


def test_cropping_shifts_pixels() -> None:
    part = CAMERA.cropped(11, 7, 40, 30)
    np.testing.assert_allclose(part.project(POINTS), CAMERA.project(POINTS) - [11, 7], atol=1e-11)
    assert (part.width, part.height) == (40, 30)


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_reducing_maps_pixel_edges_to_pixel_edges(factor) -> None:
    small = CAMERA.resized(factor)
    # The image's top left corner is (-0.5, -0.5) at every size.
    np.testing.assert_allclose(small.project(POINTS) + 0.5, (CAMERA.project(POINTS) + 0.5) / factor, atol=1e-11)
    assert (small.width, small.height) == (97 // factor, 83 // factor)
    assert small.sid_mm == pytest.approx(CAMERA.sid_mm)


def test_reducing_twice_is_reducing_once_by_the_product() -> None:
    np.testing.assert_allclose(CAMERA.resized(2).resized(3).matrix, CAMERA.resized(6).matrix, atol=1e-12)


def test_mirrored_camera_shows_the_mirrored_point_in_the_mirrored_column() -> None:
    found = CAMERA.mirrored_columns().project(POINTS * [-1, 1, 1])
    expected = CAMERA.project(POINTS)
    expected[:, 0] = CAMERA.width - 1 - expected[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_mirroring_twice_is_nothing() -> None:
    np.testing.assert_allclose(CAMERA.mirrored_columns().mirrored_columns().matrix, MATRIX, atol=1e-12)


def test_camera_of_a_given_distance_sees_along_the_middle() -> None:
    camera = Camera.from_sid(1020.0, 1.55, 256, 200)
    np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 700.0])), [127.5, 99.5])
    # 15.5 mm on the detector are ten pixels.
    np.testing.assert_allclose(camera.project(np.array([15.5, 0.0, 1020.0])), [137.5, 99.5])
    assert camera.sid_mm == pytest.approx(1020.0)
    assert camera.focal_px == pytest.approx(1020 / 1.55)


def test_distance_is_unknown_without_the_pixel_pitch() -> None:
    assert Camera(MATRIX, 97, 83, np.eye(4)).sid_mm is None


def test_pose_of_few_digits_is_made_exactly_rigid() -> None:
    pose = np.eye(4)
    pose[:2, :2] = [[0.866, -0.5], [0.5, 0.866]]
    rotation = Camera(MATRIX, 97, 83, pose).camera_from_world[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (changed(0, 0, -900.0), "expected positive focal lengths in pixels, found fx = -900, fy = 850; express a mirr"),
        (changed(1, 1, 0.0), "camera matrix: expected an invertible"),
        (changed(2, 2, 2.0), r"expected the form \[\[fx, s, u0\]"),
        (changed(1, 0, 5.0), r"expected the form \[\[fx, s, u0\]"),
        (np.eye(4), "camera matrix: expected 3 x 3 numbers, found 4 x 4"),
        (changed(0, 2, np.nan), "camera matrix: expected finite numbers"),
        ("K", "something that is not a table of numbers"),
    ],
)
def test_unusable_matrices_are_refused(matrix, words) -> None:
    with pytest.raises(InputError, match=words):
        Camera(matrix, 97, 83, np.eye(4))


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_empty_image_is_refused(width, height) -> None:
    with pytest.raises(
        InputError, match=f"camera size: expected at least one pixel each way, found {width} x {height}"
    ):
        Camera(MATRIX, width, height, np.eye(4))


@pytest.mark.parametrize("pitch", [0.0, -1.0, np.nan, 1000.0])
def test_impossible_pixel_pitch_is_refused(pitch) -> None:
    with pytest.raises(InputError, match="pixel pitch: expected millimetres above 0"):
        Camera(MATRIX, 97, 83, np.eye(4), pitch)


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        (np.diag([-1.0, 1.0, 1.0, 1.0]), "found a reflection .* flip the image instead of the pose"),
        (np.diag([1.0, 1.0, 1.1, 1.0]), "expected a rotation .* remove scaling and shear"),
        (np.eye(4) + np.eye(4)[[3]].T * 0.1, "camera_from_world: expected last row 0 0 0 1"),
        (np.eye(3), "camera_from_world: expected 4 x 4 numbers, found 3 x 3"),
    ],
)
def test_poses_that_are_not_rigid_are_refused(pose, words) -> None:
    with pytest.raises(InputError, match=words):
        Camera(MATRIX, 97, 83, pose)


@pytest.mark.parametrize(("sid", "pixel", "what"), [(0.0, 1.0, "SID"), (np.inf, 1.0, "SID"), (1000.0, -1.0, "pixel")])
def test_impossible_distances_are_refused(sid, pixel, what) -> None:
    with pytest.raises(InputError, match=f"{what}.*expected millimetres above 0"):
        Camera.from_sid(sid, pixel, 10, 10)


def test_scaling_keeps_what_each_part_of_the_picture_shows() -> None:
    # Pixel borders, not centres, stay where they are: the corner at -1/2 is that of both grids.
    pixels, other = CAMERA.project(POINTS), CAMERA.scaled(31, 200).project(POINTS)
    np.testing.assert_allclose((other + 0.5) / [31, 200], (pixels + 0.5) / [97, 83], atol=1e-12)


def test_scaling_by_a_whole_number_is_reducing() -> None:
    camera = CAMERA.cropped(0, 0, 96, 80)
    reduced, scaled = camera.resized(4), camera.scaled(24, 20)
    np.testing.assert_allclose(reduced.matrix, scaled.matrix, rtol=1e-15)
    assert reduced.pixel_mm == pytest.approx(scaled.pixel_mm)
    # The distance to the detector is not changed by its pixels.
    assert scaled.sid_mm == pytest.approx(CAMERA.sid_mm)


@pytest.mark.parametrize(("longest", "size"), [(194, (194, 166)), (10, (10, 9)), (1, (1, 1))])
def test_fitting_sets_the_longer_side(longest: int, size: tuple[int, int]) -> None:
    fitted = CAMERA.fitted(longest)
    assert (fitted.width, fitted.height) == size
