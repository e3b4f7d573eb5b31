"""Requests to the worker as iterators of short steps, and values that it keeps while they are needed."""

from __future__ import annotations

import logging
import time
import weakref
from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from xrayreg.checks import InputError
from xrayreg.worker.messages import BrokenStream

from ..steps import whole
from ..timing import Timer
from . import connection

# Time [s] for which one step waits for messages; in between, the window handles events.
_WAIT_S = 0.003
# A request that was cancelled ends within so long [s], or the process is ended; later where that would end the work of
# others too.
_PATIENCE_S, _PATIENCE_WITH_OTHERS_S = 2.0, 20.0
_WATCH_MS = 100


class WorkerEnded(RuntimeError):
    """The computing process is gone: a sentence on how, and that another one is started when it is next needed."""


class WorkerError(RuntimeError):
    """An unexpected error in the computing process; the log has the traceback.

    kind: the name of the exception there.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(_("the computer's memory is used up") if kind == "MemoryError" else text)
        self.kind = kind


class Handle:
    """A value that the worker keeps. number: its name in requests. When the handle is released, the value is freed."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.number = number
        self._worker, self._generation = worker, worker.generation
        weakref.finalize(self, worker.drop, worker.generation, number).atexit = False

    @property
    def isThere(self) -> bool:
        """Whether the worker still has it; not after it was ended."""
        return self._worker.generation == self._generation


