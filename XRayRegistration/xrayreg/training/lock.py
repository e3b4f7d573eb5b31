"""One run at a time for each network: a file in the run's folder says who trains it.

model_training/lock     {"pid", "host", "born", "started"} of the run that writes model.pt and what lies beside it

A run that was killed leaves its lock behind. Whether its process still lives is asked of the system; of another
computer's process only the status tells, which a living run renews about every second.
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
from ..io import prepare_output
from ..io.results import remove_leftovers
from ..learn.status import last_checkpoint, run_folder
from .processes import birth_of

# Nobody trains any more where another computer's run has told nothing for so long [s]; loading a CT may take minutes.
_SILENT_S = 900.0
# How long a lock may be half written [s], and how often a lock that changes under our hands is looked at again.
_HALF_WRITTEN_S, _LOOKS = 5.0, 20


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. born: when the process was started, as its system tells it. started: when the run was."""

    pid: int
    host: str
    born: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, which began {self.started.replace('T', ' ')[:16]} UTC"


def lock_file(out: Path) -> Path:
    """The lock of the run that trains the network `out`."""
    return run_folder(out) / "lock"


@contextmanager
def only_run(out: Path) -> Iterator[str]:
    """While this lasts no other run trains the network `out`; what dead runs of it have half written is removed.

    Gives a sentence where a dead run's lock was taken over, else an empty one. Raises InputError naming the process
    while another run lives.
    """
    lock, folder = lock_file(out), prepare_output(run_folder(out))
    mine = Holder(os.getpid(), platform.node(), birth_of(os.getpid()) or "", _now())
    told = _take(lock, mine, out)
    try:
        names = ("status.json", "settings.json", "curve.csv", "curve.png")
        for path in (out, last_checkpoint(out), *(folder / name for name in names)):
            remove_leftovers(path)
        yield told
    finally:
        if _read(lock) == mine:
            # Windows removes no file that somebody is reading; without its process the lock holds nobody.
            with suppress(OSError):
                lock.unlink()


def _take(lock: Path, mine: Holder, out: Path) -> str:
    """Create the lock; returns a sentence on the dead run that had it."""
    told = ""
    for _ in range(_LOOKS):
        if _created(lock, mine):
            return told
        holder = _read(lock)
        if holder is not None and _lives(holder, lock):
            raise _taken(lock, holder, out)
        # One that says nothing was given up this very moment, or is not written to its end yet.
        if (holder is not None or _is_old(lock, _HALF_WRITTEN_S)) and _removed(lock, holder):
            who = "A run" if holder is None else f"The run of {holder},"
            told = f"{who} ended without giving up its lock, which was taken over."
        else:
            time.sleep(0.1)
    raise _taken(lock, _read(lock), out)


def _created(lock: Path, mine: Holder) -> bool:
    """Whether the lock was made; it was not where there is one."""
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, PermissionError):
        # Windows has no permission to create a file while one of that name is being removed.
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(mine), file)
    return True


def _removed(lock: Path, dead: Holder | None) -> bool:
    """Whether the dead run's lock was removed: moved away first, as it might be another run's by now."""
    aside = lock.with_name(f".{lock.name}-{uuid.uuid4().hex[:8]}")
    try:
        os.rename(lock, aside)
    except OSError:
        return False
    if _read(aside) != dead:
        _put_back(aside, lock)
    aside.unlink(missing_ok=True)
    return not lock.exists()


def _put_back(aside: Path, lock: Path) -> None:
    """Give a living run its lock again, unless a third one has made its own meanwhile."""
    try:
        # Unlike a renaming, a link replaces nothing.
        os.link(aside, lock)
    except FileExistsError:
        return
    except OSError:
        # A file system without links.
        if not lock.exists():
            os.rename(aside, lock)


def _lives(holder: Holder, lock: Path) -> bool:
    if holder.host != platform.node():
        return _last_heard_s(holder, lock) < _SILENT_S
    born = birth_of(holder.pid)
    return born is not None and (not born or not holder.born or born == holder.born)


def _last_heard_s(holder: Holder, lock: Path) -> float:
    """How long ago [s] a run told anything, by its status or its start."""
    moments = [holder.started]
    with suppress(OSError, ValueError, KeyError, TypeError):
        moments.append(json.loads((lock.parent / "status.json").read_text(encoding="utf-8"))["updated"])
    ages = []
    for moment in moments:
        try:
            ages.append(time.time() - datetime.fromisoformat(moment).timestamp())
        except (ValueError, TypeError):
            continue
    return min(ages, default=float("inf"))


def _read(lock: Path) -> Holder | None:
    """Who holds the lock; None where there is none, or nothing that makes sense in it."""
    try:
        content = json.loads(lock.read_text(encoding="utf-8"))
        return Holder(int(content["pid"]), *(str(content[name]) for name in ("host", "born", "started")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_old(lock: Path, seconds: float) -> bool:
    try:
        return time.time() - lock.stat().st_mtime > seconds
    except OSError:
        return False


def _taken(lock: Path, holder: Holder | None, out: Path) -> InputError:
    elsewhere = holder is not None and holder.host != platform.node()
    remove = f", or, if that computer no longer trains it, remove {lock}" if elsewhere else ""
    return InputError(
        f"network {out.name}",
        expected="no other run that trains it",
        found="one" if holder is None else f"the run of {holder}",
        remedy=f"choose another --out, end that run by creating the file {lock.parent / 'stop'}{remove}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
