"""Work taken in pieces is the same work: same values, same errors, and it can be left anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from xrayreg.pieces import Pieces, Story, divisible, retold, whole


@dataclass(frozen=True)
class Counter:
    """Counts from `start`, a pause after each number."""

    start: int

    @divisible
    def total(self, count: int, *, weight: int = 1) -> Pieces[int]:
        """The sum of `count` numbers."""
        total = 0
        for number in range(self.start, self.start + count):
            total += weight * number
            yield
        return total


@divisible
def squares(count: int, closed: list[str]) -> Story[int, str]:
    """Tells squares, pauses after each, and notes when it is closed."""
    try:
        for number in range(count):
            yield number * number
            yield None
        return f"{count} squares"
    finally:
        closed.append("squares")


def told(story: Story) -> tuple[list[object], object]:
    """All that a story yields, and what it returns."""
    yielded = []
    while True:
        try:
            yielded.append(next(story))
        except StopIteration as end:
            return yielded, end.value


def test_what_is_called_is_what_is_made_piece_by_piece():
    counter = Counter(3)
    assert counter.total(4, weight=2) == 2 * (3 + 4 + 5 + 6)
    assert told(counter.total.pieces(4, weight=2)) == ([None] * 4, counter.total(4, weight=2))
    assert squares(3, []) == "3 squares"


def test_methods_of_two_objects_stay_apart():
    one, other = Counter(1).total, Counter(100).total
    assert (one(1), other(1)) == (1, 100)
    assert Counter.total(Counter(7), 1) == 7


def test_names_and_words_stay():
    assert squares.__name__ == "squares" and Counter.total.__doc__ == "The sum of `count` numbers."
    assert Counter(1).total.__doc__ == Counter.total.__doc__


def test_news_are_retold_and_pauses_and_results_stay():
    yielded, made = told(retold(squares.pieces(3, []), lambda square: f"<{square}>"))
    assert yielded == ["<0>", None, "<1>", None, "<4>", None] and made == "3 squares"


def test_work_within_work_returns_its_value():
    def both() -> Pieces[tuple[int, str]]:
        first = yield from Counter(1).total.pieces(2)
        second = yield from retold(squares.pieces(1, []), lambda square: None)
        return first, second

    assert whole(both()) == (3, "1 squares")


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_what_is_left_half_done_is_put_in_order_at_once(taken):
    closed: list[str] = []
    story = retold(squares.pieces(5, closed), str)
    for _ in range(taken):
        next(story)
    assert not closed
    story.close()
    assert closed == ["squares"]


def test_errors_pass_through():
    @divisible
    def failing() -> Pieces[None]:
        yield
        raise ValueError("no")

    for run in (failing, lambda: whole(retold(failing.pieces(), str))):
        with pytest.raises(ValueError, match="no"):
            run()
