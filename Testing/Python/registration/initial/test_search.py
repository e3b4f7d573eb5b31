"""Drawing, thinning out and searching hypotheses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pelvis_scenes
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from xrayreg.geometry import pose_difference, retract
from xrayreg.registration.initial import Candidates, distinct, draw_poses, search
from xrayreg.registration.problem import Prior
from xrayreg.registration.problem_cache import problem_cache_for
from xrayreg.settings import LevelSettings, PosePrior, Resampling, SearchSettings, StepSettings, registration_settings
from xrayreg.similarity import Agreement

DOUBLE = torch.float64
PIVOT = torch.tensor([10.0, -40.0, 90.0], dtype=DOUBLE)
CENTRE = torch.as_tensor(pelvis_scenes.frontal())
PRIOR = PosePrior((5.0, 10.0, 15.0), (10.0, 20.0, 60.0))
DEVIATION = torch.tensor([*np.radians(PRIOR.rotation_deg), *PRIOR.translation_mm], dtype=DOUBLE)


def turned(*twist: float) -> Tensor:
    """The centre turned [degrees] and shifted [mm]."""
    given = torch.tensor([[*np.radians(twist[:3]), *twist[3:]]], dtype=DOUBLE)
    return retract(CENTRE[None], given, PIVOT)[0]


def test_drawn_poses_begin_with_the_centres_and_surround_each():
    centres = torch.stack([CENTRE, turned(0, 90, 0, 0, 0, 0)])
    poses = draw_poses(centres, PIVOT, PRIOR, 300, seed=3)
    assert poses.shape == (2 + 2 * 300, 4, 4)
    assert torch.equal(poses[:2], centres)
    first, second = (pose_difference(poses[2 + 300 * n :][:300], centres[n], PIVOT) for n in range(2))
    torch.testing.assert_close(first, second, atol=1e-9, rtol=0)


def test_drawn_poses_are_distributed_as_the_prior():
    poses = draw_poses(CENTRE[None], PIVOT, PRIOR, 1024, seed=0)[1:]
    twists = (pose_difference(poses, CENTRE, PIVOT) / DEVIATION).numpy()
    for column in twists.T:
        # A Sobol sequence fills the distribution evenly: far closer than chance, whose distance is about 1/32.
        assert kstest(column, "norm").statistic < 0.004
    # Independent in pairs; 1024 random draws would reach 0.06 by chance.
    assert np.abs(np.corrcoef(twists.T) - np.eye(6)).max() < 0.06


def test_drawn_poses_follow_the_seed():
    first, again, other = (draw_poses(CENTRE[None], PIVOT, PRIOR, 50, seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.isclose(first[1:], other[1:]).all(-1).all(-1).any()


def test_nothing_drawn_leaves_the_centres():
    assert torch.equal(draw_poses(CENTRE[None], PIVOT, PRIOR, 0, seed=3), CENTRE[None])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_draw_at_the_end_of_the_scale_is_still_a_pose(value, monkeypatch):
    def extreme(engine: object, count: int, dtype: torch.dtype) -> Tensor:
        return torch.full((count, 6), value, dtype=dtype)

    monkeypatch.setattr(torch.quasirandom.SobolEngine, "draw", extreme)
    poses = draw_poses(CENTRE[None], PIVOT, PRIOR, 3, seed=0)
    assert poses.isfinite().all()
    identity = torch.eye(3, dtype=DOUBLE).expand(4, 3, 3)
    torch.testing.assert_close(poses[:, :3, :3] @ poses[:, :3, :3].mT, identity)


def test_duplicates_go_and_the_order_stays():
    near_in_everything_but_depth = turned(1.0, -1.0, 0.5, 2.0, 3.0, 45.0)
    poses = torch.stack([CENTRE, near_in_everything_but_depth, turned(6, 0, 0, 0, 0, 0), turned(0, 0, 0, 9, 0, 0)])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    kept, kept_scores = distinct(poses, scores, PIVOT, 10)
    assert torch.equal(kept, poses[[0, 2, 3]]) and torch.equal(kept_scores, scores[[0, 2, 3]])


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_are_kept_than_asked_for(most):
    poses = torch.stack([turned(10.0 * n, 0, 0, 0, 0, 0) for n in range(3)])
    kept, scores = distinct(poses, torch.tensor([3.0, 2.0, 1.0]), PIVOT, most)
    assert torch.equal(kept, poses[:most]) and len(scores) == most


def test_a_chain_of_near_poses_keeps_its_far_ends():
    # Each is near the one before (1.5 degrees), but only the first that is kept counts: the third is 3 degrees from it.
    poses = torch.stack([turned(1.5 * n, 0, 0, 0, 0, 0) for n in range(4)])
    kept, _ = distinct(poses, torch.arange(4.0), PIVOT, 4)
    assert torch.equal(kept, poses[[0, 2]])


@dataclass(frozen=True)
class Hills:
    """A score with Gaussian hills (height, summit) over the poses; NaN where the patient would touch the source."""

    hills: tuple[tuple[float, Tensor], ...]
    pivot: Tensor = PIVOT

    def scores(self, poses: Tensor) -> Tensor:
        return self.agreement(poses).score

    def agreement(self, poses: Tensor) -> Agreement:
        total = Agreement(torch.zeros(len(poses)), torch.zeros(len(poses), 6), torch.zeros(len(poses), 6, 6))
        for height, summit in self.hills:
            part = Prior(summit, DEVIATION, 1.0).agreement(poses, self.pivot)
            value = height * part.score.exp()
            total = total + Agreement(value, value[:, None] * part.gradient, value[:, None, None] * part.normal)
        depth = poses[:, 2, :3] @ self.pivot + poses[:, 2, 3]
        lost = torch.where(depth < 640, torch.nan, 0.0).to(DOUBLE)
        return replace(total, score=total.score + lost)

    def picked(self, which: Tensor) -> Hills:
        return self


HIGH, LOW = turned(-9, 12, 10, 15, -20, 50), turned(9, -12, -15, -15, 20, 0)
SETTINGS = SearchSettings(hypotheses=200, levels=(LevelSettings(32, 30), LevelSettings(64, 30)), survivors=(10, 4))


def candidates_of(hills: Hills, hypotheses: Tensor, settings: SearchSettings = SETTINGS) -> list[Candidates]:
    step = replace(StepSettings(), stop_gain=1e-9)
    found: list[Candidates] = []
    search(lambda level, around: hills, hypotheses, PIVOT, settings, step, 0, found.append)  # type: ignore[arg-type,return-value]
    return found


def test_search_finds_the_highest_hill_and_names_the_next():
    drawn = draw_poses(CENTRE[None], PIVOT, PRIOR, 200, seed=1)
    last = candidates_of(Hills(((1.0, HIGH), (0.8, LOW))), drawn)[-1]
    # The hills overlap a little (four deviations apart), which moves the summits by less than this.
    torch.testing.assert_close(last.poses[0], HIGH, atol=0.05, rtol=0)
    torch.testing.assert_close(last.poses[1], LOW, atol=0.05, rtol=0)
    torch.testing.assert_close(last.scores[:2], torch.tensor([1.0, 0.8], dtype=DOUBLE), atol=1e-3, rtol=0)


def test_search_tells_its_way_and_arrives_at_one():
    drawn = draw_poses(CENTRE[None], PIVOT, PRIOR, 200, seed=1)
    told = candidates_of(Hills(((1.0, HIGH),)), drawn)
    fractions = [one.fraction for one in told]
    assert fractions[0] > 0 and fractions[-1] == pytest.approx(1.0)
    assert all(after >= before for before, after in pairwise(fractions))
    # While ranking, what is shown is the best so far.
    ranked = [float(one.scores[0]) for one in told if one.message == "ranking hypotheses"]
    assert len(ranked) == 5 and ranked == sorted(ranked)
    assert all(torch.equal(one.scores, one.scores.sort(descending=True).values) for one in told)


@dataclass(frozen=True)
class Islands(Hills):
    """Hills that end two deviations from their summits: from farther off nothing leads to them."""

    def agreement(self, poses: Tensor) -> Agreement:
        total = super().agreement(poses)
        near = [(pose_difference(poses, summit, self.pivot) / DEVIATION).norm(dim=-1) < 2 for _, summit in self.hills]
        seen = torch.stack(near).any(0).to(DOUBLE)
        return Agreement(total.score * seen, total.gradient * seen[:, None], total.normal * seen[:, None, None])


# Some three deviations apart.
STEP, SUMMIT = turned(-6, 10, 0, 10, 0, 0), turned(-15, 25, 18, 10, 30, 70)


@pytest.mark.parametrize(("rounds", "summit"), [(0, STEP), (6, SUMMIT)], ids=["drawn once", "drawn anew"])
def test_optima_nearby_are_steps_to_one_that_no_hypothesis_was_near_to(rounds, summit):
    islands = Islands(((0.5, STEP), (1.0, SUMMIT)))
    near_the_step = draw_poses(STEP[None], PIVOT, PosePrior((2.0, 2.0, 2.0), (3.0, 3.0, 5.0)), 100, seed=0)
    settings = replace(SETTINGS, resampling=Resampling(rounds=rounds, prior=PRIOR, hypotheses=1000))
    last = candidates_of(islands, near_the_step, settings)[-1]
    # The hills' feet overlap a little, which moves the summits.
    assert (pose_difference(last.poses[0], summit, PIVOT) / DEVIATION).norm() < 0.2


@pytest.mark.parametrize(("rounds", "patience", "made"), [(0, 2, 0), (1, 2, 1), (6, 1, 1), (6, 2, 2), (6, 3, 3)])
def test_drawing_anew_ends_when_it_brings_nothing_better(rounds, patience, made):
    drawn = draw_poses(CENTRE[None], PIVOT, PRIOR, 200, seed=1)
    settings = replace(SETTINGS, resampling=Resampling(rounds=rounds, patience=patience))
    told = candidates_of(Hills(((1.0, HIGH),)), drawn, settings)
    # One for what the first hypotheses led to, one for each round, one for the finer level.
    ends = [one for one in told if one.message.endswith("distinct candidates")]
    assert len(ends) == 2 + made
    assert told[-1].fraction == pytest.approx(1.0)


def test_hypotheses_that_cannot_be_scored_come_last():
    too_near = torch.stack([turned(0, 0, 0, 0, 0, -150 - n) for n in range(20)])
    usable = turned(0, 0, 0, 0, 0, 20)[None]
    hills = Hills(((1.0, HIGH),))
    assert hills.scores(too_near).isnan().all()
    for one in candidates_of(hills, torch.cat([too_near[:10], usable, too_near[10:]])):
        assert one.scores[0].isfinite()
    torch.testing.assert_close(one.poses[0], HIGH, atol=0.05, rtol=0)


@pytest.mark.long
def test_search_finds_the_pelvis_from_a_frontal_start():
    given = pelvis_scenes.scene()
    settings = registration_settings("fast", init="search")
    problems = problem_cache_for(given, settings)
    # 11 degrees and 59 mm off, and the patient turned about another centre than the one expected.
    start = torch.as_tensor(pelvis_scenes.moved(pelvis_scenes.truth(), (-8, 6, -4), (20, -25, 50)))
    drawn = draw_poses(start[None], problems.pivot, settings.search.prior, settings.search.hypotheses, seed=0)
    last = search(
        lambda level, around: problems.problem(level, around, 100.0),
        drawn,
        problems.pivot,
        settings.search,
        settings.refine.step,
        seed=0,
    )
    twist = pose_difference(last.poses[0], torch.as_tensor(pelvis_scenes.truth()), problems.pivot)
    # Pixels of 4.4 mm at the patient: good to half a pixel, and to a few in depth.
    assert torch.rad2deg(twist[:3].norm()) < 1.0
    assert twist[3:5].norm() < 2.0 and twist[5].abs() < 10.0
