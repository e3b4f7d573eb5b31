"""What is offered for an image of another size leads to the same projections: that is all a camera is for."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import read_mayacam
from xrayreg.scene import Radiograph
from xrayreg.scene.size_remedy import size_remedy

MATRIX = np.array([[1300.0, 2.5, 137.25], [0.0, 1290.0, 88.5], [0.0, 0.0, 1.0]])
POINTS = np.random.default_rng(5).uniform([-60, -40, 500], [60, 40, 900], size=(30, 3))
sides = st.integers(40, 400)


def camera(width: int = 300, height: int = 200, pixel_mm: float | None = 0.4) -> Camera:
    return Camera(MATRIX, width, height, np.eye(4), pixel_mm)


def offered(text: str) -> dict:
    """The numbers that a remedy writes out for a resampled image, as JSON."""
    entries = {
        name: json.loads(value)
        for name, value in re.findall(r'"(matrix|size|pixel_mm)": (\[\[.*?\]\]|\[[^\[]*?\]|[0-9.e+-]+)', text)
    }
    assert set(entries) >= {"matrix", "size"}
    return entries


@given(width=sides, height=sides, factor=st.integers(2, 8))
def test_the_numbers_for_averaged_blocks_project_to_the_same_places(width, height, factor):
    assume(min(width, height) // factor >= 10)
    # A remainder of pixels is cut off at the right and bottom, as averaging does.
    told = offered(size_remedy(camera(width, height), width // factor, height // factor))
    small = Camera(np.array(told["matrix"]), *told["size"], np.eye(4), told["pixel_mm"])
    # The corner of the top-left pixel is at -1/2 in both. Ten digits of 1000 pixels.
    found, expected = small.project(POINTS) + 0.5, (camera(width, height).project(POINTS) + 0.5) / factor
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert small.sid_mm == pytest.approx(camera().sid_mm, rel=1e-8)


@given(width=sides, height=sides, scale=st.floats(1.1, 5.0))
def test_the_numbers_for_an_enlarged_image_project_to_the_same_places(width, height, scale):
    size = (round(width * scale), round(height * scale))
    told = offered(size_remedy(camera(width, height), *size))
    large = Camera(np.array(told["matrix"]), *told["size"], np.eye(4), told["pixel_mm"])
    ratio = np.array(size) / [width, height]
    np.testing.assert_allclose((large.project(POINTS) + 0.5) / ratio, camera().project(POINTS) + 0.5, atol=1e-6)


@given(left=st.integers(0, 40), top=st.integers(0, 40), right=st.integers(1, 40), bottom=st.integers(0, 40))
def test_what_is_told_of_cropping_projects_to_the_same_places(left, top, right, bottom):
    width, height = 300 - left - right, 200 - top - bottom
    text = size_remedy(camera(), width, height)
    column = float(re.search(r"matrix\[0\]\[2\] = ([0-9.]+) - columns cut off at the left", text)[1]) - left
    row = float(re.search(r"matrix\[1\]\[2\] = ([0-9.]+) - rows cut off at the top", text)[1]) - top
    matrix = MATRIX.copy()
    matrix[:2, 2] = column, row
    part = Camera(matrix, width, height, np.eye(4))
    np.testing.assert_allclose(part.project(POINTS), camera().project(POINTS) - [left, top], atol=1e-9)
    assert f'"size": [{width}, {height}]' in text


@given(width=sides, height=sides)
def test_the_size_is_never_offered_alone(width, height):
    assume((width, height) not in ((300, 200), (200, 300)))
    text = size_remedy(camera(), width, height)
    assert text.startswith("the size alone is not all that changes")
    assert "principal point" in text or "calibrate it again" in text


def test_exchanged_sides_and_margins_are_recognised():
    assert "[width, height]" in size_remedy(camera(), 200, 300)
    assert "137.25 + columns added at the left" in size_remedy(camera(), 320, 260)
    assert "calibrate it again" in size_remedy(camera(), 280, 260)


def test_the_pitch_is_offered_only_where_there_is_one():
    assert "pixel_mm" not in offered(size_remedy(camera(pixel_mm=None), 150, 100))
    assert offered(size_remedy(camera(), 150, 100))["pixel_mm"] == 0.8


def view(given: Camera, width: int, height: int) -> Radiograph:
    image = np.zeros((height, width), np.float32)
    return Radiograph(image, image, image > -1, given)


def test_following_what_is_told_the_image_is_taken_also_in_a_calibration_file(tmp_path):
    text = """image size
300,200

camera matrix
1300,2.5,137.25
0,1290,88.5
0,0,1

rotation
1,0,0
0,1,0
0,0,1

translation
0
0
0
"""
    (tmp_path / "rig.txt").write_text(text)
    with pytest.raises(InputError, match="calibration file") as caught:
        view(read_mayacam(tmp_path / "rig.txt"), 150, 100)
    told = offered(str(caught.value))
    rows = "\n".join(",".join(map(str, row)) for row in told["matrix"])
    corrected = text.replace("1300,2.5,137.25\n0,1290,88.5\n0,0,1", rows, 1).replace("300,200", "150,100")
    (tmp_path / "rig.txt").write_text(corrected)
    found = view(read_mayacam(tmp_path / "rig.txt"), 150, 100).camera
    np.testing.assert_allclose(2 * (found.project(POINTS) + 0.5), camera().project(POINTS) + 0.5, atol=1e-6)
