"""Gradient ascent as published: Adam and momentum, with learning-rate schedules as in torch.optim.

Reimplemented, as the first use of torch.optim in a process takes seconds; tests compare them with torch's.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import InputError
from ..settings import AdamSettings, Constant, Cycle, Plateau, Schedule, SgdSettings, Stairs
from .optimiser import Objective, Query, best_seen, numbers

# Number of latest scores whose standard deviation decides convergence.
_RECENT = 10
# Defaults of Kingma and Ba 2015 and of torch.
_FADING, _SQUARES_FADING, _LEAST = 0.9, 0.999, 1e-8

# Maps a gradient (P,) to the update direction (P,), to be multiplied by the learning rate.
Direction = Callable[[Tensor], Tensor]
# Maps the score before a step to the factor of the learning rates after it; None once the schedule has ended.
Factor = Callable[[float], float | None]


@best_seen
def adam(objective: Objective, start: Tensor, settings: AdamSettings) -> str:
    """Run Adam from a start (P,); ends where a score or gradient cannot be computed.

    Raises InputError where the number of rates does not fit the number of parameters.
    """
    return _ascent(objective, start, settings, _Adaptive())


@best_seen
def sgd(objective: Objective, start: Tensor, settings: SgdSettings) -> str:
    """Run gradient ascent with momentum from a start (P,); see `adam`."""
    return _ascent(objective, start, settings, _Rolling(settings.momentum))


def _ascent(objective: Objective, start: Tensor, settings: AdamSettings | SgdSettings, direction: Direction) -> str:
    point = numbers(start, "start")
    rates = _rates(settings.rates, len(point))
    factor, next_factor = _factors(settings.schedule)
    recent: deque[float] = deque(maxlen=_RECENT)
    relative, unit = isinstance(settings, SgdSettings) and settings.relative, 1.0
    for number in range(settings.steps):
        answer = objective(Query(point[None], 1))
        assert answer.gradients is not None
        score, gradient = float(answer.scores[0]), answer.gradients[0]
        if not (math.isfinite(score) and torch.isfinite(gradient).all()):
            return "The similarity or its slope could not be computed where the steps led."
        if relative and number == 0:
            unit = float(gradient.norm()) or 1.0
        recent.append(score / unit)
        if len(recent) == _RECENT and statistics.pstdev(recent) < settings.still:
            return "The similarity no longer changes."
        point = point + factor * rates * direction(gradient / unit)
        following = next_factor(score)
        if following is None:
            objective(Query(point[None]))
            return "The learning rates were reduced until they were used up."
        factor = following
    objective(Query(point[None]))
    return "The steps were used up."


def _rates(rates: tuple[float, ...], count: int) -> Tensor:
    """A learning rate for each of `count` parameters."""
    if not rates or count % len(rates):
        raise InputError(
            "learning rates",
            expected=f"one for each of {count} numbers, or for those of each object",
            found=str(len(rates)),
            remedy="give one rate per number",
        )
    return torch.tensor(rates, dtype=torch.float64).repeat(count // len(rates))


class _Adaptive:
    """Adam: moving average of the gradients over the root of that of their squares, both bias-corrected."""

    def __init__(self) -> None:
        self._mean = self._squares = torch.zeros(())
        self._steps = 0

    def __call__(self, gradient: Tensor) -> Tensor:
        self._steps += 1
        self._mean = _FADING * self._mean + (1 - _FADING) * gradient
        self._squares = _SQUARES_FADING * self._squares + (1 - _SQUARES_FADING) * gradient**2
        size = (self._squares / (1 - _SQUARES_FADING**self._steps)).sqrt() + _LEAST
        return self._mean / (1 - _FADING**self._steps) / size


class _Rolling:
    """Momentum: the sum of all gradients, each decayed by `momentum` per step."""

    def __init__(self, momentum: float) -> None:
        self._momentum, self._velocity = momentum, torch.zeros(())

    def __call__(self, gradient: Tensor) -> Tensor:
        self._velocity = self._momentum * self._velocity + gradient
        return self._velocity


def _factors(schedule: Schedule) -> tuple[float, Factor]:
    """The factor of the first step, and the function that gives those of later steps."""
    if isinstance(schedule, Plateau):
        return 1.0, _OnPlateaus(schedule)
    steps = itertools.count(1)
    return _scheduled(schedule, 0), lambda score: _scheduled(schedule, next(steps))


def _scheduled(schedule: Stairs | Cycle | Constant, step: int) -> float:
    """The factor of one step by a schedule that does not depend on scores."""
    match schedule:
        case Stairs():
            return schedule.factor ** (step // schedule.every)
        case Cycle():
            rise = 1 - abs(step / schedule.half % 2 - 1)
            return schedule.lowest + (schedule.highest - schedule.lowest) * rise
        case Constant():
            return 1.0


class _OnPlateaus:
    """Reduces the factor where the best score has not improved for some steps; ends at the last of the plateaus."""

    def __init__(self, schedule: Plateau) -> None:
        self._schedule = schedule
        self._factor, self._best = 1.0, -math.inf
        self._waited, self._plateaus = 0, 0

    def __call__(self, score: float) -> float | None:
        if score > self._best * (1 + self._schedule.threshold):
            self._best, self._waited = score, 0
        else:
            self._waited += 1
        if self._waited > self._schedule.patience:
            self._factor, self._waited = self._factor * self._schedule.factor, 0
            self._plateaus += 1
            # The run ends as soon as the last of the rates is reached.
            if self._plateaus >= max(1, self._schedule.plateaus - 1):
                return None
        return self._factor
