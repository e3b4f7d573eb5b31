"""Weighing a refined pose: what is measured for the verdict, in pieces, and which of two poses is kept."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from pelvis_scenes import moved, scene, truth

from xrayreg.judgement import Found, weigh
from xrayreg.pieces import whole
from xrayreg.refine import State, best_first, descend
from xrayreg.settings import registration_settings
from xrayreg.verdict import SURE_SIMILARITY, Verdict
from xrayreg.workshop import REFINE_MARGIN_MM, Workshop, workshop_for


@functools.lru_cache(maxsize=1)
def refined() -> tuple[Workshop, State]:
    """A workshop, and the state at its finest level from a pose next to the truth."""
    workshop = workshop_for(scene(), registration_settings())
    level = workshop.settings.refine.levels[-1]
    near = torch.as_tensor(moved(truth(), (0.3, -0.2, 0.2), (0.5, -0.5, 3.0)))[None]
    problem = workshop.problem(level, near, REFINE_MARGIN_MM)
    return workshop, best_first(whole(descend(problem, near, level.max_steps, workshop.settings.refine.step)))


@functools.lru_cache(maxsize=1)
def found() -> Found:
    workshop, state = refined()
    return weigh(workshop, state, 0.3, state.poses[0], "a test")


def test_a_true_pose_is_weighed_as_such():
    here = found()
    assert here.verdict.accepted and here.evidence.gap == 0.3 and here.start == "a test"
    assert np.linalg.norm(here.pose.numpy()[:3, 3] - truth()[:3, 3]) < 1.0
    _, state = refined()
    # The similarity is the better of two levels, that of a view the finest's.
    assert here.similarities == pytest.approx((float(state.agreement.score[0]),), abs=1e-5)
    assert here.evidence.similarity >= here.similarities[0] - 1e-6
    assert here.stopped == state.reasons[0]


def test_a_pose_beside_the_truth_is_told_from_it_by_its_contrast():
    workshop, _ = refined()
    beside = torch.as_tensor(moved(truth(), (8.0, 5.0, 0.0), (15.0, 10.0, 0.0)))[None]
    level = workshop.settings.refine.levels[-1]
    wrong = whole(descend(workshop.problem(level, beside, REFINE_MARGIN_MM), beside, 0, workshop.settings.refine.step))
    weighed = weigh(workshop, wrong, None, beside[0], "a test")
    assert not weighed.verdict.accepted
    assert weighed.evidence.contrast < 0.5 * found().evidence.contrast
    assert found().is_better_than(weighed) and not weighed.is_better_than(found())


def test_weighing_pauses_for_each_of_its_many_images():
    workshop, state = refined()
    # Two dozen displaced poses and some twenty images of the mirrored X-ray.
    assert sum(1 for _ in weigh.pieces(workshop, state, None, state.poses[0], "a test")) > 20


def test_an_accepted_pose_is_kept_before_a_more_similar_one():
    accepted = found()
    similar = replace(
        accepted,
        verdict=Verdict(False, "No."),
        evidence=replace(accepted.evidence, similarity=accepted.evidence.similarity + 0.1),
    )
    assert accepted.is_better_than(similar) and not similar.is_better_than(accepted)
    assert replace(similar, verdict=accepted.verdict).is_better_than(accepted)


@pytest.mark.parametrize(
    ("accepted", "partial", "above", "sure"),
    [(True, False, -0.1, True), (True, True, -0.01, False), (True, True, 0.01, True), (False, False, 0.5, False)],
)
def test_one_bone_among_others_has_to_fit_better_to_be_sure(accepted, partial, above, sure):
    given = replace(
        found(),
        verdict=Verdict(accepted, "."),
        evidence=replace(found().evidence, similarity=SURE_SIMILARITY + above),
    )
    assert given.is_sure(partial) is sure
