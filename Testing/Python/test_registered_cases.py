"""Registrations of cases that come from elsewhere: an independent simulator's X-rays of a real CT, and real X-rays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import shared_data
from pelvis_scenes import error, registered

from xrayreg.io import read_case
from xrayreg.scene import Scene


def case(*parts: str) -> Scene:
    scene = read_case(shared_data(*parts))
    assert scene.reference is not None
    return scene


@pytest.mark.parametrize("name", ["local_000", "local_001"])
def test_from_a_few_degrees_off_the_error_is_below_half_a_millimetre(name):
    given = case("simulated", f"{name}.json")
    result = registered(given)
    assert error(given, result).mtre_mm <= 0.5
    assert result.verdict.accepted and result.start == "the case's initial pose"


@pytest.mark.parametrize("name", ["chen_000", "chen_001", "chen_002"])
def test_a_search_around_a_frontal_pose_ends_within_two_millimetres(name):
    given = case("simulated", f"{name}.json")
    result = registered(given, init="search")
    assert error(given, result).mtre_mm <= 2.0
    assert result.verdict.accepted


@pytest.mark.parametrize("name", ["hard_chen_000", "hard_chen_001", "hard_chen_002"])
def test_a_collimated_xray_with_an_unknown_tone_curve_is_trusted_only_where_it_is_right(name):
    given = case("simulated", f"{name}.json")
    result = registered(given, init="search")
    assert error(given, result).mtre_mm <= 5.0 or not result.verdict.accepted


def test_both_real_xrays_of_a_wrist_give_the_reference_pose():
    given = case("wrist", "case.json")
    result = registered(given)
    # The reference itself is good to about 0.2 mm.
    assert error(given, result).mtre_mm <= 0.5
    assert result.verdict.accepted


@pytest.mark.parametrize("view", [0, 1])
def test_one_real_xray_of_a_wrist_gives_the_pose_within_its_image(view):
    both = case("wrist", "case.json")
    given = replace(both, views=both.views[view : view + 1])
    result = registered(given)
    # One view of one small bone leaves depth open; within the image it is as good as the edges are sharp.
    assert error(given, result).mpd_mm <= 1.0
