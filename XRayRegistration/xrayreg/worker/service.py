"""What a worker does with the messages that it gets: tasks that take turns, and the values that outlive them.

to the worker:   {"id": 7, "kind": "register", "content": {...}}    a request
                 {"cancel": 7}                                      its task ends at the next pause
                 {"drop": [3, 4]}                                   values that nobody will ask for any more
from it, by id:  {"id": 7, "news": {...}}       how far it has come, any number of times, then one of
                 {"id": 7, "answer": {...}}
                 {"id": 7, "error": {...}}      the four parts of an InputError
                 {"id": 7, "failure": {...}}    kind, text and traceback of any other exception
                 {"id": 7, "ended": true}       it was cancelled
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..checks import InputError
from .arrays import ArrayFolder

Content = Mapping[str, Any]
Task = Generator[Content | None, None, Content]
T = TypeVar("T")


class Kept:
    """Values that requests refer to by number, until the window drops them."""

    def __init__(self) -> None:
        self._values: dict[int, object] = {}
        self._count = 0

    def keep(self, value: object) -> int:
        """Keep a value; returns its number."""
        self._count += 1
        self._values[self._count] = value
        return self._count

    def value(self, number: int, kind: type[T]) -> T:
        """A value that was kept. Raises LookupError for one that was dropped or is of another kind."""
        value = self._values.get(number)
        if not isinstance(value, kind):
            raise LookupError(f"the worker has no {kind.__name__} number {number}")
        return value

    def drop(self, number: int) -> None:
        """Let a value go; one that is gone already is left alone."""
        self._values.pop(number, None)


@dataclass(frozen=True, eq=False)
class Room:
    """What the handler of a request works with: the arrays of both ends, and the values kept."""

    arrays: ArrayFolder
    kept: Kept = field(default_factory=Kept)


@dataclass(frozen=True)
class Handler:
    """How a kind of request is done: a generator function that brings news and returns the answer.

    urgent: whether somebody's hand waits for it; such a request is done before everything else.
    """

    task: Callable[[Room, Content], Task]
    urgent: bool = False


def _unknown(room: Room, content: Content) -> Task:
    raise LookupError("the worker does not know this kind of request")
    yield


_UNKNOWN = Handler(_unknown)


class Service:
    """Does requests. Urgent ones come first; the others take turns, a piece of each."""

    def __init__(self, room: Room, handlers: Mapping[str, Handler], send: Callable[[dict[str, Any]], object]) -> None:
        self._room, self._handlers, self._send = room, handlers, send
        self._urgent: dict[int, Task] = {}
        self._waiting: dict[int, Task] = {}

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._urgent or self._waiting)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take in a message; what it asks for is done by `advance`."""
        if "cancel" in message:
            self._cancel(message["cancel"])
        elif "drop" in message:
            for number in message["drop"]:
                self._room.kept.drop(number)
        else:
            handler = self._handlers.get(message["kind"], _UNKNOWN)
            tasks = self._urgent if handler.urgent else self._waiting
            tasks[message["id"]] = handler.task(self._room, message["content"])

    def advance(self) -> None:
        """Do one piece of what is to be done."""
        tasks = self._urgent or self._waiting
        if not tasks:
            return
        identifier = next(iter(tasks))
        task = tasks.pop(identifier)
        try:
            news = next(task)
        except StopIteration as end:
            self._send({"id": identifier, "answer": end.value})
        except InputError as error:
            parts = {name: getattr(error, name) for name in ("what", "expected", "found", "remedy")}
            self._send({"id": identifier, "error": parts})
        except Exception as error:
            failure = {
                "kind": type(error).__name__,
                "text": str(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
            self._send({"id": identifier, "failure": failure})
        else:
            # Behind the others, whose turn it is now.
            tasks[identifier] = task
            if news is not None:
                self._send({"id": identifier, "news": news})

    def _cancel(self, identifier: int) -> None:
        task = self._urgent.pop(identifier, None) or self._waiting.pop(identifier, None)
        if task is not None:
            task.close()
            self._send({"id": identifier, "ended": True})
