"""Optimisers as coroutines on numbers: each asks for scores at points, is sent the answers, and returns the optimum.

    optimiser = adam(start, XVR_ADAM)
    optimum = run(optimiser, objective)

An optimiser never sees what is scored, so whoever answers it may render on any device, draw a window between two
answers, or close it. Every one of them is a generator function made `told_best`: it merely says why it ended, and the
optimum is the best point that was seen, whatever the method was doing when it ended.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import ParamSpec

import torch
from torch import Tensor

from ..checks import InputError

P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Query:
    """Points (N, P) float64 whose scores are asked for.

    derivatives: 0 for scores alone, 1 for gradients too, 2 for normal matrices too.
    """

    points: Tensor
    derivatives: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """Scores (N,), which are maximised and NaN where nothing could be computed; float64, as all of it.

    gradients: (N, P) of the score. normals: (N, P, P) Gauss-Newton approximation of minus the score's Hessian.
    """

    scores: Tensor
    gradients: Tensor | None = None
    normals: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best point (P,) that was seen and its score, NaN where none could be scored; the first of equal ones.

    evaluations: how many points were asked for. reason: why the search ended, a sentence.
    """

    point: Tensor
    score: float
    evaluations: int
    reason: str


Optimiser = Generator[Query, Answer, Optimum]
# What a method itself is: it asks, and returns why it ended.
Asking = Generator[Query, Answer, str]
Objective = Callable[[Query], Answer]

NOWHERE = "The similarity could not be computed anywhere that was looked at."


def told_best(method: Callable[P, Asking]) -> Callable[P, Optimiser]:
    """Make an optimiser of a generator function that asks and returns why it ended."""

    @functools.wraps(method)
    def optimiser(*args: P.args, **kwargs: P.kwargs) -> Optimiser:
        return _watched(method(*args, **kwargs))

    return optimiser


def _watched(asking: Asking) -> Optimiser:
    best: tuple[Tensor, float] | None = None
    evaluations = 0
    try:
        query = next(asking)
        while True:
            answer = yield query
            _require_complete(query, answer)
            evaluations += len(query.points)
            best = better(best, query.points, answer.scores)
            query = asking.send(answer)
    except StopIteration as end:
        if best is None:
            raise RuntimeError("an optimiser ended without asking for anything") from end
        point, score = best
        return Optimum(point, score, evaluations, NOWHERE if math.isnan(score) else end.value)
    finally:
        asking.close()


def better(best: tuple[Tensor, float] | None, points: Tensor, scores: Tensor) -> tuple[Tensor, float]:
    """The best of what was seen before and these points (N, P)."""
    known = (~scores.isnan()).nonzero()[:, 0]
    number = int(known[scores[known].argmax()]) if len(known) else 0
    point, score = points[number].clone(), float(scores[number])
    if best is None or (math.isnan(best[1]) and not math.isnan(score)) or score > best[1]:
        return point, score
    return best


def _require_complete(query: Query, answer: Answer) -> None:
    count, numbers = query.points.shape
    expected = {"scores": (count,), "gradients": (count, numbers), "normals": (count, numbers, numbers)}
    for wanted, (name, shape) in enumerate(expected.items()):
        value: Tensor | None = getattr(answer, name)
        if query.derivatives >= wanted and (value is None or tuple(value.shape) != shape):
            found = "nothing" if value is None else f"shape {tuple(value.shape)}"
            raise InputError(
                f"{name} of an answer", expected=f"shape {shape}", found=found, remedy="answer what was asked for"
            )


def run(optimiser: Optimiser, objective: Objective) -> Optimum:
    """Let an optimiser have its way with an objective; it is closed whatever happens."""
    try:
        query = next(optimiser)
        while True:
            query = optimiser.send(objective(query))
    except StopIteration as end:
        optimum: Optimum = end.value
        return optimum
    finally:
        optimiser.close()


def numbers(values: Tensor, what: str) -> Tensor:
    """Values (P,) as float64 of their own; raises InputError where they are no finite numbers in a row."""
    if values.dim() != 1 or len(values) == 0 or not torch.isfinite(values).all():
        raise InputError(
            what, expected="finite numbers in a row", found=f"shape {tuple(values.shape)}", remedy="check the start"
        )
    return values.detach().to("cpu", torch.float64).clone()


def bounds(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds (P,) as float64; raises InputError where they do not fit or leave no room."""
    low, high = numbers(lower, "lower bounds"), numbers(upper, "upper bounds")
    if low.shape != high.shape or (low > high).any():
        raise InputError(
            "bounds",
            expected="as many lower ones as upper ones, none above",
            found=f"{low.tolist()} and {high.tolist()}",
            remedy="check their order",
        )
    return low, high


def box(lower: Tensor | None, upper: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """`bounds`, or None where there are none; raises InputError where one side is missing."""
    if lower is None and upper is None:
        return None
    if lower is None or upper is None:
        raise InputError("bounds", expected="both or neither", found="one side only", remedy="give the other side too")
    return bounds(lower, upper)
