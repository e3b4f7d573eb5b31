"""Request handling of a worker, and the values kept between requests.

to the worker:   {"id": 7, "kind": "register", "content": {...}}    a request
                 {"cancel": 7}                                      it ends at its next pause
                 {"drop": [3, 4]}                                   values that are no longer needed
from it, by id:  {"id": 7, "news": {...}}       progress, any number of times, then one of
                 {"id": 7, "answer": {...}}
                 {"id": 7, "error": {...}}      the four parts of an InputError
                 {"id": 7, "failure": {...}}    kind, text and traceback of any other exception
                 {"id": 7, "ended": true}       it was cancelled
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from ..checks import InputError
from .arrays import ArrayFolder

Content = Mapping[str, Any]
# Callback with the progress of a request, or None for a mere pause, in which others are handled.
OnNews = Callable[[Content | None], object]
Task = Callable[["Room", Content, OnNews], Content]
T = TypeVar("T")


class Kept:
    """Values that requests refer to by number, until the client drops them."""

    def __init__(self) -> None:
        self._values: dict[int, object] = {}
        self._count = 0

    def keep(self, value: object) -> int:
        """Keep a value; returns its number."""
        self._count += 1
        self._values[self._count] = value
        return self._count

    def value(self, number: int, kind: type[T]) -> T:
        """A kept value. Raises LookupError for one that was dropped or is of another kind."""
        value = self._values.get(number)
        if not isinstance(value, kind):
            raise LookupError(f"the worker has no {kind.__name__} number {number}")
        return value

    def drop(self, number: int) -> None:
        """Drop a value; does nothing if it was dropped already."""
        self._values.pop(number, None)


@dataclass(frozen=True, eq=False)
class Room:
    """The context of a request's handler: the arrays of both ends, and the values kept."""

    arrays: ArrayFolder
    kept: Kept = field(default_factory=Kept)


class Cancelled(BaseException):
    """The current request was cancelled; a BaseException, so that no `except Exception` catches it."""


class Haste(IntEnum):
    """Priority of a request, which is handled in the pauses of all requests of lower priority."""

    HAND = 0
    SHORT = 1
    LONG = 2


@dataclass(frozen=True)
class Handler:
    """The handler of a kind of request: a function that calls its third argument with news, and returns the answer."""

    task: Task
    haste: Haste = Haste.SHORT


def _unknown(room: Room, content: Content, on_news: OnNews) -> Content:
    raise LookupError("the worker does not know this kind of request")


_UNKNOWN = Handler(_unknown)


class Service:
    """Handles requests in order of priority, those of higher priority also in the pauses of others.

    listen: passes received messages to `receive`, without waiting for more; called in every pause.
    """

    def __init__(
        self,
        room: Room,
        handlers: Mapping[str, Handler],
        send: Callable[[dict[str, Any]], object],
        listen: Callable[[], object],
    ) -> None:
        self._room, self._handlers, self._send, self._listen = room, handlers, send, listen
        self._waiting: dict[int, tuple[Handler, Content]] = {}
        self._doing: set[int] = set()
        self._cancelled: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether requests are pending."""
        return bool(self._waiting)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Accept a message; its request is handled by `advance`, or in the next pause."""
        if "cancel" in message:
            self._cancel(message["cancel"])
        elif "drop" in message:
            for number in message["drop"]:
                self._room.kept.drop(number)
        else:
            handler = self._handlers.get(message["kind"], _UNKNOWN)
            self._waiting[message["id"]] = handler, message["content"]

    def advance(self) -> None:
        """Handle the first request of the highest priority to completion."""
        self._do_next(Haste.LONG)

    def _do_next(self, least: Haste) -> bool:
        """Handle the first request of the highest priority if that is at least `least`; returns whether one was."""
        if not self._waiting:
            return False
        identifier = min(self._waiting, key=lambda number: self._waiting[number][0].haste)
        handler, content = self._waiting[identifier]
        if handler.haste > least:
            return False
        del self._waiting[identifier]
        self._doing.add(identifier)
        try:
            self._do(identifier, handler, content)
        finally:
            self._doing.discard(identifier)
            self._cancelled.discard(identifier)
        return True

    def _do(self, identifier: int, handler: Handler, content: Content) -> None:
        def on_news(news: Content | None) -> None:
            if news is not None:
                self._send({"id": identifier, "news": news})
            self._listen()
            while handler.haste > Haste.HAND and self._do_next(Haste(handler.haste - 1)):
                self._listen()
            if identifier in self._cancelled:
                raise Cancelled

        try:
            answer = handler.task(self._room, content, on_news)
        except Cancelled:
            self._send({"id": identifier, "ended": True})
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
            self._send({"id": identifier, "answer": answer})

    def _cancel(self, identifier: int) -> None:
        if self._waiting.pop(identifier, None) is not None:
            self._send({"id": identifier, "ended": True})
        elif identifier in self._doing:
            self._cancelled.add(identifier)
