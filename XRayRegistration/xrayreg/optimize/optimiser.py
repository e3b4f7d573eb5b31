"""The optimiser interface: an optimiser evaluates an objective at points and returns the best point evaluated.

    optimum = optimise(adam(start, XVR_ADAM), objective)

An optimiser works on parameter vectors and never sees what is scored, so the objective may render on any device. An
error raised by the objective ends the optimiser and reaches the caller. An optimiser is written as a function of the
objective that returns why it ended, decorated with `best_seen`: the optimum is the best point evaluated, wherever the
method ended.
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
    """Points (N, P) float64 whose scores are requested.

    derivatives: 0 for scores alone, 1 for scores and gradients, 2 for normal matrices as well.
    """

    points: Tensor
    derivatives: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """Scores (N,), to be maximised, NaN where they could not be computed; all tensors are float64.

    gradients: (N, P) of the score. normals: (N, P, P) Gauss-Newton approximation of minus the score's Hessian.
    """

    scores: Tensor
    gradients: Tensor | None = None
    normals: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best point (P,) evaluated, the first of equal ones, and its score, NaN where no point could be scored.

    evaluations: number of points evaluated. reason: why the search ended, a sentence.
    """

    point: Tensor
    score: float
    evaluations: int
    reason: str


@dataclass(frozen=True, eq=False)
class OptimiserProgress:
    """Progress of an optimiser: points evaluated, the best point (P,) and its score (NaN before there is one)."""

    evaluations: int
    point: Tensor
    score: float


Objective = Callable[[Query], Answer]
OnProgress = Callable[[OptimiserProgress], object]
Optimiser = Callable[[Objective, OnProgress | None], Optimum]

NOWHERE = "The similarity could not be computed anywhere that was looked at."


def best_seen(method: Callable[Concatenate[Objective, P], str]) -> Callable[P, Optimiser]:
    """Decorate a method, which takes the objective first and returns why it ended, to make optimisers.

    The optimum is the best point at which the objective was evaluated.
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

    on_progress: called after every answer; errors that it or the objective raises reach the caller.
    """
    return optimiser(objective, on_progress)


class _Seen:
    """An objective that records the best point evaluated."""

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
    """The best of the previous best and these points (N, P)."""
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
    """A float64 copy of values (P,); raises InputError where they are not a vector of finite numbers."""
    if values.dim() != 1 or len(values) == 0 or not torch.isfinite(values).all():
        raise InputError(
            what, expected="finite numbers in a row", found=f"shape {tuple(values.shape)}", remedy="check the start"
        )
    return values.detach().to("cpu", torch.float64).clone()


def bounds(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds (P,) as float64; raises InputError where shapes differ or a lower bound exceeds its upper bound."""
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
    """`bounds`, or None where neither side is given; raises InputError where only one is."""
    if lower is None and upper is None:
        return None
    if lower is None or upper is None:
        raise InputError("bounds", expected="both or neither", found="one side only", remedy="give the other side too")
    return bounds(lower, upper)
