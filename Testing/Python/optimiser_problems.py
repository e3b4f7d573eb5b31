"""Functions with known optima for optimisers: scores with exact gradients and normal matrices, and what was asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from phantoms import PIVOT, camera_at, frontal, phantom_map, xray
from torch import Tensor

from xrayreg.optimize import Answer, PoseObjective, Query, RotVec
from xrayreg.registration.problem import Problem, build_problem
from xrayreg.render import prepare
from xrayreg.settings import Term
from xrayreg.similarity import Similarity

DOUBLE = torch.float64
Residuals = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """An objective between bounds (P,), where to start (P,), and the score of the best point there is."""

    start: Tensor
    lower: Tensor
    upper: Tensor
    best: float
    answer: Callable[[Query], Answer]


@dataclass(eq=False)
class Watched:
    """An objective that remembers what it was asked and what it said."""

    answer: Callable[[Query], Answer]
    queries: list[Query] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)

    def __call__(self, query: Query) -> Answer:
        answer = self.answer(query)
        self.queries.append(query)
        self.scores.append(answer.scores)
        return answer

    @property
    def points(self) -> Tensor:
        return torch.cat([query.points for query in self.queries])


def squares(residuals: Residuals, jacobian_of: Residuals) -> Callable[[Query], Answer]:
    """Score minus half the squared residuals (N, M) of points (N, P), whose Jacobians are (N, M, P)."""

    def answer(query: Query) -> Answer:
        r = residuals(query.points)
        scores = -0.5 * (r**2).sum(-1)
        if query.derivatives == 0:
            return Answer(scores)
        jacobian = jacobian_of(query.points)
        return Answer(scores, -torch.einsum("nmp,nm->np", jacobian, r), jacobian.mT @ jacobian)

    return answer


def quadratic(dimensions: int, condition: float, at: float = 0.0) -> Task:
    """A bowl whose axes are turned out of the coordinates' and whose curvatures differ by `condition`."""
    generator = torch.Generator().manual_seed(dimensions)
    turn, _ = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator, dtype=DOUBLE))
    root = torch.logspace(0, -0.5 * torch.tensor(condition).log10().item(), dimensions, dtype=DOUBLE)[:, None] * turn
    optimum = torch.linspace(-1, 1, dimensions, dtype=DOUBLE) + at
    start = torch.full((dimensions,), 2.0, dtype=DOUBLE) + at
    box = torch.full((dimensions,), 4.0, dtype=DOUBLE)
    return Task(
        start,
        at - box,
        at + box,
        0.0,
        squares(lambda x: (x - optimum) @ root.mT, lambda x: root.expand(len(x), -1, -1)),
    )


def valley(dimensions: int) -> Task:
    """Rosenbrock's curved valley, its steps a tenth as steep as usual, from its classical start in every pair."""

    def residuals(x: Tensor) -> Tensor:
        return torch.cat([3 * (x[:, 1:] - x[:, :-1] ** 2), 1 - x[:, :-1]], dim=1)

    def jacobian(x: Tensor) -> Tensor:
        count = dimensions - 1
        slopes = torch.zeros(len(x), 2 * count, dimensions, dtype=DOUBLE)
        slopes[:, :count].diagonal(1, -2, -1).fill_(3.0)
        slopes[:, :count].diagonal(0, -2, -1).copy_(-6 * x[:, :-1])
        slopes[:, count:].diagonal(0, -2, -1).fill_(-1.0)
        return slopes

    box = torch.full((dimensions,), 3.0, dtype=DOUBLE)
    start = torch.full((dimensions,), 0.2, dtype=DOUBLE)
    return Task(start, -box, box, 0.0, squares(residuals, jacobian))


def holed() -> Task:
    """A bowl with fine ripples like those of rendered images, and a region without scores between start and optimum."""
    smooth = quadratic(6, 10.0)

    def answer(query: Query) -> Answer:
        found = smooth.answer(query)
        ripples = 1e-4 * (1000 * query.points).sin().sum(-1)
        seen = (query.points - 1.2).norm(dim=-1) > 0.8
        scores = (found.scores + ripples).where(seen, torch.nan)
        if found.gradients is None or found.normals is None:
            return Answer(scores)
        lost = ~seen[:, None]
        return Answer(
            scores, found.gradients.masked_fill(lost, torch.nan), found.normals.masked_fill(lost[..., None], torch.nan)
        )

    return Task(smooth.start, smooth.lower, smooth.upper, 0.0, answer)


def cornered() -> Task:
    """A round bowl whose middle lies outside the bounds of half the numbers."""
    optimum = torch.tensor([3.0, -3.0, 3.0, 0.3, -0.2, 0.1], dtype=DOUBLE)
    box = torch.full((6,), 1.0, dtype=DOUBLE)
    answer = squares(lambda x: x - optimum, lambda x: torch.eye(6, dtype=DOUBLE).expand(len(x), 6, 6))
    return Task(torch.zeros(6, dtype=DOUBLE), -box, box, -0.5 * 3 * 2.0**2, answer)


def resting() -> Task:
    """A start on the optimum."""
    task = quadratic(6, 10.0)
    optimum = torch.linspace(-1, 1, 6, dtype=DOUBLE)
    return Task(optimum, task.lower, task.upper, 0.0, task.answer)


def nowhere() -> Task:
    """Nothing but NaN."""

    def answer(query: Query) -> Answer:
        count, size = query.points.shape
        lost = [torch.full(shape, torch.nan, dtype=DOUBLE) for shape in ((count,), (count, size), (count, size, size))]
        return Answer(*lost)

    box = torch.ones(6, dtype=DOUBLE)
    return Task(0.1 * box, -box, box, torch.nan, answer)


TRUTH = frontal((0.1, -0.15, 0.05), (6.0, -8.0, 20.0))[0]
START = frontal((0.15, -0.10, 0.10), (9.0, -5.0, 35.0))[0]
# One degree, one millimetre in the image plane, three in depth.
UNITS = torch.tensor([torch.pi / 180] * 3 + [1.0, 1.0, 3.0], dtype=DOUBLE)


@functools.cache
def small_problem() -> Problem:
    """The phantom and its X-ray in closed form at 48 pixels."""
    projector = prepare(phantom_map(), "numba", "cpu")
    return build_problem(
        projector, (xray(camera_at(48), TRUTH[None]),), Similarity((Term(),)), image_px=48, pivot=PIVOT
    )


def start_parameters() -> RotVec:
    """Degrees and millimetres from the start."""
    return RotVec(START, PIVOT, UNITS)


@functools.cache
def registration() -> Task:
    """A small registration, started 5 degrees and 16 mm off, in degrees and millimetres from its start."""
    problem = small_problem()
    box = torch.full((6,), 8.0, dtype=DOUBLE)
    # The truth scores 0.99999; the best of this map's DRRs are a few millionths better.
    best = float(problem.scores(TRUTH[None])[0])
    return Task(torch.zeros(6, dtype=DOUBLE), -box, box, best, PoseObjective(problem, start_parameters()).answer)
