"""Pose lists: fixed by the seed, the same from the front however many are asked for, smooth where they are a path."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from xrayreg.benchmark.study.case_poses import nominal_of, posed_cases, write_pose_list
from xrayreg.benchmark.study.protocol import arm_named
from xrayreg.geometry import pose_difference

ISOCENTRE = np.array([10.0, -20.0, 300.0])


def same(a, b) -> bool:
    return (a.name, a.variant, a.chain, a.frame, a.seed) == (b.name, b.variant, b.chain, b.frame, b.seed) and (
        np.array_equal(a.reference, b.reference) and np.array_equal(a.start, b.start)
    )


@pytest.mark.parametrize("name", ["C-A", "C-C", "R-A", "M-A", "T-A"])
def test_the_seed_alone_says_what_the_cases_are(name):
    first, again = (posed_cases(arm_named(name), ISOCENTRE, 3) for _ in range(2))
    assert len(first) == arm_named(name).cases
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    other = posed_cases(arm_named(name), ISOCENTRE, 4)
    assert not any(np.array_equal(a.reference, b.reference) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["C-A", "R-A", "T-A"])
def test_a_part_of_an_arm_is_its_beginning(name):
    whole, part = posed_cases(arm_named(name), ISOCENTRE, 3), posed_cases(arm_named(name), ISOCENTRE, 3, 25)
    assert len(part) == 25
    assert all(same(a, b) for a, b in zip(whole, part, strict=False))
    assert len(posed_cases(arm_named(name), ISOCENTRE, 3, 10**6)) == arm_named(name).cases


def test_the_isocentre_is_what_cases_turn_about():
    """Poses about another isocentre are the same poses of a volume that lies elsewhere."""
    move = np.eye(4)
    move[:3, 3] = -ISOCENTRE
    for here, there in zip(
        posed_cases(arm_named("C-A"), np.zeros(3), 3, 10), posed_cases(arm_named("C-A"), ISOCENTRE, 3, 10), strict=True
    ):
        assert np.allclose(here.reference @ move, there.reference, atol=1e-9)


def test_the_start_is_the_nominal_view_or_drawn():
    arm = arm_named("C-A")
    assert all(np.array_equal(case.start, nominal_of(arm, ISOCENTRE)) for case in posed_cases(arm, ISOCENTRE, 1, 9))
    starts = [case.start for case in posed_cases(arm_named("C-C"), ISOCENTRE, 1, 9)]
    assert len(np.unique(np.round(starts, 6), axis=0)) == 9


def test_variants_of_one_pose_differ_in_nothing_but_the_image():
    arm = arm_named("R-A")
    cases = posed_cases(arm, ISOCENTRE, 1, 2 * len(arm.variants))
    for first in (0, len(arm.variants)):
        group = cases[first : first + len(arm.variants)]
        assert [case.variant for case in group] == list(range(len(arm.variants)))
        assert all(np.array_equal(case.reference, group[0].reference) for case in group)
    assert not np.array_equal(cases[0].reference, cases[-1].reference)


def test_a_cine_is_smooth_and_as_fast_as_the_arm_says():
    arm = arm_named("T-A")
    cases = posed_cases(arm, ISOCENTRE, 1)
    assert len({case.chain for case in cases}) == arm.cases / arm.cine.frames
    run = torch.tensor(np.array([case.reference for case in cases if case.chain == 0]))
    steps = pose_difference(run[1:], run[:-1], torch.tensor(ISOCENTRE)).numpy()
    degrees, shifts = np.degrees(np.linalg.norm(steps[:, :3], axis=1)), np.linalg.norm(steps[:, 3:], axis=1)
    # The path is drawn in twists from the nominal view, whose differences are not quite the steps.
    assert degrees.mean() == pytest.approx(2.0, rel=0.1) and shifts.mean() == pytest.approx(4.0, rel=0.01)
    assert degrees.max() < 5 and shifts.max() < 9
    # Smooth: neighbouring steps point the same way.
    assert (np.einsum("ni,ni->n", steps[1:, 3:], steps[:-1, 3:]) > 0).mean() > 0.9


def test_a_cine_starts_as_far_off_as_the_arm_says():
    arm = arm_named("T-A")
    for case in posed_cases(arm, ISOCENTRE, 1):
        if case.frame == 0:
            off = pose_difference(
                *(torch.tensor(pose) for pose in (case.start, case.reference)), torch.tensor(ISOCENTRE)
            )
            assert np.degrees(float(off[:3].norm())) < 12 and 0 < float(off[3:].norm()) < 60


def test_the_list_on_disk_holds_the_poses_exactly(tmp_path):
    arm = arm_named("R-A")
    cases = posed_cases(arm, ISOCENTRE, 1, 30)
    write_pose_list(tmp_path / "poses.csv", cases, [variant.name for variant in arm.variants], ISOCENTRE)
    with open(tmp_path / "poses.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["case"] for line in lines] == [case.name for case in cases]
    for line, case in zip(lines, cases, strict=True):
        for kind, pose in (("reference", case.reference), ("start", case.start)):
            told = [[float(line[f"{kind}_{row}{column}"]) for column in range(4)] for row in range(3)]
            assert np.array_equal(told, pose[:3])
        assert line["variant"] == arm.variants[case.variant].name
        assert abs(float(line["primary_deg"])) < 20 and 600 < float(line["sod_mm"]) < 800
