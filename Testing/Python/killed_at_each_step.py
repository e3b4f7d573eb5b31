"""What a writer leaves when it is killed, or refused something by the system, at each of its file operations in turn.

The work is done in a copy of this process (fork). Python tells there of every operation that changes files before it is
done; counting them, the copy is killed with SIGKILL before one, or that one fails. What is buffered then is lost, as in
earnest.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

OPERATIONS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
# More steps than any writer takes: a writer that never comes to its end is an error here.
MOST = 400
DONE, BROKEN = 0, 8

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system makes no copies of processes")

# Called before each operation with its event and arguments; Python lets go of no such hook again, so it is one for all.
_listeners: list[Callable[[str, tuple], None]] = []


def killed_at_each_step(work: Callable[[], object]) -> Iterator[int]:
    """Do `work` killed before its first step, its second, and so on; gives the number of each step, until it comes
    through. The caller looks at what is left, and restores what was there, before it asks for the next."""
    for step in range(1, MOST):
        if not killed_when(work, lambda seen, *_, step=step: seen == step):
            assert step > 1, "there was no step at which to be killed"
            return
        yield step
    raise AssertionError("the work has no end")


def killed_when(work: Callable[[], object], reached: Callable[[int, str, tuple], bool]) -> bool:
    """Do `work` in a copy of this process, killed when it is `reached` (the number of the operation that is to come,
    its event and arguments); whether it was killed."""
    pid = os.fork()
    if pid == 0:
        code = BROKEN
        try:
            with _watched(lambda *what: os.kill(os.getpid(), signal.SIGKILL) if reached(*what) else None):
                work()
            code = DONE
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == DONE, "the work failed; see the captured output"
    return False


def refused_at_each_step(work: Callable[[], object], error: OSError, refusal: type[Exception]) -> Iterator[bool]:
    """Do `work` so that the system refuses its first step with `error`, its second, and so on; gives whether it was
    done nevertheless. refusal: what the work raises where it was not; anything else is an error here."""
    for step in range(1, MOST):
        came = False

        def refuse(seen: int, *_: object, step: int = step) -> None:
            nonlocal came
            if seen == step:
                came = True
                raise error

        try:
            with _watched(refuse):
                work()
            done = True
        except refusal:
            done = False
        if not came:
            assert step > 1, "there was no step that could fail"
            return
        yield done
    raise AssertionError("the work has no end")


@cache
def _begin_to_listen() -> None:
    def tell(event: str, arguments: tuple) -> None:
        for listener in tuple(_listeners):
            listener(event, arguments)

    sys.addaudithook(tell)


@contextmanager
def _watched(listen: Callable[[int, str, tuple], None]) -> Iterator[None]:
    """Within this context `listen` is called before each operation with its number, event and arguments."""
    seen = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event in OPERATIONS or (event == "open" and _makes(arguments)):
            seen += 1
            listen(seen, event, arguments)

    _begin_to_listen()
    _listeners.append(count)
    try:
        yield
    finally:
        _listeners.remove(count)


def _makes(arguments: tuple) -> bool:
    """Whether a file is opened to be written."""
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def files_in(folder: Path) -> dict[str, bytes]:
    """What somebody sees who opens the folder: the files by name, those in its folders too, without hidden ones."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            found[name] = path.read_bytes()
    return found


def hidden_in(folder: Path) -> list[str]:
    """Names of what is hidden in the folder."""
    return sorted(path.name for path in folder.rglob(".*"))
