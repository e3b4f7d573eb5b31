"""The worker's process and the streams to it, read without ever waiting for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from xrayreg.worker.arrays import ArrayFolder
from xrayreg.worker.messages import UNLOADABLE, Unpacker, packed

from . import python

_READ_BYTES = 1 << 20
# Of what the process said before it ended, the last line is shown, so much of it [characters].
_LONGEST_LINE = 300


def connect() -> Connection:
    """Start a worker; returns its Connection. Raises InputError where Slicer has no Python, OSError for one that does
    not start."""
    return Connection([python.interpreter(), "-m", "xrayreg.worker"])


class Connection:
    """A process that serves this window alone, and the folder through which arrays go.

    command: its command line, the folder's path is added.
    """

    def __init__(self, command: list[str]) -> None:
        # Where the user wants temporary files, which may be large.
        folder = Path(tempfile.mkdtemp(prefix="XRayRegistration-", dir=slicer.app.temporaryPath))
        self.arrays = ArrayFolder(folder, "s")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._unpacker = Unpacker()
        try:
            self._process = subprocess.Popen(
                [*command, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=python.variables(),
                bufsize=0,
                **python.hidden(),
            )
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        # Also when this is forgotten, and when Slicer ends.
        self._end = weakref.finalize(self, _end, self._process, self._log, folder)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; raises OSError where the process has ended."""
        data = memoryview(packed(message))
        while data:
            data = data[self._stdin.write(data) or 0 :]

    def receive(self) -> list[Any]:
        """The messages that have arrived (a list). Raises xrayreg.worker.messages.BrokenStream for anything else."""
        messages = []
        while data := self._stdout.read(_READ_BYTES):
            messages += self._unpacker.feed(data)
        return messages

    def wait(self, seconds: float) -> None:
        """Give the process time to answer; returns sooner where that can be seen."""
        if sys.platform == "win32":
            # Pipes cannot be waited for there.
            time.sleep(min(seconds, 0.002))
        else:
            import select

            select.select([self._stdout], [], [], seconds)

    def ending(self) -> str:
        """How the process ended, a sentence; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = lines[-1][-_LONGEST_LINE:] if lines else _("it said nothing")
        if code == UNLOADABLE:
            sentence = _(
                "A Python package is there but does not load ({said}). Reinstall PyTorch in the module PyTorch Utils."
            )
            return sentence.format(said=said)
        if code in (-9, 137):
            sentence = _("The computing process was ended from outside; the memory may be used up ({said}).")
            return sentence.format(said=said)
        return _("The computing process ended (exit code {code}: {said}).").format(code=code, said=said)

    def close(self) -> None:
        """End the process and remove its folder."""
        self._end()


def _end(process: Any, log: Any, folder: Path) -> None:
    if process.poll() is None:
        process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait()
    log.close()
    shutil.rmtree(folder, ignore_errors=True)
