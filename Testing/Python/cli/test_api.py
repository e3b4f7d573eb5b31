"""`xrayreg.register` and `xrayreg.register_case`: a registration in a few lines of Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xrayreg
from xrayreg.checks import InputError
from xrayreg.geometry import Camera


@pytest.fixture(scope="module")
def files(ward):
    return ward.folder / "ct.mha", ward.folder / "front.tif"


@pytest.fixture(scope="module")
def numbers(ward):
    initial = np.array(ward.content["initial"]["world_from_volume"])
    return {"sid_mm": 1000.0, "pixel_mm": 3.0, "intensity": "transmission", "initial": initial, "init": "case"}


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def result(files, numbers, steps):
    return xrayreg.register(*map(str, files), **numbers, on_step=steps.append)


def test_the_pose_is_found_and_judged(result, ward):
    assert isinstance(result, xrayreg.Registration)
    reference = np.array(ward.content["reference"]["world_from_volume"])
    centre = np.append(np.array(ward.origin) + 2.5 * (np.array(ward.values.shape[::-1]) - 1), 1.0)
    found, true = (pose @ centre for pose in (result.world_from_volume, reference))
    # Voxels are 5 mm, pixels 2 mm at the patient, and depth is the weakest direction.
    assert np.linalg.norm((found - true)[:2]) < 0.5 and np.linalg.norm(found - true) < 2.0
    assert result.verdict.accepted and 0 < result.expected_error_mm < 2.0


def test_the_pose_is_that_of_the_camera_that_took_the_xray(result, ward):
    (view,) = result.views
    np.testing.assert_array_equal(view.camera_from_volume, result.world_from_volume)
    camera = Camera.from_sid(1000.0, 3.0, 112, 112)
    # The middle of the patient, RAS, appears in the middle of the X-ray, where the C-arm was aimed.
    centre = np.array(ward.origin) + 2.5 * (np.array(ward.values.shape[::-1]) - 1)
    pixel = camera.project(view.camera_from_volume[:3, :3] @ centre + view.camera_from_volume[:3, 3])
    np.testing.assert_allclose(pixel, [55.5, 55.5], atol=1.0)


def test_steps_lead_to_the_result(result, steps):
    assert len(steps) > 3 and all(isinstance(step, xrayreg.Step) for step in steps)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert (steps[-1].stage, steps[-1].message) == ("done", result.verdict.reason)
    np.testing.assert_array_equal(steps[-1].camera_from_volume, result.views[0].camera_from_volume)


def test_a_case_file_goes_the_same_way(result, one_view, write_case):
    again = xrayreg.register_case(write_case(one_view), init="case")
    # Threads add up in another order each time.
    np.testing.assert_allclose(again.world_from_volume, result.world_from_volume, atol=1e-3)
    assert again.verdict.accepted


def test_an_error_in_the_callback_ends_the_registration(files, numbers):
    class Enough(Exception):
        pass

    seen = []

    def stop(step):
        seen.append(step)
        if step.camera_from_volume is not None:
            raise Enough

    with pytest.raises(Enough):
        xrayreg.register(*files, **numbers, on_step=stop)
    assert sum(step.camera_from_volume is not None for step in seen) == 1


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"effort": "great"}, "effort"),
        ({"engine": "steam"}, "engine"),
        ({"device": "toaster"}, "device"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"init": "somewhere"}, "init"),
        ({"init": Path("none.pt")}, "init"),
        ({"similarity": "none.pt"}, "similarity"),
        ({"intensity": "bright"}, "intensity"),
        ({"structures": [1]}, "structures"),
        ({"initial": np.eye(3)}, "initial"),
        ({"sid_mm": None}, "sid_mm"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(files, numbers, given, word):
    with pytest.raises(xrayreg.InputError, match=word) as caught:
        xrayreg.register(*files, **{**numbers, **given})
    assert "\n" not in str(caught.value) and isinstance(caught.value, InputError)


def test_only_what_is_offered_is_there():
    assert {"register", "register_case", "InputError", "__version__"} <= set(dir(xrayreg))
    with pytest.raises(AttributeError, match="nothing"):
        _ = xrayreg.nothing


def test_importing_the_package_loads_no_library():
    # 0.2 s is promised; numpy takes half of that, torch ten times as much.
    code = (
        "import sys, xrayreg; "
        "sys.exit(not {'numpy', 'torch', 'numba', 'scipy', 'SimpleITK', 'pydicom'}.isdisjoint(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(xrayreg.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
