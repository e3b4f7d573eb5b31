"""State of a training from its folder, which outlives panel, scene and Slicer: see xrayreg.networks.training.status."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

_STATUS, _CURVE, _STOP, _LOG, _NOTE = "status.json", "curve.csv", "stop", "log.txt", "slicer.json"
_LIVING = ("starting", "preparing", "training", "validating", "ending")
_ENDS = ("done", "stopped", "failed")
# How long a process may take to end when it is asked to [s], before it is ended; and then, before it is killed.
PATIENCE_S, LAST_PATIENCE_S = 15.0, 20.0
# A process unknown to this computer counts as ended after this time without a sign of life [s].
_SILENT_S = 600.0
# An error of xrayreg in its last words.
_TELLS = "xrayreg: "
# The names of the files that were put into the folder of inputs: only these are removed.
_INPUTS = "inputs.json"
_LOG_TAIL = 4096


@dataclass(frozen=True)
class Moment:
    """State of a training.

    state: starting, preparing, training, validating, ending, done, stopped or failed. message: what it says itself, or
    why it failed. fraction: of the whole, 0 to 1. seconds: trained so far. secondsLeft, imagesPerSecond: None while
    unknown. validation: errors by kind of image (clean, physics) as xrayreg.networks.model.card.MedianErrors has them,
    or angles by what gave them (network, zncc, gradient_correlation) as MedianAngles; empty before the first.
    """

    state: str
    message: str = ""
    fraction: float = 0.0
    iteration: int = 0
    seconds: float = 0.0
    secondsLeft: float | None = None
    imagesPerSecond: float | None = None
    validation: dict = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self.state in _LIVING


class Run:
    """The training of one network file; `process` (subprocess.Popen) is known to the Slicer that started it only."""

    def __init__(self, model: Path | str, process: Any = None) -> None:
        self.model = Path(model)
        self.folder = folderOf(self.model)
        self._process = process
        self._status: dict[str, Any] = {}
        self._askedAt: float | None = None

    @property
    def log(self) -> Path:
        """The file for the output of the process."""
        return self.folder / _LOG

    @property
    def inputs(self) -> Path:
        """Where the CT is put for the process."""
        return self.folder / "input"

    def exists(self) -> bool:
        """Whether such a training exists."""
        return (self.folder / _NOTE).is_file() or (self.folder / _STATUS).is_file()

    def prepare(self, resume: bool, names: Any = ()) -> None:
        """Make a folder for inputs of these names.

        Status and log of an earlier run are removed, and its curve unless `resume`.

        Raises OSError where that cannot be done, as when a link or a file of somebody else is in the way.
        """
        self.clean()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.inputs.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, _("a link, not a folder"), str(self.inputs))
        self.inputs.mkdir(exist_ok=True)
        for name in names:
            if os.path.lexists(self.inputs / name):
                raise FileExistsError(errno.EEXIST, _("a file of somebody else"), str(self.inputs / name))
        for name in (_STATUS, _STOP, _LOG) if resume else (_STATUS, _STOP, _LOG, _CURVE):
            (self.folder / name).unlink(missing_ok=True)
        _replace(self.folder / _INPUTS, {"files": list(names)})

    def began(self, pid: int, command: list[str], content: Any) -> None:
        """Note the process with its command line and, for people, what it works on (dict)."""
        # Whatever starts the interpreter for us ends with the same words.
        identity = _processes() and _processes().identity_of(pid, tuple(command[1:]))
        _replace(self.folder / _NOTE, {**(identity.as_dict() if identity else {"pid": pid}), **content})

    @property
    def note(self) -> dict[Any, Any]:
        """The content given to `began`; empty if another program started the training."""
        return _read(self.folder / _NOTE) or {}

    def moment(self) -> Any:
        """The current state (Moment)."""
        # Between two looks the file may be half replaced, on some file systems.
        self._status = status = _read(self.folder / _STATUS) or self._status
        state, alive = status.get("state", "starting"), self._isAlive(status)
        message = status.get("message") or ""
        if alive and state in _ENDS:
            state = "ending"
        elif not alive and state not in _ENDS:
            state, message = ("stopped", "") if self.isStopping() else ("failed", self._lastWords())
        return Moment(
            state,
            message,
            float(status.get("fraction") or 0.0),
            int(status.get("iteration") or 0),
            float(status.get("seconds") or 0.0),
            status.get("seconds_left"),
            status.get("images_per_second"),
            status.get("validation") or {},
        )

    def curve(self) -> list[Any]:
        """The rows of the learning curve, each a dict of numbers by column (xrayreg.networks.training.curves)."""
        try:
            with (self.folder / _CURVE).open(newline="", encoding="utf-8") as file:
                return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError):
            return []

    def curveState(self) -> tuple[int, int] | None:
        """A value that changes whenever the curve does."""
        try:
            found = (self.folder / _CURVE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def stop(self) -> None:
        """Ask the process to end with its best network so far; `insist` sees to it that it does."""
        if not self.isStopping():
            self._askedAt = time.time()
            self._ask()

    def insist(self) -> None:
        """End a process that was asked to end a while ago; call now and then."""
        since = self._stopAsked()
        if since is None:
            return
        if since > PATIENCE_S:
            self.end(kill=since > LAST_PATIENCE_S)
        elif not (self.folder / _STOP).exists():
            # A process that only began to work has taken it for that of an earlier run.
            self._ask()

    def isStopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopAsked() is not None

    def hasNetwork(self) -> bool:
        """Whether it has brought a network that can be used."""
        try:
            return self.model.stat().st_mtime >= _moment(self.note.get("started")) - 1
        except OSError:
            return False

    def clean(self) -> None:
        """Remove the copy of the CT, which nobody needs any more: what `prepare` was told of, and nothing else."""
        names = (_read(self.folder / _INPUTS) or {}).get("files")
        if self.inputs.is_symlink() or not isinstance(names, list):
            return
        for name in map(str, names):
            path = self.inputs / name
            if path.parent == self.inputs and (path.is_file() or path.is_symlink()):
                path.unlink(missing_ok=True)
        if self.inputs.is_dir() and not any(self.inputs.iterdir()):
            self.inputs.rmdir()
        (self.folder / _INPUTS).unlink(missing_ok=True)

    def _ask(self) -> None:
        try:
            (self.folder / _STOP).touch()
        except OSError as error:
            # On a full disk, for one; `insist` ends it nevertheless.
            logging.warning("A training could not be asked to end: %s", error)

    def _stopAsked(self) -> float | None:
        """How long ago it was asked to end [s], or None."""
        if self._askedAt is not None:
            return max(0.0, time.time() - self._askedAt)
        try:
            return max(0.0, time.time() - (self.folder / _STOP).stat().st_mtime)
        except OSError:
            return None

    def _isAlive(self, status: dict[Any, Any]) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        heard = self._heardAgo(status)
        processes = _processes()
        if processes is None:
            return heard < _SILENT_S
        lives = [processes.life_of(each, time.time() - heard) for each in self._identities(status)]
        if processes.Life.LIVES in lives:
            return True
        # Of one on another computer, or of which too little is written down, only its files tell.
        return processes.Life.UNKNOWN in lives and heard < _SILENT_S

    def _heardAgo(self, status: dict[Any, Any]) -> float:
        """How long ago the process was last heard of [s]: by its own clock and by the file's, which may differ."""
        if not status:
            return _age(self.note.get("started"))
        return max(_age(status.get("updated")), _fileAge(self.folder / _STATUS))

    def _identities(self, status: dict[Any, Any]) -> list[Any]:
        """The processes that have been written down (xrayreg.processes.Identity): by the training, and by who began it.

        An earlier version wrote the number alone; it meant this computer.
        """
        told = (each for each in (status, self.note) if each.get("pid"))
        found = (_processes().Identity.from_dict({"host": platform.node(), **each}) for each in told)
        return [each for each in found if each is not None]

    def pids(self) -> list[int]:
        """Numbers of its processes, as far as they are known: PythonSlicer is a launcher, Python runs below it."""
        started = self.note.get("pid") if self._process is None else self._process.pid
        return [pid for pid in (started, self._status.get("pid")) if pid]

    def end(self, kill: bool = True) -> None:
        """End the process at once, without waiting for its best network.

        One that this Slicer has not started itself is ended only where it is certainly the one that was written down.
        """
        if not self._isAlive(self._status) or _processes() is None:
            return
        if self._process is not None:
            _processes().end_child(self._process.pid, kill)
            return
        for identity in self._identities(self._status):
            _processes().end(identity, kill)

    def _lastWords(self) -> str:
        """Why a process that did not report its end has ended."""
        said = _tail(self.log)
        told = [line for line in said if line.startswith(_TELLS)]
        if told:
            return _sentence(told[-1].removeprefix(_TELLS))
        code = None if self._process is None else self._process.poll()
        if said:
            return _("The training ended with an error: {line}").format(line=said[-1])
        if code:
            return _("The training ended without a word (exit code {code}).").format(code=code)
        return _("The training ended without a word.")


def folderOf(model: Path) -> Path:
    """The folder beside a network file that tells of its training (as xrayreg.networks.training.status has it)."""
    return model.with_name(f"{model.stem}_training")


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, or None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _tail(path: Path) -> list[str]:
    """The last lines of a text file that hold something."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _age(moment: str | None) -> float:
    """Seconds since a moment (ISO 8601); endless when it is not known."""
    return max(0.0, time.time() - _moment(moment))


def _moment(text: str | None) -> float:
    """A moment (ISO 8601) in seconds of the computer's clock; long ago when it is not known."""
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except (TypeError, ValueError):
        return float("-inf")


def _fileAge(path: Path) -> float:
    """Seconds since a file was written; endless where there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return float("inf")


def _replace(path: Path, content: Any) -> None:
    """Write a JSON file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _processes() -> Any:
    """xrayreg.processes; None before the packages it needs are installed. Nothing is ended then."""
    try:
        from xrayreg import processes
    except ImportError:
        return None
    return processes
