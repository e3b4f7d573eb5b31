"""Weighing a refined pose: what is measured for the verdict, and which of two poses is kept."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from pelvis_scenes import moved, scene, truth

from xrayreg.optimize import State, best_first, descend
from xrayreg.reasons import ReasonCode
from xrayreg.registration.assessment import AssessedPose, assess
from xrayreg.registration.problem_cache import REFINE_MARGIN_MM, ProblemCache, problem_cache_for
from xrayreg.registration.verdict import SURE_SIMILARITY, SURE_SIMILARITY_OF_A_PART, Place, Verdict
from xrayreg.settings import registration_settings


@functools.lru_cache(maxsize=1)
def refined() -> tuple[ProblemCache, State]:
    """A problem cache, and the state at its finest level from a pose next to the truth."""
    problems = problem_cache_for(scene(), registration_settings())
    level = problems.settings.refine.levels[-1]
    near = torch.as_tensor(moved(truth(), (0.3, -0.2, 0.2), (0.5, -0.5, 3.0)))[None]
    problem = problems.problem(level, near, REFINE_MARGIN_MM)
    return problems, best_first(descend(problem, near, level.max_steps, problems.settings.refine.step))


@functools.lru_cache(maxsize=1)
def found() -> AssessedPose:
    problems, state = refined()
    return assess(problems, state, 0.3, state.poses[0], "a test")


def test_a_true_pose_is_assessed_as_such():
    here = found()
    assert here.verdict.accepted and here.evidence.gap == 0.3 and here.start == "a test"
    assert np.linalg.norm(here.pose.numpy()[:3, 3] - truth()[:3, 3]) < 1.0
    _, state = refined()
    # The similarity is the better of two levels; of the only view it is the same number.
    assert here.similarities == (here.evidence.similarity,)
    assert here.evidence.similarity >= float(state.agreement.score[0]) - 1e-5
    assert here.evidence.weakest_view is None and here.evidence.place == Place()
    assert here.stopped == state.reasons[0]


def test_the_similarity_of_several_views_is_the_mean_of_theirs():
    problems = problem_cache_for(scene(("frontal", "lateral")), registration_settings())
    level = problems.settings.refine.levels[-1]
    near = torch.as_tensor(truth())[None]
    state = descend(problems.problem(level, near, REFINE_MARGIN_MM), near, 1, problems.settings.refine.step)
    both = assess(problems, state, None, near[0], "a test")
    assert both.evidence.similarity == pytest.approx(np.mean(both.similarities), abs=1e-6)
    assert len(set(both.similarities)) == 2 and both.evidence.weakest_view == min(both.similarities)


def test_a_pose_beside_the_truth_is_told_from_it_by_its_contrast():
    problems, _ = refined()
    beside = torch.as_tensor(moved(truth(), (8.0, 5.0, 0.0), (15.0, 10.0, 0.0)))[None]
    level = problems.settings.refine.levels[-1]
    wrong = descend(problems.problem(level, beside, REFINE_MARGIN_MM), beside, 0, problems.settings.refine.step)
    weighed = assess(problems, wrong, None, beside[0], "a test")
    assert not weighed.verdict.accepted
    assert weighed.evidence.contrast < 0.5 * found().evidence.contrast
    assert found().is_better_than(weighed) and not weighed.is_better_than(found())


def test_an_accepted_pose_is_kept_before_a_more_similar_one():
    accepted = found()
    similar = replace(
        accepted,
        verdict=Verdict(False, "No.", ReasonCode.WEAK),
        evidence=replace(accepted.evidence, similarity=accepted.evidence.similarity + 0.1),
    )
    assert accepted.is_better_than(similar) and not similar.is_better_than(accepted)
    assert replace(similar, verdict=accepted.verdict).is_better_than(accepted)


@pytest.mark.parametrize(
    ("accepted", "partial", "similarity", "clear"),
    [
        (True, False, SURE_SIMILARITY - 0.01, False),
        (True, False, SURE_SIMILARITY, True),
        (True, True, SURE_SIMILARITY_OF_A_PART - 0.01, False),
        (True, True, SURE_SIMILARITY_OF_A_PART, True),
        (False, False, 1.0, False),
        (False, True, 1.0, False),
    ],
)
def test_clear_is_what_is_accepted_and_fits_as_wrong_optima_never_did(accepted, partial, similarity, clear):
    given = replace(
        found(),
        verdict=Verdict(accepted, ".", ReasonCode.ACCEPTED if accepted else ReasonCode.WEAK),
        evidence=replace(found().evidence, similarity=similarity),
    )
    assert given.is_clear(partial) is clear


def rival(similarity: float, gap: float | None, *offset: float) -> AssessedPose:
    """Another pose, `offset` mm off, with another similarity."""
    evidence = replace(found().evidence, similarity=similarity, gap=gap)
    pose = found().pose.clone()
    pose[: len(offset), 3] += torch.tensor(offset, dtype=pose.dtype)
    return replace(found(), pose=pose, evidence=evidence)


def test_a_rival_elsewhere_that_fits_nearly_as_well_leaves_neither_trusted():
    problems, _ = refined()
    here, there = found(), rival(found().evidence.similarity - 0.01, None, 30.0)
    kept = here.or_better(there, problems.pivot)
    assert kept.pose is here.pose and not kept.verdict.accepted and "Another pose" in kept.verdict.reason
    assert kept.evidence.gap == pytest.approx(0.01)
    assert not here.is_where(there, problems.pivot)


def test_a_pose_for_which_a_better_one_was_found_is_not_trusted():
    problems, _ = refined()
    here, better = found(), rival(found().evidence.similarity + 0.1, 0.4, 30.0)
    beside = here.beside(better, problems.pivot)
    assert (
        beside.pose is here.pose
        and not beside.verdict.accepted
        and "explains the X-ray better" in beside.verdict.reason
    )
    # The better one itself loses nothing by the worse.
    kept = here.or_better(better, problems.pivot)
    assert kept.pose is better.pose and kept.verdict.accepted and kept.evidence.gap == pytest.approx(0.1)


def test_what_nothing_led_back_to_is_not_trusted():
    there = found().unconfirmed()
    assert (
        there.pose is found().pose
        and not there.verdict.accepted
        and "choose the effort thorough" in there.verdict.reason
        and there.verdict.code is ReasonCode.UNCONFIRMED
    )
    # A pose that is not trusted keeps its own reason.
    refused = replace(found(), verdict=Verdict(False, "Too weak.", ReasonCode.WEAK))
    assert refused.unconfirmed() is refused


@pytest.mark.parametrize(("gap", "least"), [(0.2, 0.2), (0.5, 0.3), (None, 0.3)])
def test_the_same_optimum_found_again_is_no_rival_but_brings_its_own(gap, least):
    problems, _ = refined()
    # A millimetre aside and 30 mm deeper, which coarse images do not tell.
    again = rival(found().evidence.similarity - 0.001, gap, 1.0, 0.0, 30.0)
    kept = found().or_better(again, problems.pivot)
    assert kept.pose is found().pose and kept.verdict.accepted and kept.evidence.gap == least
    assert found().is_where(again, problems.pivot)


@pytest.mark.parametrize(
    ("similarity", "mirror_gap", "mirrored"), [(0.4, -0.2, True), (0.1, -0.2, False), (0.8, 0.3, False)]
)
def test_mirrored_is_what_fits_well_in_the_mirror_only(similarity, mirror_gap, mirrored):
    given = replace(found(), evidence=replace(found().evidence, similarity=similarity, mirror_gap=mirror_gap))
    assert given.is_mirrored is mirrored
