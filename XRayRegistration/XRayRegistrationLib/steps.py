"""Work that the window does a step at a time, as generators that return what they made."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


def whole(steps: Generator[Any, None, T]) -> T:
    """What steps return, taken one after the other at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
