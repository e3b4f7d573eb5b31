"""The protocol of optimisers: who asks, who answers, and what is remembered."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator

import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.optimize import Answer, Optimum, Query, run
from xrayreg.optimize.asking import NOWHERE, Asking, told_best
from xrayreg.optimize.inverted import Ask, Closed, inverted

NAN = math.nan


@told_best
def asks_for(points: list[float], derivatives: int = 0, at_once: int = 1) -> Asking:
    """Asks for some points on a line and ends."""
    for some in torch.tensor(points, dtype=torch.float64)[:, None].split(at_once):
        yield Query(some, derivatives)
    return "Done."


def told(scores: dict[float, float]):
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
    optimum = run(asks_for(points, at_once=at_once), told(dict(zip(points, scores, strict=True))))
    assert (optimum.point.tolist(), optimum.score) == ([best], score)
    assert optimum.evaluations == 3 and optimum.reason == "Done."


def test_where_nothing_could_be_scored_the_first_point_comes_back_with_a_sentence():
    optimum = run(asks_for([1.0, 2.0]), told({1.0: NAN, 2.0: NAN}))
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
        run(asks_for([1.0, 2.0], derivatives, at_once=2), lambda query: answer)


def test_an_optimum_does_not_change_with_what_it_was_taken_from():
    query = Query(torch.zeros(1, 2, dtype=torch.float64))

    @told_best
    def reuses() -> Asking:
        yield query
        query.points.fill_(7.0)
        return "Done."

    optimum = run(reuses(), lambda query: Answer(torch.zeros(1)))
    assert optimum.point.tolist() == [0.0, 0.0]


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def line(ask: Ask) -> str:
    """A library's search: three calls, one after the other."""
    for x in (1.0, 2.0, 3.0):
        ask(Query(torch.tensor([[x]])))
    return "Done."


def test_a_library_that_calls_back_becomes_a_generator_that_asks():
    before = threads()
    asked, answers = [], []
    generator = inverted(line)
    query = next(generator)
    while True:
        asked.append(float(query.points))
        answers.append(threading.current_thread())
        try:
            query = generator.send(Answer(query.points[:, 0]))
        except StopIteration as end:
            assert end.value == "Done."
            break
    assert asked == [1.0, 2.0, 3.0]
    # Whoever renders does so where it wants to, never in the library's thread.
    assert set(answers) == {threading.current_thread()}
    assert threads() == before


def test_nothing_starts_before_it_is_asked_for():
    before = threads()
    generator = inverted(line)
    assert threads() == before
    generator.close()


@pytest.mark.parametrize("taken", [1, 2])
def test_closing_ends_the_thread_even_of_a_library_that_goes_on_asking(taken):
    before = threads()
    refused = []

    def stubborn(ask: Ask) -> str:
        while len(refused) < 5:
            try:
                ask(Query(torch.zeros(1, 1)))
            except Closed:
                refused.append(True)
        return "Done."

    generator = inverted(stubborn)
    next(generator)
    for _ in range(taken - 1):
        generator.send(Answer(torch.zeros(1)))
    generator.close()
    assert threads() == before and len(refused) == 5


def test_forgetting_it_ends_the_thread_too():
    before = threads()
    generator = inverted(line)
    next(generator)
    assert threads() != before
    del generator
    assert threads() == before


def test_an_error_of_the_library_comes_out_where_the_answers_go_in():
    before = threads()

    def broken(ask: Ask) -> str:
        ask(Query(torch.zeros(1, 1)))
        raise OverflowError("inside the library")

    generator = inverted(broken)
    next(generator)
    with pytest.raises(OverflowError, match="inside the library"):
        generator.send(Answer(torch.zeros(1)))
    assert threads() == before


def test_an_optimiser_is_closed_when_its_objective_fails():
    closed = []

    def watched() -> Generator[Query, Answer, Optimum]:
        try:
            yield Query(torch.zeros(1, 1))
        finally:
            closed.append(True)
        raise AssertionError("nobody answers")

    def broken(query: Query) -> Answer:
        raise MemoryError

    optimiser = watched()
    with pytest.raises(MemoryError):
        run(optimiser, broken)
    assert closed == [True]