class Worker:
    """The computing process of one module: started at the first request, and again after it has ended.

    generation: a number that changes whenever the process does.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._connection: connection.Connection | None = None
        self._count = 0
        # What has arrived for each request that somebody waits for, and when others that have not ended were cancelled.
        self._replies: dict[int, deque[dict[str, Any]]] = {}
        self._ending: dict[int, float] = {}
        self._lost = ""
        self._watch = Timer(self._onWatch, _WATCH_MS, once=False)

    def close(self) -> None:
        """End the process for good."""
        self._watch.close()
        self._disconnect("")

    def putSteps(self, array: np.ndarray) -> Generator[Any, None, str]:
        """Pause, and return the name by which a request can name an array; raises as `askSteps` does."""
        try:
            name, blocks = self._connected().arrays.begin(array)
            yield from blocks
            return name
        except OSError as error:
            raise InputError(
                _("disk"),
                expected=_("{size} MB for a copy of the image").format(size=array.nbytes >> 20),
                found=error.strerror or str(error),
                remedy=_("free some of the disk that holds temporary files"),
            ) from error

    def put(self, array: np.ndarray) -> str:
        """`putSteps` at once, for small arrays."""
        return whole(self.putSteps(array))

    def take(self, name: str | None) -> Any:
        """An array that an answer or news name; None for None."""
        if self._connection is None:
            raise WorkerEnded(self._lost)
        return None if name is None else self._connection.arrays.take(name)

    def mapped(self, name: str) -> np.ndarray:
        """`take` for a large array, which stays in its file."""
        if self._connection is None:
            raise WorkerEnded(self._lost)
        return self._connection.arrays.mapped(name)

    def keep(self, number: int) -> Handle:
        """The handle of a value that an answer names."""
        return Handle(self, number)

    def askSteps(self, kind: str, **content: Any) -> Generator[Any, None, Any]:
        """Send a request (xrayreg.worker.requests); yield its progress messages or None, and return the answer.

        Steps take a few milliseconds. Closed before its end, it is cancelled. Raises InputError as the request does,
        WorkerError for unexpected errors, and WorkerEnded if the process ended meanwhile or cannot be started.
        """
        mine, identifier = self._connected(), self._count
        self._count += 1
        replies = self._replies[identifier] = deque()
        answered = False
        try:
            self._send({"id": identifier, "kind": kind, "content": content})
            while True:
                # Another request may have found the process gone.
                if not replies and self._connection is mine:
                    self._listen(_WAIT_S)
                if replies:
                    reply = replies.popleft()
                    answered = "news" not in reply
                    if answered:
                        return _answerIn(reply)
                    yield reply["news"]
                elif self._connection is not mine:
                    answered = True
                    raise WorkerEnded(self._lost)
                else:
                    yield None
        finally:
            del self._replies[identifier]
            if not answered and self._connection is mine:
                self._cancel(identifier)

    def settle(self, seconds: float) -> None:
        """Wait until what was cancelled has ended, but no longer than so many seconds."""
        until = time.monotonic() + seconds
        while self._ending and self._connection is not None and time.monotonic() < until:
            self._listen(_WAIT_S)

    def drop(self, generation: int, number: int) -> None:
        """Let the worker free a value, unless the worker has been restarted since."""
        if self._connection is not None and generation == self.generation:
            self._send({"drop": [number]})

    def _connected(self) -> connection.Connection:
        """The connection to the process, started where there is none; raises as `askSteps` does where that fails."""
        if self._connection is None:
            self.generation += 1
            try:
                self._connection = connection.connect()
            except OSError as error:
                raise WorkerEnded(
                    _(
                        "The computing process cannot be started ({reason}). Restart Slicer; where that does not help, "
                        "see whether a virus scanner holds it back."
                    ).format(reason=error.strerror or error)
                ) from error
        return self._connection

    def _disconnect(self, sentence: str) -> None:
        if self._connection is not None:
            self._lost = sentence
            self._connection.close()
            self._connection = None
            self.generation += 1
        self._ending.clear()

    def _send(self, message: dict[str, Any]) -> None:
        """Send a message; a process that is gone misses nothing."""
        connected = self._connection
        if connected is None:
            return
        try:
            connected.send(message)
        except OSError:
            self._lose(connected)

    def _listen(self, seconds: float) -> None:
        """Take in what has arrived, waiting for it a little."""
        connected = self._connection
        if connected is None:
            return
        try:
            messages = connected.receive()
            if not messages:
                connected.wait(seconds)
                messages = connected.receive()
        except BrokenStream as error:
            self._disconnect(_("The computing process is ended, because {reason}.").format(reason=error))
            return
        for message in messages:
            self._route(message, connected)
        if not messages and connected.ending():
            self._lose(connected)
        elif self._ending and time.monotonic() - min(self._ending.values()) > self._patience():
            # The process does not read its messages; cancelling must not wait for it.
            self._disconnect(_("The computing process did not react and was ended."))

    def _route(self, message: dict[str, Any], connected: connection.Connection) -> None:
        # None in what the process says of itself.
        identifier: Any = message.get("id")
        if identifier in self._replies:
            self._replies[identifier].append(message)
        else:
            # Of a request that was cancelled.
            connected.arrays.discard(message.get("news") or message.get("answer") or {})
            if "news" not in message:
                self._ending.pop(identifier, None)

    def _lose(self, connected: connection.Connection) -> None:
        """The process is gone."""
        ending = connected.ending()
        again = _("Another one is started when it is needed; do again what was interrupted.")
        self._disconnect(f"{ending} {again}" if ending else again)

    def _cancel(self, identifier: int) -> None:
        self._ending[identifier] = time.monotonic()
        self._send({"cancel": identifier})
        self._watch.start()

    def _patience(self) -> float:
        return _PATIENCE_WITH_OTHERS_S if self._replies else _PATIENCE_S

    def _onWatch(self) -> None:
        if self._connection is not None and self._ending:
            self._listen(0.0)
        if not self._ending:
            self._watch.stop()


def _answerIn(reply: dict[str, Any]) -> Any:
    if "answer" in reply:
        return reply["answer"]
    if "error" in reply:
        raise InputError(**reply["error"])
    failure = reply["failure"]
    logging.error("The computing process failed:\n%s", failure["traceback"])
    raise WorkerError(failure["kind"], failure["text"])
