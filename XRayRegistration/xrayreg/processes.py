"""Process liveness and termination, implemented only here, for backend and Slicer alike.

A number alone does not identify a process: numbers are reused, and every computer and container has its own. A process
is therefore recorded (`identity_of`) with its host, process table, start time and command line, and these are compared
(`life_of`, `end`). What cannot be determined stays UNKNOWN: files of such a process are left alone unless none was
renewed for long, and no signal is ever sent to it.

This module imports nothing of the backend, so that Slicer's GUI can use it without loading the backend.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import psutil

# Tolerance of start times of one process [s]: the system's clock may have been set meanwhile, or values rounded.
_SAME_BIRTH_S = 2.0
# Linux counts a process's start from the boot, in ticks; /proc and sysconf agree on a hundred a second.
_TICKS_PER_S = 100
_BIRTH = re.compile(r"(?:(?P<boot>[0-9a-f-]{36}) )?(?P<count>\d+(?:\.\d+)?)")


class Life(Enum):
    """State of a recorded process."""

    LIVES = "lives"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Identity:
    """A process, recorded so that it is not confused with another one later.

    host: name of the computer. namespace: which process table `pid` belongs to, where the system has several
    (containers); empty elsewhere. born: see `birth_of`. command: its command line, or the end of it; empty where it is
    not known.
    """

    pid: int
    host: str
    born: str
    namespace: str = ""
    command: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "pid": self.pid,
            "host": self.host,
            "born": self.born,
            "namespace": self.namespace,
            "command": list(self.command),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Identity | None:
        """The process recorded by `as_dict`; None where there is no process number. Missing fields are empty."""
        pid, command = content.get("pid"), content.get("command")
        if not isinstance(pid, int) or isinstance(pid, bool) or pid < 0:
            return None
        texts = [content.get(name) for name in ("host", "born", "namespace")]
        host, born, namespace = (text if isinstance(text, str) else "" for text in texts)
        plain = isinstance(command, list | tuple) and all(isinstance(part, str) for part in command)
        return cls(pid, host, born, namespace, tuple(command) if plain and command is not None else ())


def identity_of(pid: int | None = None, command: tuple[str, ...] | None = None) -> Identity | None:
    """The running process `pid` of this computer (by default this one), for recording; None where there is none.

    command: the end of its command line, where that is known better than from the system: a process that is about to
    replace itself by another program (exec) still has the old one.
    """
    pid = os.getpid() if pid is None else pid
    born = birth_of(pid)
    if born is None:
        return None
    if command is None:
        command = ()
        with suppress(psutil.Error, OSError):
            command = tuple(psutil.Process(pid).cmdline())
    return Identity(pid, platform.node(), born, _namespace(), command)


def birth_of(pid: int) -> str | None:
    """Start time of the running process `pid` of this computer, as a string to compare; None where there is none.

    On Linux it is counted from the boot, which the string names, so that setting the clock has no effect. Empty where
    the start time is unknown. A zombie process, ended but not yet waited for by its parent, does not count as running.
    """
    created = started_at(pid)
    if created is None or math.isnan(created):
        return None if created is None else ""
    if not sys.platform.startswith("linux"):
        return f"{created:.2f}"
    # psutil adds the boot time by the current clock; subtracting it again removes the dependence on the clock.
    return f"{_boot()} {round((created - psutil.boot_time()) * _TICKS_PER_S)}".strip()


def started_at(pid: int) -> float | None:
    """Start time of the running process `pid` of this computer [seconds of the clock]; None where there is none.

    NaN where that is unknown.
    """
    if pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return math.nan if _hidden(pid) else None
    except (psutil.Error, OSError):
        return math.nan


def table_name() -> str:
    """A unique identifier of the process table that this process sees, among this and other computers."""
    return f"{platform.node()} {_boot()} {_namespace()}"


def life_of(identity: Identity, last_sign: float | None = None) -> Life:
    """Whether a recorded process is still running.

    last_sign: time of its last activity [seconds of the computer's clock]: a process of an earlier boot of this
    computer is dead, but another computer may have the same name. UNKNOWN where this computer cannot determine it.
    """
    if not is_here(identity):
        before = identity.host == platform.node() and _boot_of(identity) not in ("", _boot())
        gone = before and last_sign is not None and last_sign < psutil.boot_time()
        return Life.DEAD if gone else Life.UNKNOWN
    born = birth_of(identity.pid)
    if born is None:
        return Life.DEAD
    if not born or not identity.born:
        return Life.UNKNOWN
    return Life.LIVES if _same_birth(born, identity.born) else Life.DEAD


def is_here(identity: Identity) -> bool:
    """Whether the process belongs to the process table that this process sees.

    The table's own name takes precedence over the host's, which may be changed; without it, as in old files, the
    host's is used.
    """
    boot, here = _boot_of(identity), _boot()
    if boot and here and boot != here:
        return False
    if identity.namespace and _namespace():
        return identity.namespace == _namespace() and (bool(boot) or identity.host == platform.node())
    return identity.host == platform.node()


def end(identity: Identity, kill: bool) -> bool:
    """Terminate a process and all its descendants, or kill them; returns whether it existed and was certainly the same.

    Host, start time and command line are compared first; where any of these is not known no signal is sent.
    """
    if identity.pid == os.getpid() or not identity.host or not identity.command:
        return False
    try:
        process = psutil.Process(identity.pid)
        command = tuple(process.cmdline())
        if life_of(identity) is not Life.LIVES or command[-len(identity.command) :] != identity.command:
            return False
    except (psutil.Error, OSError):
        return False
    end_tree(process, kill)
    return True


def end_child(pid: int, kill: bool) -> None:
    """As `end`, for a child of this process that has not been waited for: its number cannot have been reused."""
    with suppress(psutil.Error, OSError):
        end_tree(psutil.Process(pid), kill)


def end_tree(process: psutil.Process, kill: bool) -> None:
    """Terminate a process and all its descendants, or kill them; psutil checks again that each is the same."""
    members = [process]
    with suppress(psutil.Error, OSError):
        members += process.children(recursive=True)
    for member in members:
        with suppress(psutil.Error, OSError):
            if kill:
                member.kill()
            else:
                member.terminate()


def _same_birth(first: str, second: str) -> bool:
    if first == second:
        return True
    births = [_BIRTH.fullmatch(text) for text in (first, second)]
    if None in births:
        return False
    one, other = (match for match in births if match is not None)
    per_s = _TICKS_PER_S if sys.platform.startswith("linux") else 1
    near = abs(float(one["count"]) - float(other["count"])) <= _SAME_BIRTH_S * per_s
    return one["boot"] == other["boot"] and near


def _boot_of(identity: Identity) -> str:
    """The boot that the process's start time is counted from; empty where none is stated."""
    match = _BIRTH.fullmatch(identity.born)
    return (match["boot"] or "") if match else ""


def _boot() -> str:
    """A unique identifier of this boot of this computer; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _namespace() -> str:
    """A unique identifier of this process table among those of other containers; empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError):
        return ""


def _hidden(pid: int) -> bool:
    """Whether a process exists whose details the system hides from this user."""
    if os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
