"""A problem on a parameterisation, as an optimiser's objective.

objective = PoseObjective(problem, parameterisation)
optimum = optimise(lbfgs(start, LbfgsSettings()), objective.answer)
"""

from __future__ import annotations

from dataclasses import dataclass

from ..registration.problem import Problem
from ..similarity import Agreement
from .optimiser import Answer, Query
from .parameterisation import Parameterisation
from .penalties import Penalty


@dataclass(frozen=True, eq=False)
class PoseObjective:
    """Scores points of a parameterisation by a problem: `weight` times the similarity, less the penalties.

    The problem decides how many images are rendered at a time, whatever the number of points. For several objects its
    `scores` and `agreement` take poses (N, K, 4, 4), with 6 K twist parameters.
    """

    problem: Problem
    parameters: Parameterisation
    penalties: tuple[Penalty, ...] = ()
    weight: float = 1.0

    def answer(self, query: Query) -> Answer:
        """The answer to a query."""
        poses = self.parameters.poses(query.points)
        if query.derivatives == 0:
            scores = self.weight * self.problem.scores(poses).double()
            return Answer(scores + sum(penalty.agreement(poses).score for penalty in self.penalties))
        total = self.problem.agreement(poses, normals=query.derivatives > 1)
        total = total.scaled(self.weight)
        for penalty in self.penalties:
            total = total + penalty.agreement(poses)
        return on_parameters(total, self.parameters, query)


def on_parameters(agreement: Agreement, parameters: Parameterisation, query: Query) -> Answer:
    """Convert an agreement with derivatives by twists to the answer to a query of points of a parameterisation."""
    twists = parameters.twists(query.points)
    return Answer(
        agreement.score.double(),
        -(agreement.gradient.double()[:, None] @ twists)[:, 0],
        twists.mT @ agreement.normal.double() @ twists if query.derivatives > 1 else None,
    )
