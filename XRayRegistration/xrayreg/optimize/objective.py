"""A problem on a chart, as an optimiser's objective.

objective = PoseObjective(problem, chart)
optimum = optimise(lbfgs(start, LbfgsSettings()), objective.answer)
"""

from __future__ import annotations

from dataclasses import dataclass

from ..registration.problem import Problem
from ..similarity import Agreement
from .charts import Chart
from .optimiser import Answer, Query
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

    def answer(self, query: Query) -> Answer:
        """The answer to a query."""
        poses = self.chart.poses(query.points)
        if query.derivatives == 0:
            scores = self.weight * self.problem.scores(poses).double()
            return Answer(scores + sum(penalty.agreement(poses).score for penalty in self.penalties))
        total = self.problem.agreement(poses, normals=query.derivatives > 1)
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
