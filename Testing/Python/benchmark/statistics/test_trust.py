"""Verdicts and similarities against what is true: counted by hand, and against the ROC curve itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from xrayreg.benchmark.statistics import StudyRow, wilson
from xrayreg.benchmark.statistics.trust import WRONG_MM, auroc, trust

SCORES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30)


def row(mtre: float, accepted: bool | None = None, similarity: float = math.nan, error: str = "") -> StudyRow:
    return StudyRow("m", "C-A", "0", mtre_mm=mtre, accepted=accepted, similarity=similarity, error=error)


def counts(found) -> tuple[int, ...]:
    return (found.accepted_right, found.accepted_wrong, found.rejected_right, found.rejected_wrong)


def test_each_verdict_falls_into_one_of_four_kinds():
    rows = [row(1.0, True), row(3.0, True), row(11.0, True), row(3.0, False), row(11.0, False), row(99.0)]
    assert counts(trust(rows, "mtre_mm", 10.0)) == (2, 1, 1, 1)
    assert counts(trust(rows, "mtre_mm", 2.0)) == (1, 2, 0, 2)
    # An error of just so much is not above it.
    assert counts(trust([row(2.0, True)], "mtre_mm", 2.0)) == (1, 0, 0, 0)


def test_a_result_without_a_pose_is_wrong_whatever_was_said_of_it():
    rows = [row(math.nan, True, error="It is no number."), row(math.nan, False)]
    assert counts(trust(rows, "mtre_mm", 10.0)) == (0, 1, 0, 1)


def test_the_share_of_wrong_among_accepted_has_its_interval():
    found = trust([row(1.0, True)] * 75 + [row(20.0, True)] * 5 + [row(20.0, False)] * 40, "mtre_mm", 10.0)
    assert found.accepted == 80 and found.wrong_of_accepted == wilson(5, 80)
    assert trust([row(1.0, False)], "mtre_mm", 10.0).wrong_of_accepted is None


def test_without_verdicts_nothing_is_counted():
    assert counts(trust([row(1.0), row(20.0)], "mtre_mm", 10.0)) == (0, 0, 0, 0)


@given(SCORES, SCORES)
def test_the_auroc_is_the_area_under_the_curve_of_true_against_false_alarms(right, wrong):
    right, wrong = np.array(right), np.array(wrong)
    thresholds = np.arange(11)[::-1] - 0.5
    hits, alarms = ([0.0, *((some[:, None] > thresholds).mean(axis=0)), 1.0] for some in (right, wrong))
    assert auroc(right, wrong) == pytest.approx(np.trapezoid(hits, alarms), abs=1e-12)
    assert auroc(right, wrong) == pytest.approx(1 - auroc(wrong, right), abs=1e-12)


def test_the_auroc_of_two_normal_laws_is_their_closed_form():
    generator = np.random.default_rng(0)
    found = auroc(generator.normal(1, 1, 4000), generator.normal(0, 1, 4000))
    # The standard error of an AUROC of 0.76 with 4000 on each side is 0.005.
    assert found == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.02)


def test_the_auroc_needs_both_kinds_and_known_similarities():
    assert auroc(np.array([1.0]), np.zeros(0)) is None
    rows = [row(1.0, similarity=0.9), row(1.0), row(50.0, similarity=0.2), row(50.0, similarity=math.nan)]
    assert trust(rows, "mtre_mm", 10.0).auroc == 1.0
    assert trust(rows[:2], "mtre_mm", 10.0).auroc is None
    # A run without a pose says nothing of the similarity, whatever number stands there.
    lost = row(math.nan, similarity=0.99, error="Lost.")
    assert trust([rows[0], rows[2], lost], "mtre_mm", 10.0).auroc == 1.0


def test_trust_can_be_asked_of_another_metric():
    far = StudyRow("m", "C-B", "0", mtre_mm=1.0, mtre_far_mm=12.0, accepted=True)
    assert counts(trust([far], "mtre_far_mm", 10.0)) == (0, 1, 0, 0)


def test_the_first_threshold_is_the_gross_failure_and_they_fall():
    assert WRONG_MM[0] == 10.0 and list(WRONG_MM) == sorted(WRONG_MM, reverse=True)
