"""The C-arm's angles as a camera pose, on points whose place in the image can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry.carm import beam_axes, camera_from_carm

SOD = 700.0
RIGHT, ANTERIOR, HEAD = np.eye(3)
LEFT, POSTERIOR, FEET = -np.eye(3)
EXACT = 1e-12  # a few roundings of numbers of order one


@pytest.mark.parametrize(
    ("primary", "secondary", "column_towards", "row_towards", "detector_towards"),
    [
        (0, 0, RIGHT, FEET, ANTERIOR),
        (180, 0, LEFT, FEET, POSTERIOR),
        (90, 0, ANTERIOR, FEET, LEFT),
        (-90, 0, POSTERIOR, FEET, RIGHT),
        (0, 90, RIGHT, ANTERIOR, HEAD),
        (0, -90, RIGHT, POSTERIOR, FEET),
    ],
    ids=["PA", "AP", "left lateral", "right lateral", "cranial", "caudal"],
)
def test_image_axes_point_where_an_eye_at_the_source_sees_the_patient(
    primary, secondary, column_towards, row_towards, detector_towards
):
    axes = beam_axes(primary, secondary)
    np.testing.assert_allclose(axes, [column_towards, row_towards, detector_towards], atol=EXACT)


@pytest.mark.parametrize("primary", [-180.0, -75.0, 0.0, 30.0, 90.0, 180.0])
@pytest.mark.parametrize("secondary", [-90.0, -25.0, 0.0, 40.0, 90.0])
def test_every_angulation_is_right_handed_and_keeps_the_isocentre_on_the_central_ray(primary, secondary):
    isocentre = np.array([12.0, -340.0, 871.5])
    pose = camera_from_carm(primary, secondary, SOD, isocentre)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=EXACT)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    # 1e-9 mm: roundings of numbers near 1000.
    np.testing.assert_allclose(pose @ [*isocentre, 1.0], [0, 0, SOD, 1], atol=1e-9)


def test_lao_moves_the_detector_to_the_left_and_cran_to_the_head():
    lao, cran = beam_axes(30.0, 0.0)[2], beam_axes(0.0, 20.0)[2]
    np.testing.assert_allclose(lao, [-0.5, np.sqrt(0.75), 0.0], atol=EXACT)
    np.testing.assert_allclose(cran, [0.0, np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))], atol=EXACT)


def test_the_image_up_is_the_way_the_beam_moves_with_the_secondary_angle():
    # Central difference with step 1e-4 degrees: truncation is of order step^2, rounding eps / step.
    step = 1e-4
    moved = (beam_axes(35.0, 15.0 + step)[2] - beam_axes(35.0, 15.0 - step)[2]) / np.deg2rad(2 * step)
    np.testing.assert_allclose(-beam_axes(35.0, 15.0)[1], moved, atol=1e-8)


@pytest.mark.parametrize("distance", [0.0, -5.0, np.nan, np.inf])
def test_a_distance_that_is_none_is_refused(distance):
    with pytest.raises(InputError, match="source-to-isocentre distance: expected millimetres above 0"):
        camera_from_carm(0, 0, distance, np.zeros(3))


def test_angles_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="C-arm angles"):
        camera_from_carm(np.nan, 0, SOD, np.zeros(3))
