"""What every optimiser is: it asks an objective for scores at points, and returns the best point that it saw.

    optimum = optimise(adam(start, XVR_ADAM), objective)

An optimiser works on numbers and never sees what is scored, so whoever answers it may render on any device. What the
objective raises ends the optimiser and reaches the caller. An optimiser is written as a function of the objective that
returns why it ended, decorated with `best_seen`: the optimum is the best point seen, wherever the method ended.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec

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


@dataclass(frozen=True, eq=False)
class OptimiserProgress:
    """How far an optimiser has come: points asked for, the best point (P,) and its score (NaN before there is one)."""

    evaluations: int
    point: Tensor
    score: float


Objective = Callable[[Query], Answer]
OnProgress = Callable[[OptimiserProgress], object]
Optimiser = Callable[[Objective, OnProgress | None], Optimum]

NOWHERE = "The similarity could not be computed anywhere that was looked at."


def best_seen(method: Callable[Concatenate[Objective, P], str]) -> Callable[P, Optimiser]:
    """Decorate a method, which takes the objective first and returns why it ended, to make optimisers.

    The optimum is the best point that the objective was asked for.
    """

    @functools.wraps(method)
    def made(*args: P.args, **kwargs: P.kwargs) -> Optimiser:
        def run(objective: Objective, on_progress: OnProgress | None) -> Optimum:
            seen = _Seen(objective, on_progress)
            reason = method(seen, *args, **kwargs)
            if seen.best is None:
                raise RuntimeError("an optimiser ended without asking for anything")
            point, score = seen.best
            return Optimum(point, score, seen.evaluations, NOWHERE if math.isnan(score) else reason)

        return run

    return made


def optimise(optimiser: Optimiser, objective: Objective, on_progress: OnProgress | None = None) -> Optimum:
    """Run `optimiser` on `objective` to completion.

    on_progress: called after every answer; what it raises, as what the objective raises, reaches the caller.
    """
    return optimiser(objective, on_progress)


class _Seen:
    """An objective that remembers the best of what was asked of it."""

    def __init__(self, objective: Objective, on_progress: OnProgress | None) -> None:
        self._objective, self._on_progress = objective, on_progress
        self.best: tuple[Tensor, float] | None = None
        self.evaluations = 0

    def __call__(self, query: Query) -> Answer:
        answer = self._objective(query)
        _require_complete(query, answer)
        self.evaluations += len(query.points)
        self.best = _better(self.best, query.points, answer.scores)
        if self._on_progress is not None:
            self._on_progress(OptimiserProgress(self.evaluations, *self.best))
        return answer


def _better(best: tuple[Tensor, float] | None, points: Tensor, scores: Tensor) -> tuple[Tensor, float]:
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
