"""Evolution strategies: derivative-free, evaluating a generation of points per batch, which suits renderers."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import InputError
from ..settings import CmaSettings, DeSettings
from .losses import ranked
from .optimiser import Objective, Query, best_seen, bounds, box, numbers

Array = NDArray[np.float64]

_LOST = "Nothing in a whole generation could be scored."
_USED_UP = "The generations were used up."


@best_seen
def cma_es(
    objective: Objective,
    start: Tensor,
    sigma: Tensor,
    settings: CmaSettings,
    lower: Tensor | None = None,
    upper: Tensor | None = None,
) -> str:
    """Run CMA-ES around a start (P,) with initial standard deviations sigma (P,), within optional bounds (P,).

    The start is evaluated too, before the first generation. Points outside the bounds are drawn again.
    Raises InputError where the package cmaes is not installed.
    """
    try:
        from cmaes import CMA
    except ImportError as error:
        raise InputError(
            "CMA-ES", expected="the package cmaes", found="none", remedy="install it: pip install cmaes"
        ) from error
    first, unit = numbers(start, "start").numpy(), numbers(sigma, "standard deviations").numpy()
    if unit.shape != first.shape or (unit <= 0).any():
        raise InputError(
            "standard deviations",
            expected=f"{len(first)} numbers above 0",
            found=str(unit.tolist()),
            remedy="one for each number",
        )
    low, high = (bound.numpy() for bound in box(lower, upper) or (torch.tensor(-np.inf), torch.tensor(np.inf)))
    first = first.clip(low, high)
    limits = None if lower is None else np.stack([(low - first) / unit, (high - first) / unit], axis=1)
    # The package's coordinates are multiples of the initial standard deviations, relative to the start.
    strategy = CMA(
        mean=np.zeros(len(first)),
        sigma=1.0,
        bounds=limits,
        seed=settings.seed,
        population_size=settings.population or None,
        lr_adapt=settings.adapt_rates,
    )
    objective(Query(torch.from_numpy(first.copy())[None]))
    best: deque[float] = deque(maxlen=10 + math.ceil(30 * len(first) / strategy.population_size))
    for _ in range(settings.generations):
        steps = np.stack([strategy.ask() for _ in range(strategy.population_size)])
        points = first + steps * unit
        answer = objective(Query(torch.from_numpy(points.clip(low, high))))
        losses = ranked(answer.scores)
        best.append(float(losses.min()))
        if math.isinf(best[-1]):
            return _LOST
        if (points.std(axis=0) < settings.tolerance_points).all():
            return "The generation has drawn together."
        if len(best) == best.maxlen and _together([*best, *losses], settings.tolerance_scores):
            return "The similarity no longer rises."
        strategy.tell(list(zip(steps, losses.tolist(), strict=True)))
        if strategy.should_stop():
            return "The search distribution is exhausted."
    return _USED_UP


@best_seen
def differential_evolution(
    objective: Objective, lower: Tensor, upper: Tensor, settings: DeSettings, start: Tensor | None = None
) -> str:
    """Run DE/rand/1/bin within bounds (P,); the first generation is uniform and includes the start (P,) or the centre.

    Mutants are clamped to the bounds.
    """
    low, high = bounds(lower, upper)
    if settings.population < 4:
        raise InputError("population", expected="4 or more points", found=str(settings.population), remedy="raise it")
    middle = (low + high) / 2 if start is None else numbers(start, "start").clamp(low, high)
    least, most = low.numpy(), high.numpy()
    generator = np.random.default_rng(settings.seed)
    points = generator.uniform(least, most, (settings.population, len(least)))
    points[0] = middle.numpy()
    losses = ranked(objective(Query(torch.from_numpy(points.copy()))).scores)
    for _ in range(settings.generations):
        if np.isinf(losses).all():
            return _LOST
        if _together(losses.tolist(), settings.tolerance_scores):
            return "The whole generation is equally good."
        candidates = _mutants(points, settings, generator).clip(least, most)
        found = ranked(objective(Query(torch.from_numpy(candidates.copy()))).scores)
        better = found < losses
        points = np.where(better[:, None], candidates, points)
        losses = np.where(better, found, losses)
    return _USED_UP


def _mutants(points: Array, settings: DeSettings, generator: np.random.Generator) -> Array:
    """One candidate (N, P) per point: some of its parameters replaced by those of a mutant built from other points."""
    count, size = points.shape
    base, plus, minus = _others(count, generator)
    scale = generator.uniform(settings.scale, 1.0, (count, 1)) if settings.dither else settings.scale
    mutants = points[base] + scale * (points[plus] - points[minus])
    crossed = generator.uniform(size=(count, size)) < settings.crossover
    # At least one parameter is taken from the mutant.
    crossed[np.arange(count), generator.integers(0, size, count)] = True
    return np.where(crossed, mutants, points)


def _others(count: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """For each of `count` indices three others, distinct from it and from one another."""
    first = generator.integers(1, count, count)
    second = generator.integers(1, count - 1, count)
    second += second >= first
    third = generator.integers(1, count - 2, count)
    third += third >= np.minimum(first, second)
    third += third >= np.maximum(first, second)
    return tuple((np.arange(count) + offset) % count for offset in (first, second, third))


def _together(losses: list[float], tolerance: float) -> bool:
    spread = max(losses) - min(losses)
    return bool(spread <= 0 if tolerance == 0 else spread < tolerance)
