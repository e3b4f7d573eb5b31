"""Hidden temporary files beside files that are being written, with names that identify their process.

.model-00a3fk2v9x4q.pt     beside model.pt, of process 00a3f in the process table k2v9, both in base 36

A killed process leaves its temporary file behind; the next process that writes the same file removes it. The file of a
live process is never removed: process number and table are in the name, and a process that was started after the file
was created is a different one.
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
# Eight characters: names of earlier versions.
_MARK = r"[a-z0-9_]{8}|[a-z0-9]{12}"
# File systems allow names of 255 bytes; longer stems are cut to this.
_STEM_BYTES = 160
# Age [s] from which a temporary file of unknown process counts as left behind: writing one takes seconds.
_OLD_S = 86400.0
# Tolerance [s] between the start time of a process and the time of a file it created at once.
_CLOCK_S = 2.0


def create_neighbour(path: Path) -> Path:
    """Create an empty hidden file of this process in the folder of `path`, with the permissions of any new file."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
    while True:
        temporary = neighbour_name(path)
        try:
            os.close(os.open(temporary, flags, 0o666))
        except FileExistsError:
            continue
        return temporary


def neighbour_name(path: Path) -> Path:
    """A name for a hidden temporary file beside `path`, new each time."""
    return path.with_name(f".{_stem(path)}-{new_mark()}{path.suffix}")


def neighbours(path: Path) -> list[Path]:
    """The existing hidden temporary files beside `path`, regular files only."""
    return [neighbour for neighbour, _ in _found(path)]


def left_behind(path: Path) -> list[Path]:
    """The hidden temporary files beside `path` whose processes have certainly ended."""
    return [neighbour for neighbour, mark in _found(path) if has_ended(mark, _changed(neighbour))]


def new_mark() -> str:
    """Twelve letters and digits for a name: this process, its process table, and random characters."""
    return _in_letters(os.getpid(), _PID) + _table() + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))


def has_ended(mark: str, changed: float) -> bool:
    """Whether the process that created a file with `mark` in its name has certainly ended.

    changed: when the file was last modified [seconds of the clock]. A file of another computer's or container's process
    that was not modified for a day counts as left behind.
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
    """The last digits of a number in base 36."""
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _table() -> str:
    """An identifier of this boot, host and process table."""
    return _in_letters(zlib.crc32(table_name().encode("utf-8", "surrogateescape")), _TABLE)


def sync_file(path: Path) -> None:
    """Flush a file's content to disk; renamed before that, it could be empty after a power failure."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush new names to disk too, where folders can be opened (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems do not support this.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
