"""A problem on a chart, as an optimiser's objective; and an optimiser's run as a story.

    objective = PoseObjective(problem, chart)
    optimum = run(lbfgs(start, LbfgsSettings()), objective.answer)
    optimum = yield from optimise.pieces(lbfgs(start, LbfgsSettings()), objective.answer.pieces)

The second form pauses between the images, so that a window that waits for it stays alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..pieces import Pieces, Story, divisible
from ..registration.problem import Problem
from ..similarity import Agreement
from .asking import Answer, Optimiser, Optimum, Query, better
from .charts import Chart
from .penalties import Penalty


@dataclass(frozen=True, eq=False)
class PoseObjective:
    """Scores points of a chart by a problem: `weight` times the similarity, less the penalties.

    Images are made as many at a time as the problem finds handy, whatever the number of points. For a chart of several
    objects the problem is one whose `scores` and `agreement` take their poses (N, K, 4, 4), with 6 K twist numbers.
    """

    problem: Problem
    chart: Chart
    penalties: tuple[Penalty, ...] = ()
    weight: float = 1.0

    @divisible
    def answer(self, query: Query) -> Pieces[Answer]:
        """The answer to a query."""
        poses = self.chart.poses(query.points)
        if query.derivatives == 0:
            scores = self.weight * (yield from self.problem.scores.pieces(poses)).double()
            return Answer(scores + sum(penalty.agreement(poses).score for penalty in self.penalties))
        total = yield from self.problem.agreement.pieces(poses, normals=query.derivatives > 1)
        total = total.scaled(self.weight)
        for penalty in self.penalties:
            total = total + penalty.agreement(poses)
        return on_chart(total, self.chart, query)


def on_chart(agreement: Agreement, chart: Chart, query: Query) -> Answer:
    """An agreement by twists as the answer to a query of points of a chart."""
    twists = chart.twists(query.points)
    return Answer(
        agreement.score.double(),
        -(agreement.gradient.double()[:, None] @ twists)[:, 0],
        twists.mT @ agreement.normal.double() @ twists if query.derivatives > 1 else None,
    )


@dataclass(frozen=True, eq=False)
class Progress:
    """How far an optimiser has come: points asked for, the best point (P,) and its score (NaN before there is one)."""

    evaluations: int
    point: Tensor
    score: float


@divisible
def optimise(optimiser: Optimiser, answer: Callable[[Query], Pieces[Answer]]) -> Story[Progress, Optimum]:
    """Let an optimiser have its way, telling how far it has come after every answer; it is closed whatever happens."""
    evaluations = 0
    best: tuple[Tensor, float] | None = None
    try:
        query = next(optimiser)
        while True:
            found = yield from answer(query)
            evaluations += len(query.points)
            best = better(best, query.points, found.scores)
            yield Progress(evaluations, *best)
            query = optimiser.send(found)
    except StopIteration as end:
        optimum: Optimum = end.value
        return optimum
    finally:
        optimiser.close()
