"""Levenberg-Marquardt on least-squares problems with known answers: no image, no engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from xrayreg.geometry import pose_difference, retract, transform_points
from xrayreg.optimize import State, ask, start, tell
from xrayreg.settings import StepSettings
from xrayreg.similarity import Agreement

DOUBLE = torch.float64
PIVOT = torch.tensor([10.0, -20.0, 30.0], dtype=DOUBLE)
FINE = StepSettings(stop_rotation_deg=1e-7, stop_translation_mm=1e-7, stop_gain=0.0)
Residuals = Callable[[Tensor], Tensor]


def pose(*twist: float) -> Tensor:
    """A pose (1, 4, 4): the identity moved by a twist [rad, mm]."""
    return retract(torch.eye(4, dtype=DOUBLE)[None], torch.tensor([twist], dtype=DOUBLE), PIVOT)


TRUTH = pose(0.3, -0.2, 0.5, 12.0, -7.0, 640.0)


def scaled_twist(poses: Tensor) -> Tensor:
    """The twist from the truth in tenths of a radian and centimetres (B, 6)."""
    return pose_difference(poses, TRUTH, PIVOT) * torch.tensor([10.0] * 3 + [0.1] * 3, dtype=DOUBLE)


def quadratic(poses: Tensor) -> Tensor:
    """Linear in the twist, badly scaled: condition number 10^6 in the normal matrix."""
    return scaled_twist(poses) * torch.tensor([1.0, 3.0, 10.0, 30.0, 100.0, 1000.0], dtype=DOUBLE) / 100


def points(poses: Tensor) -> Tensor:
    """Distances of twelve points to where they belong [dm]: curved in the rotation."""
    where = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) * 60
    return ((transform_points(poses, where) - transform_points(TRUTH, where)) / 100).flatten(1)


def valley(poses: Tensor) -> Tensor:
    """Rosenbrock's curved valley in a rotation and a translation, the others held."""
    x = scaled_twist(poses)
    return torch.stack([10 * (x[:, 3] - x[:, 0] ** 2), x[:, 0], x[:, 1], x[:, 2], x[:, 4], x[:, 5]], dim=1)


def agreement_of(residuals: Residuals, poses: Tensor) -> Agreement:
    """Score 1 - |r|^2 / 2 with exact gradient and normal matrix, r scaled so that scores are near 1."""

    def moved(twist: Tensor) -> Tensor:
        return 0.01 * residuals(retract(poses, twist, PIVOT))

    # Each pose's residuals depend on its own twist alone, so the sum over the batch keeps the Jacobians apart.
    twist = torch.zeros(len(poses), 6, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda t: moved(t).sum(0), twist).permute(1, 0, 2)
    r = 0.01 * residuals(poses)
    return Agreement(1 - 0.5 * (r**2).sum(-1), torch.einsum("bmp,bm->bp", jacobian, r), jacobian.mT @ jacobian)


def run(residuals: Residuals, poses: Tensor, settings: StepSettings = FINE, most: int = 200) -> list[State]:
    """All states until everything rests."""
    states = [start(poses, agreement_of(residuals, poses))]
    while states[-1].active.any() and len(states) <= most:
        asked, candidates = ask(states[-1], PIVOT, settings)
        states.append(tell(asked, candidates, agreement_of(residuals, candidates), settings))
    return states


PROBLEMS = {"quadratic": quadratic, "points": points, "valley": valley}
STARTS = torch.cat(
    [
        TRUTH,
        pose(0.3, -0.2, 0.51, 12.0, -7.0, 640.0),
        pose(0.0, 0.0, 0.0, 0.0, 0.0, 600.0),
        pose(0.9, -0.6, 0.2, -30.0, 25.0, 700.0),
        pose(-0.5, 0.8, 1.2, 60.0, 10.0, 560.0),
    ]
)


@pytest.mark.parametrize("residuals", PROBLEMS.values(), ids=PROBLEMS)
def test_it_finds_the_known_answer_from_near_and_far(residuals):
    last = run(residuals, STARTS)[-1]
    assert not last.active.any()
    # The rest is what a last step of 1e-7 degrees and mm leaves in the flattest direction, damped.
    error = pose_difference(last.poses, TRUTH, PIVOT)
    assert error[:, :3].abs().max() < 1e-5 and error[:, 3:].abs().max() < 1e-3
    assert (1 - last.agreement.score).max() < 1e-12


@pytest.mark.parametrize("residuals", PROBLEMS.values(), ids=PROBLEMS)
def test_no_start_ever_gets_worse(residuals):
    states = run(residuals, STARTS)
    for before, after in pairwise(states):
        assert (after.agreement.score >= before.agreement.score).all()
    for state in states:
        # What the state says of its poses is true of them.
        torch.testing.assert_close(state.agreement.score, agreement_of(residuals, state.poses).score)


@pytest.mark.parametrize("residuals", PROBLEMS.values(), ids=PROBLEMS)
def test_a_start_alone_goes_the_way_it_goes_in_company(residuals):
    together = run(residuals, STARTS)
    for n in range(len(STARTS)):
        alone = run(residuals, STARTS[n : n + 1])
        # A resting start does not move while others do; only the order of summation inside products may differ.
        torch.testing.assert_close(alone[-1].poses[0], together[-1].poses[n], rtol=0, atol=1e-6)
        assert alone[-1].reasons[0] == together[-1].reasons[n]
        middle = min(4, len(alone) - 1)
        torch.testing.assert_close(alone[middle].poses[0], together[middle].poses[n], rtol=0, atol=1e-6)


