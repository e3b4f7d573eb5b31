"""Gradient ascent as published: rates, schedules and steps are those of torch.optim."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from optimiser_problems import Watched, quadratic, valley

import xrayreg
from xrayreg.optimize import Query, adam, optimise, sgd
from xrayreg.settings import AdamSettings, Cycle, Plateau, SgdSettings, Stairs
from xrayreg.settings.methods import xvr_adam


def test_adam_has_a_rate_for_each_number_of_every_object():
    task = quadratic(12, 100.0)
    rates = tuple(0.01 * (n + 1) for n in range(6))
    watched = Watched(task.answer)
    optimise(adam(task.start, AdamSettings(rates, steps=1)), watched)
    # Adam's first step is as long as the rate.
    moved = (watched.points[1] - watched.points[0]).abs()
    torch.testing.assert_close(moved, torch.tensor(rates * 2, dtype=torch.float64), rtol=1e-5, atol=0)


SCHEDULES: dict[str, tuple[AdamSettings, Callable[[torch.optim.Optimizer], object]]] = {
    "plateaus": (
        AdamSettings((0.05,), 120, Plateau(patience=3)),
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, "max", 0.1, 3, 1e-4),
    ),
    "stairs": (AdamSettings((0.05,), 120, Stairs(25, 0.9)), lambda o: torch.optim.lr_scheduler.StepLR(o, 25, 0.9)),
    "cycles": (
        AdamSettings((0.05,), 120, Cycle(0.5, 1.5, 10)),
        lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.025, 0.075, 10, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize(("settings", "schedule"), SCHEDULES.values(), ids=SCHEDULES)
def test_adam_goes_where_a_plain_loop_with_torch_goes(settings, schedule):
    task = valley(6)
    watched = Watched(task.answer)
    optimum = optimise(adam(task.start, settings), watched)
    leaf = task.start.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.05, maximize=True)
    scheduler = schedule(optimiser)
    rates, path = {0.05}, [leaf.detach().clone()]
    for _ in range(settings.steps):
        score = -0.5 * (9 * ((leaf[1:] - leaf[:-1] ** 2) ** 2).sum() + ((1 - leaf[:-1]) ** 2).sum())
        optimiser.zero_grad()
        score.backward()
        optimiser.step()
        scheduler.step(*([score.item()] if settings.schedule == Plateau(patience=3) else []))
        path.append(leaf.detach().clone())
        rates.add(optimiser.param_groups[0]["lr"])
        if settings.schedule == Plateau(patience=3) and len(rates) == 3:
            break
    assert len(path) == len(watched.points)
    torch.testing.assert_close(watched.points, torch.stack(path), rtol=0, atol=1e-9)
    assert ("used up" in optimum.reason) and (("rates" in optimum.reason) == (len(path) < settings.steps + 1))


def test_momentum_goes_where_a_plain_loop_with_torch_goes():
    task = quadratic(6, 10.0)
    watched = Watched(task.answer)
    optimise(sgd(task.start, SgdSettings((0.01,), 0.9, steps=30)), watched)
    leaf = task.start.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=0.01, momentum=0.9, maximize=True)
    for point in watched.points[:-1]:
        torch.testing.assert_close(point, leaf.detach(), rtol=0, atol=1e-12)
        leaf.grad = task.answer(Query(leaf.detach()[None], 1)).gradients[0]
        optimiser.step()
    torch.testing.assert_close(watched.points[-1], leaf.detach(), rtol=0, atol=1e-12)


def test_scores_that_stand_still_end_it_after_ten():
    task = quadratic(6, 10.0)
    watched = Watched(task.answer)
    optimum = optimise(sgd(task.start, SgdSettings((1e-9,), steps=100, still=1e-3)), watched)
    assert optimum.evaluations == 10 and "no longer changes" in optimum.reason


def test_the_last_step_is_looked_at_too():
    task = quadratic(6, 10.0)
    optimum = optimise(adam(task.start, AdamSettings((0.1,), steps=1)), task.answer)
    assert optimum.evaluations == 2 and not torch.equal(optimum.point, task.start)


def test_seconds_are_not_spent_on_loading_torchs_optimisers():
    """torch.optim loads a compiler when it is first used, which takes seconds."""
    script = """
import sys, torch
from xrayreg.optimize import Answer, adam, optimise
from xrayreg.settings import AdamSettings
optimise(adam(torch.ones(6), AdamSettings((0.1,), 2)), lambda query: Answer(torch.zeros(1), torch.ones(1, 6)))
assert "torch._dynamo" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": str(Path(xrayreg.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", script], check=False, env=environment).returncode == 0


@pytest.mark.parametrize(("level", "divided_by"), [(1, 1), (2, 2), (3, 8), (4, 64)])
def test_xvr_divides_its_rates_once_more_on_every_level(level, divided_by):
    settings = xvr_adam(level)
    assert settings.rates == tuple(rate / divided_by for rate in (1e-2, 1e-2, 1e-2, 1.0, 1.0, 1.0))
    assert settings.schedule == Plateau(0.1, 10, 1e-4, 3) and settings.steps == 500
