"""A rig's own calibration file gives the camera that its case gives."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.io import parse_case, read_mayacam

TEXT = """image size
60,40

camera matrix
2000,0.5,29.5
0,1990,19.5
0,0,1

rotation
0,-1,0
1,0,0
0,0,1

translation
5
-3
900
"""


def test_every_number_finds_its_place(tmp_path):
    (tmp_path / "rig.txt").write_text(TEXT)
    camera = read_mayacam(tmp_path / "rig.txt")
    assert (camera.width, camera.height) == (60, 40)
    np.testing.assert_array_equal(camera.matrix, [[2000, 0.5, 29.5], [0, 1990, 19.5], [0, 0, 1]])
    np.testing.assert_array_equal(
        camera.camera_from_world, [[0, -1, 0, 5], [1, 0, 0, -3], [0, 0, 1, 900], [0, 0, 0, 1]]
    )


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_endings_and_capitals_do_not_matter(tmp_path, ending):
    text = TEXT.replace("camera matrix", "Camera Matrix ").replace("\n", ending)
    (tmp_path / "rig.txt").write_bytes(text.encode())
    assert read_mayacam(tmp_path / "rig.txt").matrix[1, 1] == 1990


@pytest.mark.parametrize("camera", ["cam01", "cam02"])
def test_the_wrist_rig_agrees_with_its_case(shared_data, camera):
    views = parse_case(shared_data("wrist", "case.json")).views
    (expected,) = [view.camera for view in views if view.image.stem == camera]
    found = read_mayacam(shared_data("wrist", f"{camera}_calibration.txt"))
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    # Both hold the same twelve digits.
    np.testing.assert_allclose(found.camera_from_world, expected.camera_from_world, rtol=0, atol=1e-9)
    assert (found.width, found.height) == (expected.width, expected.height)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rotation\n", "turning\n", '"rotation" followed by 3 rows of numbers'),
        ("0,1990,19.5", "0,1990", '3 x 3 numbers below "camera matrix"'),
        ("-3\n900\n", "", '3 x 1 numbers below "translation"'),
        ("60,40", "sixty,40", '"image size" followed by 1 rows of numbers'),
        ("1,0,0\n0,0,1\n\ntranslation", "1,0,0\n0,0,-1\n\ntranslation", "expected a rotation"),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, old, new, words):
    assert old in TEXT
    (tmp_path / "rig.txt").write_text(TEXT.replace(old, new))
    with pytest.raises(InputError, match=words):
        read_mayacam(tmp_path / "rig.txt")


def test_a_missing_or_binary_calibration_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"calibration: expected an existing file"):
        read_mayacam(tmp_path / "rig.txt")
    (tmp_path / "rig.txt").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(InputError, match=r"expected text"):
        read_mayacam(tmp_path / "rig.txt")
