"""Whether a process still runs, and ending it: the only place of the project that asks, for backend and Slicer alike.

A number alone names no process: numbers are given again, every computer and every container counts for itself. So a
process is written down (`identity_of`) with its host, its table of process numbers, its birth and its command line,
and these are compared (`life_of`, `end`). What cannot be established stays UNKNOWN: files of such a process are left
alone unless nothing of it was renewed for long, and no signal is ever sent to it.

This module imports nothing of the backend, so that Slicer's window can ask without loading it.
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

# Births of one process may differ by so much [s]: the system's clock was set meanwhile, or figures were rounded.
_SAME_BIRTH_S = 2.0
# Linux counts a process's start from the boot, in ticks; /proc and sysconf agree on a hundred a second.
_TICKS_PER_S = 100
_BIRTH = re.compile(r"(?:(?P<boot>[0-9a-f-]{36}) )?(?P<count>\d+(?:\.\d+)?)")


class Life(Enum):
    """What is known of a process that was written down."""

    LIVES = "lives"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Identity:
    """A process, written down so that it is not taken for another one later.

    host: name of the computer. namespace: which table of process numbers `pid` stands in, where the system has several
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
        """The process that `as_dict` wrote down; None where there is no process number. What is missing is empty."""
        pid, command = content.get("pid"), content.get("command")
        if not isinstance(pid, int) or isinstance(pid, bool) or pid < 0:
            return None
        texts = [content.get(name) for name in ("host", "born", "namespace")]
        host, born, namespace = (text if isinstance(text, str) else "" for text in texts)
        plain = isinstance(command, list | tuple) and all(isinstance(part, str) for part in command)
        return cls(pid, host, born, namespace, tuple(command) if plain and command is not None else ())


def identity_of(pid: int | None = None, command: tuple[str, ...] | None = None) -> Identity | None:
    """The living process `pid` of this computer (by default this one), to be written down; None where there is none.

    command: what its command line ends with, where that is known better than the system tells it: a process that is
    about to start another program in its place still has the old one.
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
    """When the living process `pid` of this computer was started, as a text to compare; None where there is none.

    On Linux it is counted from the boot, which the text names, so that setting the clock changes nothing. Empty where
    the birth is unknown. A process that has ended but that its parent has not asked about does not live.
    """
    created = started_at(pid)
    if created is None or math.isnan(created):
        return None if created is None else ""
    if not sys.platform.startswith("linux"):
        return f"{created:.2f}"
    # psutil adds the time of the boot as the clock has it now; taken off again, the clock does not matter.
    return f"{_boot()} {round((created - psutil.boot_time()) * _TICKS_PER_S)}".strip()


def started_at(pid: int) -> float | None:
    """When the living process `pid` of this computer was started [seconds of the clock]; None where there is none.

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
    """What tells the table of process numbers that this process sees from all others, of this computer and others."""
    return f"{platform.node()} {_boot()} {_namespace()}"


def life_of(identity: Identity, last_sign: float | None = None) -> Life:
    """Whether a process that was written down still lives.

    last_sign: when it was last heard of [seconds of the computer's clock]: a process of a boot of this computer before
    the present one is dead, but another computer may have the same name. UNKNOWN where this computer cannot tell.
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
    """Whether the process stands in the table of process numbers that this process sees.

    The table's own name counts more than the host's, which may be changed; without it, as old files are, the host's
    has to do.
    """
    boot, here = _boot_of(identity), _boot()
    if boot and here and boot != here:
        return False
    if identity.namespace and _namespace():
        return identity.namespace == _namespace() and (bool(boot) or identity.host == platform.node())
    return identity.host == platform.node()


def end(identity: Identity, kill: bool) -> bool:
    """Ask a process and all that it has started to end, or kill them; whether it was there and was certainly the same.

    Host, birth and command line are compared first; where anything of it is not known no signal is sent.
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
    """As `end`, for a child of this process that nobody has waited for: its number is given to no other process."""
    with suppress(psutil.Error, OSError):
        end_tree(psutil.Process(pid), kill)


def end_tree(process: psutil.Process, kill: bool) -> None:
    """Ask a process and all that it has started to end, or kill them; psutil looks again whether each is the same."""
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
    """The boot that the process's birth is counted from; empty where none is stated."""
    match = _BIRTH.fullmatch(identity.born)
    return (match["boot"] or "") if match else ""


def _boot() -> str:
    """What tells this boot of this computer from all others; empty where the system has no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _namespace() -> str:
    """What tells this table of process numbers from those of other containers; empty where the system has but one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError):
        return ""


def _hidden(pid: int) -> bool:
    """Whether there is a process after all, of which the system tells this user nothing."""
    if os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
