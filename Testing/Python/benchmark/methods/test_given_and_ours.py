"""Starts as methods, and this program's own ways under the same interface."""

from __future__ import annotations

import numpy as np
import pytest
from constant_networks import card_for, saying, written
from method_scenes import error_mm, run, small_scene
from pelvis_scenes import SID_MM, nearby, pelvis, registered, truth

from xrayreg.benchmark.methods import METHODS, MethodContext
from xrayreg.checks import InputError
from xrayreg.geometry import camera_from_carm
from xrayreg.registration.pipeline import estimate
from xrayreg.registration.results import Step
from xrayreg.settings import registration_settings


def told(name: str, scene, **options):
    """The steps and the outcome of a method."""
    steps: list[Step] = []
    return steps, METHODS[name].run(scene, MethodContext(options=options), steps.append)


def test_the_initial_pose_comes_back_as_it_is():
    lateral = small_scene(("lateral",))
    found = run("initial", lateral)
    np.testing.assert_array_equal(found.camera_from_volume, lateral.views[0].camera.camera_from_world @ lateral.initial)
    assert found.renders == 0 and np.isnan(found.similarity) and found.trace == ()


@pytest.mark.parametrize(("view", "facing"), [("pa", 1.0), ("ap", -1.0)])
def test_the_fixed_pose_faces_the_patient_at_a_share_of_the_distance(view, facing):
    pose = run("fixed", small_scene(initial=None), view=view).camera_from_volume
    centre = pose @ np.append(pelvis().grid.centre, 1.0)
    np.testing.assert_allclose(centre[:3], [0, 0, 0.85 * SID_MM], atol=1e-6)
    assert pose[2, 1] == pytest.approx(facing)
    assert (run("fixed", small_scene(), depth_share=0.5).camera_from_volume[:3, 3] != pose[:3, 3]).any()
    for wrong in ({"view": "top"}, {"depth_share": 1.5}):
        with pytest.raises(InputError):
            run("fixed", small_scene(), **wrong)


def test_the_angles_of_the_header_place_the_arm():
    found = run("dicom", small_scene(), angles=(15.0, -10.0, 720.0))
    np.testing.assert_allclose(
        found.camera_from_volume, camera_from_carm(15.0, -10.0, 720.0, pelvis().grid.centre), atol=1e-9
    )
    for wrong in ((1.0, 2.0), (0.0, 0.0, -5.0)):
        with pytest.raises(InputError):
            run("dicom", small_scene(), angles=wrong)


def test_landmarks_give_the_pose_that_shows_them():
    given = small_scene(("frontal", "lateral"))
    points = np.array([[88, 0, 0], [-88, 0, 0], [0, 45, -25], [0, -60, 90], [120, 30, 80], [-120, 30, 80.0]])
    pixels = []
    for view in given.views:
        pose = view.camera.camera_from_world @ truth()
        pixels.append(view.camera.project(points @ pose[:3, :3].T + pose[:3, 3]))
    found = run("landmarks", given, landmarks={"points": points.tolist(), "pixels": pixels})
    assert error_mm(given, found.camera_from_volume) < 1e-4 and found.accepted
    with pytest.raises(InputError, match="pixels"):
        run("landmarks", given, landmarks={"points": points})


def test_ours_is_the_pipeline():
    given = small_scene()
    steps, found = told("ours", given)
    expected = registered(given)
    np.testing.assert_allclose(found.camera_from_volume, expected.world_from_volume, atol=1e-9)
    assert found.accepted is expected.verdict.accepted and found.renders == expected.renders
    assert found.similarity == expected.evidence.similarity and found.reason == expected.verdict.reason
    assert steps[-1].stage == "done" and isinstance(steps[-1], Step)
    counts = [step.renders for step in steps]
    assert counts == sorted(counts) and counts[-1] == found.renders
    assert 3 <= len(found.trace) <= 60 and found.trace[0].renders < found.trace[-1].renders <= found.renders
    assert error_mm(given, found.trace[-1].camera_from_volume) < error_mm(given, nearby())


def test_a_network_speaks_alone_or_is_refined(tmp_path):
    given = small_scene()
    file = written(tmp_path / "model.pt", saying(card_for(pelvis(), 1), nearby()[None]))
    alone, refined = (run(name, given, network=file) for name in ("network", "network+ours"))
    (_, expected), *_ = estimate(given, registration_settings(init=file)).views
    np.testing.assert_array_equal(alone.camera_from_volume, expected)
    assert alone.renders == 0 and refined.renders > 0
    assert error_mm(given, refined.camera_from_volume) < 2.0
    for name in ("network", "network+ours"):
        with pytest.raises(InputError, match="network"):
            run(name, given, network="search")
