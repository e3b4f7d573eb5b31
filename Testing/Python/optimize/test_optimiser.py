"""What every optimiser does: which point it returns, what it refuses, and when progress is reported."""

from __future__ import annotations

import math

import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.optimize import Answer, Objective, OptimiserProgress, Query, optimise
from xrayreg.optimize.optimiser import NOWHERE, best_seen

NAN = math.nan


@best_seen
def asks_for(objective: Objective, points: list[float], derivatives: int = 0, at_once: int = 1) -> str:
    """Asks for some points on a line and ends."""
    for some in torch.tensor(points, dtype=torch.float64)[:, None].split(at_once):
        if len(some):
            objective(Query(some, derivatives))
    return "Done."


def from_table(scores: dict[float, float]):
    """Answers from a table."""

    def answer(query: Query) -> Answer:
        return Answer(torch.tensor([scores[float(point)] for point in query.points], dtype=torch.float64))

    return answer


ANSWERS = {
    "the best of all": ([1.0, 2.0, 3.0], [0.1, 0.3, 0.2], 2.0, 0.3),
    "the first of equal ones": ([1.0, 2.0, 3.0], [0.1, 0.3, 0.3], 2.0, 0.3),
    "NaN is worse than anything": ([1.0, 2.0, 3.0], [NAN, -1e9, NAN], 2.0, -1e9),
    "even than minus infinity": ([1.0, 2.0, 3.0], [NAN, -math.inf, NAN], 2.0, -math.inf),
    "infinity is best": ([1.0, 2.0, 3.0], [0.0, math.inf, 1e300], 2.0, math.inf),
}


@pytest.mark.parametrize(("points", "scores", "best", "score"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_the_optimum_is_the_best_point_seen(points, scores, best, score, at_once):
    optimum = optimise(asks_for(points, at_once=at_once), from_table(dict(zip(points, scores, strict=True))))
    assert (optimum.point.tolist(), optimum.score) == ([best], score)
    assert optimum.evaluations == 3 and optimum.reason == "Done."


def test_where_nothing_could_be_scored_the_first_point_comes_back_with_a_sentence():
    optimum = optimise(asks_for([1.0, 2.0]), from_table({1.0: NAN, 2.0: NAN}))
    assert optimum.point.tolist() == [1.0] and math.isnan(optimum.score)
    assert optimum.evaluations == 2 and optimum.reason == NOWHERE


INCOMPLETE = {
    "too few scores": (0, Answer(torch.zeros(1))),
    "no gradients": (1, Answer(torch.zeros(2))),
    "gradients of another shape": (1, Answer(torch.zeros(2), torch.zeros(2, 3))),
    "no normal matrices": (2, Answer(torch.zeros(2), torch.zeros(2, 1))),
}


@pytest.mark.parametrize(("derivatives", "answer"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_answer_to_something_else_is_refused(derivatives, answer):
    with pytest.raises(InputError, match="of an answer"):
        optimise(asks_for([1.0, 2.0], derivatives, at_once=2), lambda query: answer)


def test_an_optimum_does_not_change_with_what_it_was_taken_from():
    query = Query(torch.zeros(1, 2, dtype=torch.float64))

    @best_seen
    def reuses(objective: Objective) -> str:
        objective(query)
        query.points.fill_(7.0)
        return "Done."

    optimum = optimise(reuses(), lambda query: Answer(torch.zeros(1)))
    assert optimum.point.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("after", [1, 2])
def test_progress_follows_every_answer_and_may_end_the_search(after):
    news = []

    def on_progress(progress: OptimiserProgress) -> None:
        news.append(progress)
        if len(news) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise(asks_for([3.0, 1.0, 2.0]), from_table({3.0: 0.1, 1.0: NAN, 2.0: 0.3}), on_progress)
    assert [progress.evaluations for progress in news] == list(range(1, 1 + after))
    assert all(progress.point.tolist() == [3.0] and progress.score == pytest.approx(0.1) for progress in news)


def test_a_method_that_asks_for_nothing_is_a_mistake():
    with pytest.raises(RuntimeError, match="without asking"):
        optimise(asks_for([]), from_table({}))
