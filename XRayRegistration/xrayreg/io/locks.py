"""Mutual exclusion of processes by a lock file that identifies the run writing to its folder.

lock     {"pid", "host", "born", "namespace", "command", "started"} of the run that writes them

A killed run leaves its lock behind. Whether its process is still running is determined from the system (`processes`);
where that is impossible, as for a process of another computer, from the age of the files that a live run renews.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..checks import InputError
from ..processes import Identity, Life, identity_of, is_here, life_of
from .temporary import create_neighbour, left_behind, neighbour_name

# Another computer's run counts as ended when it renewed nothing for this long [s]; loading a CT may take minutes.
_SILENT_S = 900.0
# How long a lock may remain half written [s], and how often a lock that changes meanwhile is read again.
_HALF_WRITTEN_S, _LOOKS = 5.0, 20
# Polling interval while waiting for a lock [s].
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Lock:
    """A lock and the error message for when another run holds it.

    file: in an existing folder. renewed: files that a live run keeps rewriting.
    what, expected, remedy: of the InputError. patience_s: how long to wait for a live run. silent_s: after how long
    without activity a run of unknown state counts as ended.
    """

    file: Path
    renewed: tuple[Path, ...]
    what: str
    expected: str
    remedy: str
    patience_s: float = 0.0
    silent_s: float = _SILENT_S


@dataclass(frozen=True)
class Holder:
    """The holder of a lock. started: start time of the run."""

    process: Identity
    started: str

    def __str__(self) -> str:
        began = f", which began {self.started.replace('T', ' ')[:16]} UTC" if self.started else ""
        return f"process {self.process.pid} on {self.process.host}{began}"


@contextmanager
def held(lock: Lock) -> Iterator[str]:
    """Hold the lock within this context.

    Yields a sentence where a dead run's lock was taken over, else an empty string. Raises InputError naming the process
    while another run is alive.
    """
    process = identity_of()
    assert process is not None
    mine = Holder(process, _now())
    told = _take(lock, mine)
    try:
        for neighbour in left_behind(lock.file):
            # Left by a run that was killed while creating or removing a lock.
            neighbour.unlink(missing_ok=True)
        yield told
    finally:
        if _read(lock.file) == mine:
            _give_up(lock.file)


def _give_up(file: Path) -> None:
    """Remove a lock; retried, since Windows does not remove a file while another process reads it."""
    for _ in range(_LOOKS):
        try:
            file.unlink(missing_ok=True)
            return
        except OSError:
            time.sleep(_LOOK_EVERY_S)
    # Once its process has ended the lock blocks nobody.


def _take(lock: Lock, mine: Holder) -> str:
    """Create the lock; returns a sentence on the dead run that held it."""
    told, looks, until = "", 0, time.monotonic() + lock.patience_s
    while looks < _LOOKS or time.monotonic() < until:
        if _created(lock.file, mine):
            return told
        holder = _read(lock.file)
        if holder is not None and _lives(holder, lock):
            if time.monotonic() >= until:
                raise _taken(lock, holder)
            time.sleep(_LOOK_EVERY_S)
            continue
        looks += 1
        # An empty lock has just been released, or is not fully written yet.
        if (holder is not None or _age_s(lock.file) > _HALF_WRITTEN_S) and _removed(lock.file, holder):
            who = "A run" if holder is None else f"The run of {holder},"
            told = f"{who} ended without giving up its lock, which was taken over."
        else:
            time.sleep(0.1)
    raise _taken(lock, _read(lock.file))


def _created(file: Path, mine: Holder) -> bool:
    """Create the lock atomically; False where one exists."""
    temporary = create_neighbour(file)
    try:
        with temporary.open("w", encoding="utf-8") as opened:
            json.dump({**mine.process.as_dict(), "started": mine.started}, opened)
        return _linked(temporary, file)
    finally:
        # Where this is refused the next holder does it; the lock is created in any case.
        with suppress(OSError):
            temporary.unlink()


def _linked(whole: Path, file: Path) -> bool:
    """Link `whole` to the name `file` too; False where that file exists."""
    try:
        # Unlike renaming, linking never replaces a file.
        os.link(whole, file)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links.
        return _copied(whole, file)
    return True


def _copied(whole: Path, file: Path) -> bool:
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, PermissionError):
        # Windows has no permission to create a file while one of that name is being removed.
        return False
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(whole.read_bytes())
    except OSError:
        # On a full disk: an empty lock would block the next run.
        file.unlink(missing_ok=True)
        raise
    return True


def _removed(file: Path, dead: Holder | None) -> bool:
    """Whether the dead run's lock was removed; it is moved aside first, as it might be another run's by now."""
    aside = neighbour_name(file)
    try:
        os.rename(file, aside)
    except OSError:
        return False
    if _read(aside) != dead:
        _put_back(aside, file)
    aside.unlink(missing_ok=True)
    return not file.exists()


def _put_back(aside: Path, file: Path) -> None:
    """Restore a live run's lock, unless a third run has created its own meanwhile."""
    try:
        os.link(aside, file)
    except FileExistsError:
        return
    except OSError:
        # A file system without links.
        if not file.exists():
            os.rename(aside, file)


def _lives(holder: Holder, lock: Lock) -> bool:
    """Whether the holder counts as alive; where that cannot be determined, as long as its files are renewed."""
    silent_s = min(map(_age_s, (lock.file, *lock.renewed)))
    life = life_of(holder.process, last_sign=time.time() - silent_s)
    if life is Life.UNKNOWN and is_here(holder.process):
        # The system gives no details of another user's process: it is alive.
        return True
    return life is Life.LIVES or (life is Life.UNKNOWN and silent_s < lock.silent_s)


def _read(file: Path) -> Holder | None:
    """The holder of the lock; None where there is no lock, or its content is invalid."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        process = Identity.from_dict(content)
        return None if process is None else Holder(process, str(content["started"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _age_s(file: Path) -> float:
    """Time since a file was written [s]; infinite where there is none."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def _taken(lock: Lock, holder: Holder | None) -> InputError:
    elsewhere = holder is not None and not is_here(holder.process)
    remove = f", or, if that computer no longer works on it, remove {lock.file}" if elsewhere else ""
    return InputError(
        lock.what,
        expected=lock.expected,
        found="one" if holder is None else f"the run of {holder}",
        remedy=f"{lock.remedy}{remove}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
