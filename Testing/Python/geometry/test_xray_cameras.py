"""Cameras of real machines pass, however unusual; other units for one of their numbers do not."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, camera_doubts, require_xray_camera
from xrayreg.geometry.xray_cameras import field_deg

# SID [mm], pixel pitch [mm], width, height of machines there are.
MACHINES = {
    "C-arm": (1000.0, 0.2, 1536, 1536),
    "C-arm, binned": (1020.0, 1.55, 256, 256),
    "chest stand": (1800.0, 0.139, 3000, 3000),
    "long leg film": (2500.0, 0.2, 2000, 6000),
    "mini C-arm": (360.0, 0.1, 1500, 1500),
    "dental tube": (220.0, 0.02, 1500, 2000),
    "dental CBCT": (650.0, 0.2, 1000, 1000),
    "mammography": (650.0, 0.07, 3300, 4100),
    "portal imager": (1500.0, 0.78125, 512, 512),
    "biplane rig": (1200.0, 0.19, 1760, 1760),
    "bench micro-CT": (270.0, 0.05, 1280, 1024),
    "industrial CT": (1500.0, 0.2, 2000, 2000),
    "a small piece of an image": (1200.0, 0.2, 40, 30),
}


def camera(sid: float, pixel: float, width: int, height: int, **changes) -> Camera:
    made = Camera.from_sid(sid, pixel, width, height)
    values = {"matrix": made.matrix, "width": width, "height": height, "pixel_mm": pixel, **changes}
    return Camera(camera_from_world=np.eye(4), **values)


@pytest.mark.parametrize("numbers", MACHINES.values(), ids=MACHINES)
def test_machines_that_there_are_pass_without_a_doubt(numbers):
    given = camera(*numbers)
    assert require_xray_camera(given, "camera") is given
    assert camera_doubts(given) == ()


def test_any_quarter_of_an_image_passes():
    whole = camera(1000.0, 0.2, 1536, 1536)
    for left in (0, 768):
        for top in (0, 768):
            assert camera_doubts(require_xray_camera(whole.cropped(left, top, 768, 768), "camera")) == ()


def test_the_field_is_the_angle_between_the_image_borders():
    # A square of twice the distance spans a right angle.
    assert field_deg(Camera.from_sid(100.0, 1.0, 200, 10)) == pytest.approx(90.0)
    assert field_deg(Camera.from_sid(100.0, 1.0, 10, 200)) == pytest.approx(90.0)


def focal(value: float) -> np.ndarray:
    return np.array([[value, 0.0, 511.5], [0.0, value, 511.5], [0.0, 0.0, 1.0]])


C_ARM = (1000.0, 0.3, 1024, 1024)
WRONG = {
    "SID in metres": (camera(1.0, 0.3, 1024, 1024), "sees 0.25 to 120 degrees"),
    "SID in metres, as its product": (camera(*C_ARM, pixel_mm=0.3e-3), "100 to 10000 mm from the detector, found 1 mm"),
    "pitch of a nanometre": (camera(*C_ARM, pixel_mm=1e-9), "pixel_mm: expected a source"),
    "pitch in micrometres as tens": (camera(*C_ARM, pixel_mm=50.0), "pixel_mm: expected a source"),
    "focal length of a million": (camera(*C_ARM, matrix=focal(1e6), pixel_mm=None), "found 0.0587 degrees"),
    "focal length of ten": (camera(*C_ARM, matrix=focal(10.0), pixel_mm=None), "found 178 degrees"),
    "principal point in micrometres": (
        camera(*C_ARM, matrix=np.array([[3333.0, 0, 511500.0], [0, 3333.0, 511500.0], [0, 0, 1]])),
        "matrix: expected a camera that sees",
    ),
    "one focal length in millimetres": (
        camera(*C_ARM, matrix=np.array([[3333.0, 0, 511.5], [0, 1000.0, 511.5], [0, 0, 1]])),
        "nearly square pixels",
    ),
    "skew": (camera(*C_ARM, matrix=np.array([[3333.0, 900, 511.5], [0, 3333.0, 511.5], [0, 0, 1]])), "hardly any skew"),
    "size in micrometres": (camera(1000.0, 0.003, 307200, 307200), "at most 65535 pixels"),
    "size beyond memory": (camera(1000.0, 0.01, 60000, 60000), "in all, found 60000 x 60000"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_other_units_are_refused_by_name(given, words):
    with pytest.raises(InputError, match=f"^view 1: .*{words}"):
        require_xray_camera(given, "view 1")


DOUBTED = {
    "focal length in millimetres": (
        camera(*C_ARM, matrix=focal(1000.0), pixel_mm=None),
        "in pixels, not in millimetres",
    ),
    "pitch in centimetres": (camera(*C_ARM, pixel_mm=0.045), "check that the pitch is in millimetres"),
    "pitch at the patient's eyes": (camera(*C_ARM, pixel_mm=2.0), "check that the pitch is in millimetres"),
    "far off the central ray": (
        camera(*C_ARM, matrix=np.array([[3333.0, 0, 4000.0], [0, 3333.0, 511.5], [0, 0, 1]])),
        "degrees beside the image's middle",
    ),
}


@pytest.mark.parametrize(("given", "words"), DOUBTED.values(), ids=DOUBTED)
def test_numbers_that_no_usual_machine_has_are_doubted(given, words):
    (doubt,) = camera_doubts(require_xray_camera(given, "camera"))
    assert words in doubt