def test_starts_accept_and_refuse_each_for_itself():
    poses = torch.cat([STARTS[2:3]] * 2)
    asked, candidates = ask(start(poses, agreement_of(points, poses)), PIVOT, FINE)
    found = agreement_of(points, candidates)
    worse = Agreement(torch.stack([found.score[0], found.score[1] - 100]), found.gradient, found.normal)
    after = tell(asked, candidates, worse, FINE)
    assert torch.equal(after.poses[0], candidates[0]) and torch.equal(after.poses[1], poses[1])
    assert torch.equal(after.agreement.gradient[1], asked.agreement.gradient[1])
    assert after.damping[0] < asked.damping[0] < after.damping[1]
    assert after.active.all()


def test_one_step_solves_a_quadratic_when_nothing_shortens_it():
    poses = pose(0.3, -0.2, 0.5, 15.0, -7.0, 643.0)
    asked, candidates = ask(start(poses, agreement_of(quadratic, poses)), PIVOT, FINE)
    state = tell(asked, candidates, agreement_of(quadratic, candidates), FINE)
    # The first damping of 1 % leaves 1 % of the way.
    before, after = (pose_difference(p, TRUTH, PIVOT).norm() for p in (poses, state.poses))
    assert after < 0.0101 * before


def test_steps_are_shortened_but_not_turned():
    settings = StepSettings(most_rotation_deg=1.0, most_translation_mm=2.0)
    state, candidates = ask(start(STARTS, agreement_of(quadratic, STARTS)), PIVOT, settings)
    free, _ = ask(
        start(STARTS, agreement_of(quadratic, STARTS)),
        PIVOT,
        StepSettings(most_rotation_deg=1e9, most_translation_mm=1e9),
    )
    assert state.step[:, :3].norm(dim=-1).rad2deg().max() <= 1.0 + 1e-9
    assert state.step[:, 3:].norm(dim=-1).max() <= 2.0 + 1e-9
    torch.testing.assert_close(pose_difference(candidates, STARTS, PIVOT), state.step, rtol=1e-6, atol=1e-9)
    far = state.step.norm(dim=-1) < 0.99 * free.step.norm(dim=-1)
    assert far.sum() >= 3
    cosine = torch.nn.functional.cosine_similarity(state.step[far], free.step[far])
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_parameters_that_nothing_sees_stay_where_they_are(seen):
    def partly(poses: Tensor) -> Tensor:
        return scaled_twist(poses)[:, :seen]

    last = run(partly, STARTS)[-1]
    assert torch.isfinite(last.poses).all() and not last.active.any()
    assert (1 - last.agreement.score).max() < 1e-12
    moved = pose_difference(last.poses, STARTS, PIVOT)
    # Twists of large rotations mix the rotation's three numbers, but never move what only translates.
    if seen <= 3:
        assert moved[:, 3:].abs().max() < 1e-9


def test_two_parameters_that_do_the_same_do_not_crash_it():
    def twins(poses: Tensor) -> Tensor:
        x = scaled_twist(poses)
        return torch.stack([x[:, 3] + x[:, 4], x[:, 3] + x[:, 4]], dim=1)

    last = run(twins, STARTS)[-1]
    assert torch.isfinite(last.poses).all()
    assert (1 - last.agreement.score).max() < 1e-12


def test_zero_curvature_and_nan_come_to_rest_with_a_reason():
    poses = STARTS[:3]
    nothing = Agreement(torch.zeros(3).double(), torch.zeros(3, 6).double(), torch.zeros(3, 6, 6).double())
    broken = Agreement(
        torch.full((3,), torch.nan).double(),
        *(torch.full_like(t, torch.nan) for t in (nothing.gradient, nothing.normal)),
    )
    for first, second, words in (
        (nothing, nothing, "too small to matter"),
        (agreement_of(points, poses), broken, "could not be computed"),
        (broken, broken, "could not be computed"),
    ):
        asked, candidates = ask(start(poses, first), PIVOT, FINE)
        assert torch.isfinite(candidates).all()
        after = tell(asked, candidates, second, FINE)
        assert torch.equal(after.poses, poses)
        assert not after.active.any()
        assert all(words in reason for reason in after.reasons)


def test_every_start_stops_with_a_sentence():
    def uphill_everywhere(poses: Tensor) -> Agreement:
        found = agreement_of(points, poses)
        return Agreement(found.score, -found.gradient, found.normal)

    state = start(STARTS[2:], uphill_everywhere(STARTS[2:]))
    for _ in range(60):
        asked, candidates = ask(state, PIVOT, StepSettings())
        state = tell(asked, candidates, uphill_everywhere(candidates), StepSettings())
    reasons = set(state.reasons) | set(run(points, STARTS)[-1].reasons)
    assert not state.active.any()
    assert torch.equal(state.poses, STARTS[2:])
    for reason in reasons:
        assert reason[0].isupper() and reason.endswith(".") and len(reason.split()) > 4


def test_single_precision_agreements_will_do():
    def single(poses: Tensor) -> Agreement:
        found = agreement_of(points, poses)
        return Agreement(found.score.float(), found.gradient.float(), found.normal.float())

    state = start(STARTS, single(STARTS))
    for _ in range(50):
        asked, candidates = ask(state, PIVOT, StepSettings())
        state = tell(asked, candidates, single(candidates), StepSettings())
    error = pose_difference(state.poses, TRUTH, PIVOT)
    # Scores near 1 are good to 6e-8 and steps that gain less than 1e-5 are not taken: that is 4 mm at each point.
    assert error[:, :3].abs().max() < 0.05 and error[:, 3:].abs().max() < 4
