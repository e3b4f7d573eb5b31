"""Hidden neighbours of files while these are written, with names that tell whose they are.

.model-00a3fk2v9x4q.pt     beside model.pt, of process 00a3f in the process table k2v9, both in figures and letters

A process that is killed leaves its neighbour behind; whoever writes the same file next removes it. A living process's
neighbour is never removed: its number and table stand in the name, and a process that was started after the file was
made is another one.
"""

from __future__ import annotations

import os
import re
import secrets
import time
import zlib
from contextlib import suppress
from pathlib import Path

from ..processes import started_at, table_name

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PID, _TABLE, _RANDOM = 5, 4, 3
# Eight: as earlier versions named them.
_MARK = r"[a-z0-9_]{8}|[a-z0-9]{12}"
# File systems take names of 255 bytes; this is left of a long one.
_STEM_BYTES = 160
# A neighbour of which nobody can tell whose it is was left behind when it is so old [s]: writing one takes seconds.
_OLD_S = 86400.0
# A process and a file that it made right then may have times in the wrong order by so much [s].
_CLOCK_S = 2.0


def create_neighbour(path: Path) -> Path:
    """Make an empty hidden file in the folder of `path`, of this process, with the rights of any new file."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
    while True:
        temporary = neighbour_name(path)
        try:
            os.close(os.open(temporary, flags, 0o666))
        except FileExistsError:
            continue
        return temporary


def neighbour_name(path: Path) -> Path:
    """A name for a hidden neighbour of `path`, new each time."""
    return path.with_name(f".{_stem(path)}-{new_mark()}{path.suffix}")


def neighbours(path: Path) -> list[Path]:
    """The hidden neighbours of `path`, plain files, that are there."""
    return [neighbour for neighbour, _ in _found(path)]


def left_behind(path: Path) -> list[Path]:
    """The hidden neighbours of `path` whose processes have ended, beyond doubt."""
    return [neighbour for neighbour, mark in _found(path) if has_ended(mark, _changed(neighbour))]


def new_mark() -> str:
    """Twelve letters and figures for a name: this process, its table of process numbers, and chance."""
    return _in_letters(os.getpid(), _PID) + _table() + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))


def has_ended(mark: str, changed: float) -> bool:
    """Whether the process that made something with `mark` in its name has ended, beyond doubt.

    changed: when it last did something to it [seconds of the clock]. What a process of another computer or container
    has left alone for a day counts as left behind.
    """
    if len(mark) != _PID + _TABLE + _RANDOM or mark[_PID : _PID + _TABLE] != _table():
        return time.time() - changed > _OLD_S
    began = started_at(int(mark[:_PID], 36))
    return began is None or began > changed + _CLOCK_S


def _found(path: Path) -> list[tuple[Path, str]]:
    name = re.compile(re.escape(f".{_stem(path)}-") + f"({_MARK})" + re.escape(path.suffix))
    try:
        with os.scandir(path.parent) as entries:
            matched = [(Path(entry.path), name.fullmatch(entry.name)) for entry in entries]
            return [
                (found, match[1]) for found, match in matched if match and found.is_file() and not found.is_symlink()
            ]
    except OSError:
        return []


def _changed(path: Path) -> float:
    try:
        status = path.lstat()
    except OSError:
        return time.time()
    return max(status.st_mtime, status.st_ctime)


def _stem(path: Path) -> str:
    return path.stem.encode("utf-8", "surrogateescape")[:_STEM_BYTES].decode("utf-8", "ignore")


def _in_letters(number: int, length: int) -> str:
    """A number to the base of 36, its last digits."""
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _table() -> str:
    """A mark of this boot, host and table of process numbers."""
    return _in_letters(zlib.crc32(table_name().encode("utf-8", "surrogateescape")), _TABLE)


def sync_file(path: Path) -> None:
    """Let a file's content reach the disk; renamed before that, it could be empty after a power failure."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Let new names reach the disk too, where folders can be opened (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems know no such thing.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
