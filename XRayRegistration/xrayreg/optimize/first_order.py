"""Gradient ascent as published: Adam and momentum, with the schedules of learning rates that torch.optim has.

They are written out here, as the first use of torch.optim in a process takes seconds; tests hold them to torch's.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from ..checks import InputError
from ..settings import AdamSettings, Constant, Cycle, Plateau, Schedule, SgdSettings, Stairs
from .asking import Asking, Query, numbers, told_best

# Scores whose standard deviation tells whether anything still happens.
_RECENT = 10
# Of Kingma and Ba 2015, and torch's.
_FADING, _SQUARES_FADING, _LEAST = 0.9, 0.999, 1e-8

# Sent a gradient (P,), yields the direction (P,) to go, times the learning rate.
Direction = Generator[Tensor, Tensor, None]
# Sent a score, yields what the learning rates are multiplied by in the next step; ends when they are used up.
Factors = Generator[float, float, None]


@told_best
def adam(start: Tensor, settings: AdamSettings) -> Asking:
    """Adam from a start (P,); ends where a score or slope cannot be computed.

    Raises InputError where the rates do not fit the numbers.
    """
    return (yield from _ascent(start, settings, _adaptive))


@told_best
def sgd(start: Tensor, settings: SgdSettings) -> Asking:
    """Gradient ascent with momentum from a start (P,); see `adam`."""
    return (yield from _ascent(start, settings, lambda: _rolling(settings.momentum)))


def _ascent(start: Tensor, settings: AdamSettings | SgdSettings, begin: Callable[[], Direction]) -> Asking:
    point = numbers(start, "start")
    rates = _rates(settings.rates, len(point))
    direction, factors = begin(), _factors(settings.schedule)
    next(direction)
    factor = next(factors)
    recent: deque[float] = deque(maxlen=_RECENT)
    relative, unit = isinstance(settings, SgdSettings) and settings.relative, 1.0
    for number in range(settings.steps):
        answer = yield Query(point[None], 1)
        assert answer.gradients is not None
        score, gradient = float(answer.scores[0]), answer.gradients[0]
        if not (math.isfinite(score) and torch.isfinite(gradient).all()):
            return "The similarity or its slope could not be computed where the steps led."
        if relative and number == 0:
            unit = float(gradient.norm()) or 1.0
        recent.append(score / unit)
        if len(recent) == _RECENT and statistics.pstdev(recent) < settings.still:
            return "The similarity no longer changes."
        point = point + factor * rates * direction.send(gradient / unit)
        try:
            factor = factors.send(score)
        except StopIteration:
            yield Query(point[None])
            return "The learning rates were reduced until they were used up."
    yield Query(point[None])
    return "The steps were used up."


def _rates(rates: tuple[float, ...], count: int) -> Tensor:
    """A learning rate for each of `count` numbers."""
    if not rates or count % len(rates):
        raise InputError(
            "learning rates",
            expected=f"one for each of {count} numbers, or for those of each object",
            found=str(len(rates)),
            remedy="give one rate per number",
        )
    return torch.tensor(rates, dtype=torch.float64).repeat(count // len(rates))


def _adaptive() -> Direction:
    """Adam: the fading mean of the gradients over the root of that of their squares, both freed of their bias."""
    gradient = yield torch.empty(0)
    mean, squares = torch.zeros_like(gradient), torch.zeros_like(gradient)
    for step in itertools.count(1):
        mean = _FADING * mean + (1 - _FADING) * gradient
        squares = _SQUARES_FADING * squares + (1 - _SQUARES_FADING) * gradient**2
        size = (squares / (1 - _SQUARES_FADING**step)).sqrt() + _LEAST
        gradient = yield mean / (1 - _FADING**step) / size


def _rolling(momentum: float) -> Direction:
    """The sum of all gradients, each fading by `momentum` a step."""
    gradient = yield torch.empty(0)
    velocity = torch.zeros_like(gradient)
    while True:
        velocity = momentum * velocity + gradient
        gradient = yield velocity


def _factors(schedule: Schedule) -> Factors:
    match schedule:
        case Plateau():
            yield from _on_plateaus(schedule)
        case Stairs():
            for step in itertools.count():
                yield schedule.factor ** (step // schedule.every)
        case Cycle():
            for step in itertools.count():
                rise = 1 - abs(step / schedule.half % 2 - 1)
                yield schedule.lowest + (schedule.highest - schedule.lowest) * rise
        case Constant():
            while True:
                yield 1.0


def _on_plateaus(schedule: Plateau) -> Factors:
    factor, best, waited = 1.0, -math.inf, 0
    # The run ends as soon as the last of the rates is reached.
    for _ in range(max(1, schedule.plateaus - 1)):
        while waited <= schedule.patience:
            score = yield factor
            if score > best * (1 + schedule.threshold):
                best, waited = score, 0
            else:
                waited += 1
        factor, waited = factor * schedule.factor, 0
