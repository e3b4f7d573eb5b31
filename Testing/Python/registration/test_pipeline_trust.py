"""What a registration says of how far to trust it: one similarity, millimetres only with trust, nothing impossible."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from pelvis_scenes import SOD_MM, error, nearby, registered, scene

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.reasons import ReasonCode
from xrayreg.registration.pipeline import register
from xrayreg.registration.results import Registration
from xrayreg.registration.verdict import SURE_SIMILARITY, Verdict
from xrayreg.scene import Volume
from xrayreg.settings import registration_settings

# As in `test_pipeline`.
GOAL_MM = 1.0


@functools.lru_cache(maxsize=1)
def near_result() -> Registration:
    return registered(scene(initial=nearby()))


def test_an_accepted_result_has_one_similarity_and_says_how_far_off_it_may_be():
    result = near_result()
    content = result.as_dict()
    similarity = content["quality"]["similarity"]
    assert [view["similarity"] for view in content["views"]] == [similarity]
    assert f"similarity {similarity:.3f}," in content["reason"]
    assert f"{content['quality']['expected_error_mm']:.2f} mm" in content["reason"]
    assert content["uncertainty"]["target_mm"] == content["quality"]["expected_error_mm"] < GOAL_MM


def test_how_far_off_a_pose_may_be_is_not_said_where_it_is_not_trusted():
    content = replace(near_result(), verdict=Verdict(False, "No.", ReasonCode.WEAK)).as_dict()
    assert content["quality"]["expected_error_mm"] is None
    assert content["uncertainty"].keys() == near_result().as_dict()["uncertainty"].keys()
    assert set(content["uncertainty"].values()) == {None}
    # What it was judged by stays, and the result itself keeps all of it.
    assert content["quality"]["similarity"] == near_result().evidence.similarity
    assert near_result().as_dict()["quality"]["expected_error_mm"] is not None


def test_air_around_the_ct_changes_neither_the_pose_nor_its_verdict():
    given = scene(initial=nearby())
    values, grid = given.volume.values, given.volume.grid
    wide = np.pad(values, ((30, 0), (0, 12), (5, 20)), constant_values=-1000)
    matrix = grid.volume_from_index.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ [5, 0, 30]
    padded = replace(given, volume=Volume(wide, VoxelGrid(wide.shape[::-1], matrix)))
    result = registered(padded)
    # Rounding of where the first voxel lies.
    np.testing.assert_allclose(result.world_from_volume, near_result().world_from_volume, atol=1e-3)
    assert result.evidence.expected_error_mm == pytest.approx(near_result().evidence.expected_error_mm, rel=1e-3)
    assert result.verdict == near_result().verdict
    assert error(padded, result).mtre_mm == pytest.approx(error(given, near_result()).mtre_mm, abs=1e-3)


def test_a_pose_beyond_the_detector_is_not_accepted_however_well_it_matches():
    # The image is the same for any pixel pitch; with this one the detector stands in the patient's middle.
    given = scene(initial=nearby())
    view = given.views[0]
    near = replace(view, camera=replace(view.camera, pixel_mm=SOD_MM / view.camera.matrix[0, 0]))
    result = registered(replace(given, views=(near,)), init="case")
    assert error(given, result).mtre_mm < GOAL_MM and result.evidence.similarity > SURE_SIMILARITY
    assert not result.verdict.accepted
    assert "behind the detector" in result.verdict.reason


def test_one_xray_given_as_two_views_is_refused():
    with pytest.raises(InputError, match="expected a different X-ray for each"):
        register(scene(("frontal", "frontal"), initial=nearby()), registration_settings())
