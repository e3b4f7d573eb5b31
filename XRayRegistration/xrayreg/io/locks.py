"""One process at a time: a file that says who is at work on the files around it.

lock     {"pid", "host", "born", "started"} of the run that writes them

A run that was killed leaves its lock behind. Whether its process still lives is asked of the system; of another
computer's process only the files tell which a living run renews.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..checks import InputError
from .processes import birth_of

# Another computer's run has ended where nothing of it was renewed for so long [s]; loading a CT may take minutes.
_SILENT_S = 900.0
# How long a lock may be half written [s], and how often a lock that changes under our hands is looked at again.
_HALF_WRITTEN_S, _LOOKS = 5.0, 20


@dataclass(frozen=True)
class Lock:
    """A lock and what is said where another run has it.

    file: in a folder that exists. renewed: files that a living run writes again and again.
    what, expected, remedy: of the InputError.
    """

    file: Path
    renewed: tuple[Path, ...]
    what: str
    expected: str
    remedy: str


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. born: when the process was started, as its system tells it. started: when the run was."""

    pid: int
    host: str
    born: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, which began {self.started.replace('T', ' ')[:16]} UTC"


@contextmanager
def held(lock: Lock) -> Iterator[str]:
    """While this lasts nobody else holds the lock.

    Gives a sentence where a dead run's lock was taken over, else an empty one. Raises InputError naming the process
    while another run lives.
    """
    mine = Holder(os.getpid(), platform.node(), birth_of(os.getpid()) or "", _now())
    told = _take(lock, mine)
    try:
        yield told
    finally:
        if _read(lock.file) == mine:
            # Windows removes no file that somebody is reading; without its process the lock holds nobody.
            with suppress(OSError):
                lock.file.unlink()


def _take(lock: Lock, mine: Holder) -> str:
    """Create the lock; returns a sentence on the dead run that had it."""
    told = ""
    for _ in range(_LOOKS):
        if _created(lock.file, mine):
            return told
        holder = _read(lock.file)
        if holder is not None and _lives(holder, lock):
            raise _taken(lock, holder)
        # One that says nothing was given up this very moment, or is not written to its end yet.
        if (holder is not None or _age_s(lock.file) > _HALF_WRITTEN_S) and _removed(lock.file, holder):
            who = "A run" if holder is None else f"The run of {holder},"
            told = f"{who} ended without giving up its lock, which was taken over."
        else:
            time.sleep(0.1)
    raise _taken(lock, _read(lock.file))


def _created(file: Path, mine: Holder) -> bool:
    """Whether the lock was made; it was not where there is one."""
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, PermissionError):
        # Windows has no permission to create a file while one of that name is being removed.
        return False
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            json.dump(asdict(mine), opened)
    except OSError:
        # On a full disk: a lock that says nothing would hold up whoever comes next.
        file.unlink(missing_ok=True)
        raise
    return True


def _removed(file: Path, dead: Holder | None) -> bool:
    """Whether the dead run's lock was removed: moved away first, as it might be another run's by now."""
    aside = file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
    try:
        os.rename(file, aside)
    except OSError:
        return False
    if _read(aside) != dead:
        _put_back(aside, file)
    aside.unlink(missing_ok=True)
    return not file.exists()


def _put_back(aside: Path, file: Path) -> None:
    """Give a living run its lock again, unless a third one has made its own meanwhile."""
    try:
        # Unlike a renaming, a link replaces nothing.
        os.link(aside, file)
    except FileExistsError:
        return
    except OSError:
        # A file system without links.
        if not file.exists():
            os.rename(aside, file)


def _lives(holder: Holder, lock: Lock) -> bool:
    if holder.host != platform.node():
        return min(map(_age_s, (lock.file, *lock.renewed))) < _SILENT_S
    born = birth_of(holder.pid)
    return born is not None and (not born or not holder.born or born == holder.born)


def _read(file: Path) -> Holder | None:
    """Who holds the lock; None where there is none, or nothing that makes sense in it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Holder(int(content["pid"]), *(str(content[name]) for name in ("host", "born", "started")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _age_s(file: Path) -> float:
    """How long ago [s] a file was written; infinite where there is none."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def _taken(lock: Lock, holder: Holder | None) -> InputError:
    elsewhere = holder is not None and holder.host != platform.node()
    remove = f", or, if that computer no longer works on it, remove {lock.file}" if elsewhere else ""
    return InputError(
        lock.what,
        expected=lock.expected,
        found="one" if holder is None else f"the run of {holder}",
        remedy=f"{lock.remedy}{remove}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
