"""Libraries that call a function back, turned into coroutines that ask.

The library runs in a thread of its own and waits there for every answer, so that never two of the two sides work at the
same time. Whoever closes the generator ends the thread: the function that the library calls raises, once and for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from .asking import Answer, Asking, Query

Ask = Callable[[Query], Answer]


class Closed(Exception):
    """Nobody is going to answer any more."""


def inverted(work: Callable[[Ask], str]) -> Asking:
    """Ask what `work` asks of the function it is given, and return what it returns; its errors come out here."""
    said: SimpleQueue[Query | str | BaseException] = SimpleQueue()
    answers: SimpleQueue[Answer | None] = SimpleQueue()
    closed = threading.Event()

    def ask(query: Query) -> Answer:
        if not closed.is_set():
            said.put(query)
            answer = answers.get()
            if answer is not None:
                return answer
        raise Closed("the optimiser was closed")

    def all_of_it() -> None:
        try:
            said.put(work(ask))
        except BaseException as error:
            said.put(error)

    thread = threading.Thread(target=all_of_it, name="optimiser", daemon=True)
    thread.start()
    try:
        while True:
            word = said.get()
            if isinstance(word, str):
                return word
            if isinstance(word, BaseException):
                raise word
            answers.put((yield word))
    finally:
        closed.set()
        answers.put(None)
        thread.join()
