"""Refinement on predicted DRRs: reaches the pose in a handful of renders, and reports what was rendered."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from phantoms import PIVOT, camera_at, frontal, furthest_mm, phantom_map, xray

from xrayreg.geometry import pose_difference, retract
from xrayreg.optimize import RenderedPose, rendered, surrogate_lm
from xrayreg.optimize.surrogate_lm import _place, _tried
from xrayreg.registration.problem import Problem, build_problem
from xrayreg.render import prepare
from xrayreg.settings import LevelSettings, SurrogateSettings, Term
from xrayreg.similarity import Similarity

TRUTH = frontal((0.1, -0.15, 0.05), (6.0, -8.0, 20.0))
STARTS = {
    "the truth": TRUTH,
    "20 mm": frontal((0.15, -0.10, 0.10), (9.0, -5.0, 35.0)),
    "40 mm": frontal((0.2, -0.05, 0.15), (20.0, 5.0, 50.0)),
}
SETTINGS = SurrogateSettings(
    levels=(
        LevelSettings(16, 8, (Term(),)),
        LevelSettings(48, 4, (Term("gradient"),)),
        LevelSettings(48, 1, (Term(),)),
    ),
    least_gains=(5e-3, 1e-3, 1e-6),
)


def problem(size: int = 48) -> Problem:
    views = (xray(camera_at(size), TRUTH),)
    return build_problem(
        prepare(phantom_map(), "numba", "cpu"), views, Similarity((Term(),)), image_px=size, pivot=PIVOT
    )


def places(start: torch.Tensor, settings: SurrogateSettings = SETTINGS) -> list[RenderedPose]:
    found: list[RenderedPose] = []
    surrogate_lm(rendered(problem(), start), settings, found.append)
    return found


@pytest.mark.parametrize("start", STARTS)
def test_it_finds_the_pose_of_an_analytic_xray_in_a_handful_of_renders(start):
    given = problem()
    last = surrogate_lm(rendered(given, STARTS[start]), SETTINGS)
    # As in test_descent: interpolated lumps move the optimum in depth by about a millimetre of 700.
    assert furthest_mm(last.pose[None], TRUTH).max() < 1.0
    assert given.projector.renders == last.renders <= 6


@pytest.mark.parametrize("start", STARTS)
def test_it_tells_every_better_pose_of_levels_that_follow_each_other(start):
    told = places(STARTS[start])
    assert [told[0].level, told[-1].level] == [0, 2] and torch.equal(told[0].pose, STARTS[start][0])
    for before, after in pairwise(told):
        assert after.renders >= before.renders
        if after.level == before.level:
            assert after.score > before.score and after.renders > before.renders
        else:
            # Another similarity of the same images.
            assert after.level == before.level + 1 and after.renders >= before.renders
            assert torch.equal(after.pose, before.pose)


def test_renders_are_limited():
    given = problem()
    last = surrogate_lm(rendered(given, STARTS["40 mm"]), replace(SETTINGS, renders=2))
    assert given.projector.renders == 2 and last.renders == 2
    assert last.reason == "The renders were used up while it was still improving."


def test_a_pose_that_is_worse_is_replaced_by_nearer_ones():
    images = rendered(problem(), STARTS["20 mm"])
    first = _place(images, SETTINGS, 2, 1)
    home = pose_difference(TRUTH, STARTS["20 mm"], PIVOT)
    # Three times too far is worse; nearly as far as the truth is better.
    found = _tried(first, retract(STARTS["20 mm"], 3 * home, PIVOT), SETTINGS)
    assert found.renders == 3 and found.score > first.score
    torch.testing.assert_close(pose_difference(found.images.poses, STARTS["20 mm"], PIVOT), 0.9 * home)
    # The other way nothing is better.
    astray = _tried(first, retract(STARTS["20 mm"], -home, PIVOT), SETTINGS)
    assert astray.renders == 4 and not astray.score > first.score


def test_a_structure_outside_of_the_image_is_said_to_be():
    last = places(frontal((0, 0, 0), (900.0, 0.0, 0.0)))[-1]
    end = surrogate_lm(rendered(problem(), last.images.poses), SETTINGS)
    assert end.renders == 1 and end.reason.endswith(".") and torch.equal(end.pose, last.pose)
