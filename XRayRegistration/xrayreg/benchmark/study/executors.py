"""Work shared by processes that may break, be stopped, or run out of memory without taking the others along."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ...checks import InputError

# What a process waits for an answer before it looks whether somebody asked to stop [s].
_PATIENCE = 0.1
# Read by torch and numba when they are first imported, in the new process.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# From a task to its answers.
Work = Callable[[Any], Iterator[Any]]
# Called often while a process works; KeyboardInterrupt from it ends the work.
Pause = Callable[[], object]
# Makes a process ready, once.
Opening = Callable[[Pause], Work]


@dataclass(frozen=True)
class ProcessDied:
    """A process that ended in the middle of a task, after so many answers. how: what it left behind, in words."""

    task: Any
    answers: int
    how: str


class InProcess:
    """No processes at all: this one does everything, with all threads that the engines take."""

    def __init__(self, opening: Opening, pause: Pause) -> None:
        self._opening, self._pause = opening, pause
        self._work: Work | None = None

    def answers(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """What the tasks answer, in their order."""
        self._work = self._opening(self._pause) if self._work is None else self._work
        for task in tasks:
            yield from self._work(task)

    def close(self) -> None:
        """Nothing is left to end."""


class ProcessPool:
    """`count` processes with one thread each.

    opening: picklable. An answer of a task is passed on as it comes; where a process dies `ProcessDied` comes instead
    and another takes its place. Answers of different tasks are mixed. InputError and OSError of a process are raised
    here.
    """

    def __init__(self, count: int, opening: Opening, pause: Pause) -> None:
        self._opening, self._pause = opening, pause
        self._members: list[_Member] = []
        with _environment(_ONE_THREAD):
            for _ in range(count):
                self._members.append(_Member.started(opening))

    def answers(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """What the tasks answer."""
        left = deque(tasks)
        while left or any(member.task is not None for member in self._members):
            for member in self._members:
                if member.task is None and left:
                    member.give(left.popleft())
            busy = [member for member in self._members if member.task is not None]
            ready = wait([member.channel for member in busy], _PATIENCE)
            for member in busy:
                if member.channel in ready:
                    yield from self._heard(member)
            self._pause()

    def close(self) -> None:
        """End all processes at once, whatever they are doing."""
        for member in self._members:
            member.channel.close()
            member.process.terminate()
        for member in self._members:
            member.process.join(2.0)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()
        self._members = []

    def _heard(self, member: _Member) -> Iterator[Any]:
        try:
            kind, content = member.channel.recv()
        except (EOFError, OSError):
            yield self._replaced(member)
            return
        if kind == "answer":
            member.answers += 1
            yield content
        elif kind == "done":
            member.task = None
        elif kind == "input":
            what, expected, found, remedy = content
            raise InputError(what, expected=expected, found=found, remedy=remedy)
        else:
            raise OSError(*content)

    def _replaced(self, member: _Member) -> ProcessDied:
        member.process.join(2.0)
        died = ProcessDied(member.task, member.answers, _ending(member.process.exitcode))
        member.channel.close()
        with _environment(_ONE_THREAD):
            self._members[self._members.index(member)] = _Member.started(self._opening)
        return died


@dataclass(eq=False)
class _Member:
    """One process, the channel to it, and what it is at."""

    process: BaseProcess
    channel: Connection
    task: Any = None
    answers: int = field(default=0)

    @classmethod
    def started(cls, opening: Opening) -> _Member:
        # A forked copy of this process would inherit locks that torch's and numba's threads hold.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, opening), daemon=True)
        process.start()
        there.close()
        return cls(process, here)

    def give(self, task: Any) -> None:
        self.task, self.answers = task, 0
        try:
            self.channel.send(task)
        except OSError:
            # It died while it was idle; reading from it will tell.
            return


def _serve(channel: Connection, opening: Opening) -> None:
    """The life of a process: take tasks until the other end closes."""
    # Ctrl-C reaches all processes of a terminal; the first one decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work: Work | None = None
    try:
        while True:
            task = channel.recv()
            try:
                work = opening(lambda: None) if work is None else work
                for answer in work(task):
                    channel.send(("answer", answer))
                channel.send(("done", None))
            except InputError as error:
                channel.send(("input", (error.what, error.expected, error.found, error.remedy)))
            except OSError as error:
                channel.send(("system", (error.errno, error.strerror, error.filename)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {int(number) for number in signal.Signals} else str(-code)
        hint = "; memory may have run out: try fewer --workers" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {code}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Within this context new processes get these variables, unless they are set already."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
