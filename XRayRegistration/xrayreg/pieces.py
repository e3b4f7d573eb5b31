"""Long work in short pieces, so that a window that waits for it stays alive.

What takes long is written as a generator that pauses between its pieces and returns what it made. Made `divisible`, it
is called like any function, or taken piece by piece:

    mu = attenuation_of(volume)                      # all at once
    mu = yield from attenuation_of.pieces(volume)    # a piece at a time, within a generator

A pause brings None, or news of how far the work has come. Pieces are meant to take less than a twentieth of a second.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
Q = ParamSpec("Q")
Owner = TypeVar("Owner")
News = TypeVar("News")
Other = TypeVar("Other")
Made = TypeVar("Made")

# Work with news on the way, and work without.
Story = Generator[News | None, None, Made]
Pieces = Generator[None, None, Made]


class Divisible(Generic[P, News, Made]):
    """A function or method whose work can be taken piece by piece; see the module.

    pieces: the generator function: pauses, and returns what is made.
    """

    def __init__(self, pieces: Callable[P, Story[News, Made]]) -> None:
        functools.update_wrapper(self, pieces)
        self.pieces = pieces

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Made:
        return whole(self.pieces(*args, **kwargs))

    def __get__(
        self: Divisible[Concatenate[Owner, Q], News, Made], owner: Owner, kind: type | None = None
    ) -> Divisible[Q, News, Made]:
        method: Any = self if owner is None else Divisible(MethodType(self.pieces, owner))
        return method


def divisible(pieces: Callable[P, Story[News, Made]]) -> Divisible[P, News, Made]:
    """Let a generator function be called as one, or taken piece by piece."""
    return Divisible(pieces)


def whole(story: Story[News, Made]) -> Made:
    """What a piece of work returns, all its pieces done one after the other."""
    while True:
        try:
            next(story)
        except StopIteration as end:
            return end.value


def retold(story: Story[News, Made], tell: Callable[[News], Other]) -> Story[Other, Made]:
    """The same work with its news passed through `tell`."""
    try:
        while True:
            try:
                news = next(story)
            except StopIteration as end:
                return end.value
            yield None if news is None else tell(news)
    finally:
        story.close()
