"""Process pool whose processes may crash, be stopped or run out of memory without affecting the others."""

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

# Interval [s] at which a process that waits for an answer checks whether it should stop.
_PATIENCE = 0.1
# Read by torch and numba when they are first imported, in the new process.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# From a task to its answers.
Work = Callable[[Any], Iterator[Any]]
# Called frequently while a process works; KeyboardInterrupt from it ends the work.
Pause = Callable[[], object]
# Prepares a process, once.
Opening = Callable[[Pause], Work]


@dataclass(frozen=True)
class ProcessDied:
    """A process that ended during a task, after a number of answers. how: description of its end."""

    task: Any
    answers: int
    how: str


class InProcess:
    """No additional processes: all work is done in this one, with all threads of the engines."""

    def __init__(self, opening: Opening, pause: Pause) -> None:
        self._opening, self._pause = opening, pause
        self._work: Work | None = None

    def answers(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """The answers of the tasks, in their order."""
        self._work = self._opening(self._pause) if self._work is None else self._work
        for task in tasks:
            yield from self._work(task)

    def close(self) -> None:
        """Nothing to do."""


class ProcessPool:
    """`count` processes with one thread each.

    opening: picklable. Answers of a task are passed on as they arrive; if a process dies, `ProcessDied` is passed on
    instead and the process is replaced. Answers of different tasks are interleaved. InputError and OSError of a process
    are raised here.
    """

    def __init__(self, count: int, opening: Opening, pause: Pause) -> None:
        self._opening, self._pause = opening, pause
        self._members: list[_Member] = []
        with _environment(_ONE_THREAD):
            for _ in range(count):
                self._members.append(_Member.started(opening))

    def answers(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """The answers of the tasks."""
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
        """End all processes immediately, even during a task."""
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
    """One process, the channel to it, and its current task."""

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
            # It died while idle, which is detected when its channel is read.
            return


def _serve(channel: Connection, opening: Opening) -> None:
    """Main loop of a process: do tasks until the other end of the channel is closed."""
    # Ctrl-C reaches all processes of a terminal; only the parent process handles it.
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
    """Context in which new processes get these environment variables, unless they are set already."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
