"""A study's folder: its identity, and results that survive an interruption in the middle of a line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ...checks import InputError
from ...io import prepare_output, require_output, write_json
from ...io.locks import Lock, held
from ...io.results import remove_leftovers, replace_file
from ..statistics import StudyRow
from .reading import ARM, CASES, PAPER, RESULTS, TABLE, read_rows

POSES, LOCK = "poses.csv", "lock"
# Keys that identify a study; "cases" may grow, because the first cases of an arm stay the same.
_IDENTITY = ("name", "seed", "arm", "volume", "dataset")


class StudyFolder:
    """The folder `path` of a study; a process that writes results to it holds its lock (`alone`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def results(self) -> Path:
        """The file with a line per method and case."""
        return self.path / RESULTS

    def case(self, name: str) -> Path:
        """The folder of a case."""
        return self.path / CASES / name

    def require_usable(self) -> None:
        """Raise InputError for a folder that cannot be written to or holds something other than a study."""
        require_output(self.path)
        known = (self.path / ARM).exists() or not self.path.is_dir()
        # A study that was killed at its very beginning leaves only its lock.
        if not known and any(entry.name != LOCK for entry in self.path.iterdir()):
            raise InputError(
                "--out",
                expected="an empty folder, a new one, or that of a study",
                found=f"other files in {self.path}",
                remedy="name another folder",
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Create the folder and lock it: within this context no other process writes results to it.

        Incomplete files of killed processes are removed. Raises InputError while another process holds the lock.
        """
        self.require_usable()
        prepare_output(self.path)
        lock = Lock(
            self.path / LOCK,
            (self.results, self.path / CASES),
            what=f"--out {self.path}",
            expected="no other evaluation that writes to it",
            remedy="wait until it ends, or name another folder",
        )
        with held(lock):
            for name in (ARM, PAPER, POSES, RESULTS, TABLE):
                remove_leftovers(self.path / name)
            yield

    def open(self, identity: Mapping[str, Any]) -> None:
        """Assign the folder to the study `identity` (written to arm.json), or continue this study.

        Raises InputError if it holds another study.
        """
        plain = json.loads(json.dumps(identity))
        found = self._identity()
        different = [] if found is None else [key for key in _IDENTITY if found.get(key) != plain.get(key)]
        if found is not None and different:
            raise InputError(
                f"--out {self.path}",
                expected=f"a study of {_told(plain)}",
                found=f"one of {_told(found)} ({', '.join(different)} differ)",
                remedy="name another folder, or delete this one to start anew",
            )
        if found is None or found.get("cases", 0) < plain.get("cases", 0):
            write_json(self.path / ARM, identity)

    def rows(self) -> dict[tuple[str, str], StudyRow]:
        """The results so far by method and case; the file is not changed, damaged lines are ignored."""
        return read_rows(self.results).rows

    def mended_rows(self) -> tuple[dict[tuple[str, str], StudyRow], str]:
        """As `rows`, and a sentence on ignored lines, empty if there are none.

        An incomplete last line is cut off, so that the next result begins a line of its own; all other lines stay as
        they are. Only to be called while holding the lock.
        """
        read = read_rows(self.results)
        if read.torn or read.unended:
            with self.results.open("r+b") as file:
                if read.torn:
                    file.truncate(file.seek(-read.torn, os.SEEK_END))
                else:
                    file.seek(0, os.SEEK_END)
                    file.write(b"\n")
                file.flush()
                os.fsync(file.fileno())
        said = [
            f"{read.damaged} damaged {'line' if read.damaged == 1 else 'lines'} of {RESULTS} passed over"
            if read.damaged
            else "",
            f"the last line of {RESULTS}, not written to its end, was cut off" if read.torn else "",
        ]
        return read.rows, "; ".join(filter(None, said))

    def drop(self, methods: Collection[str]) -> int:
        """Remove the results of `methods`; returns their number.

        All other results stay, even if the process is killed meanwhile. Only to be called while holding the lock.
        """
        rows, _ = self.mended_rows()
        kept = [row for row in rows.values() if row.method not in methods]
        if len(kept) < len(rows):
            text = "".join(_line(row) for row in kept)
            replace_file(self.results, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
        return len(rows) - len(kept)

    @contextmanager
    def appending(self) -> Iterator[TextIO]:
        """The results file, opened for `append`."""
        with self.results.open("a", encoding="utf-8") as file:
            yield file

    def _identity(self) -> dict[str, Any] | None:
        file = self.path / ARM
        if not file.exists():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise InputError(
                f"study {self.path}", expected=f"a readable {ARM}", found="a damaged one", remedy="name another folder"
            )
        return content


def append(file: TextIO, row: StudyRow) -> None:
    """Write a result so that it is on the disk when this returns; raises InputError for a full disk."""
    with room_for_results(Path(file.name).parent):
        file.write(_line(row))
        file.flush()
        os.fsync(file.fileno())


def _line(row: StudyRow) -> str:
    return json.dumps(row.as_dict(), ensure_ascii=False) + "\n"


@contextmanager
def room_for_results(folder: Path) -> Iterator[None]:
    """Context in which a full disk is reported as an InputError with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(folder) from error


def no_room(folder: Path) -> InputError:
    """The error for a full disk; results already written are kept."""
    return InputError(
        f"disk of {folder}",
        expected="room for cases and results",
        found="none left",
        remedy="free some and give the same command again: it goes on where it stopped",
    )


def _told(identity: Mapping[str, Any]) -> str:
    what = identity.get("dataset") or f"arm {identity.get('name')}"
    volume = identity.get("volume")
    file = Path(str(volume.get("path", ""))).name if isinstance(volume, Mapping) else ""
    return f"{what}, seed {identity.get('seed')}" + (f", {file}" if file else "")
