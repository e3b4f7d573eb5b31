"""Slicer's own Python as a separate process, with xrayreg and all installed packages but without a scene."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

_NAME = "PythonSlicer"
# Niceness of a background process.
_NICE = "10"


def interpreter() -> str:
    """The executable: PythonSlicer, which every Slicer has on its path and in its folder bin.

    Raises InputError where there is none: sys.executable, which it usually would be, is Slicer itself.
    """
    folder = Path(slicer.app.slicerHome, "bin")
    found = shutil.which(_NAME) or shutil.which(_NAME, path=str(folder))
    if found is None:
        raise InputError(
            _("Slicer's Python"),
            expected=_("the program {name}").format(name=_NAME),
            found=_("none on the path or in {folder}").format(folder=folder),
            remedy=_("install Slicer again, or put the folder of this program on the path"),
        )
    return found


def environment() -> dict[str, Any]:
    """The variables that such a process needs beside those of Slicer: where xrayreg is found."""
    library = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join(path for path in (library, os.environ.get("PYTHONPATH")) if path)}


def variables() -> dict[str, Any]:
    """All environment variables of such a process: Slicer's, its own, and those that make it yield to the window."""
    # A waiting thread yields the processor to the window.
    return {**os.environ, **environment(), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def hidden() -> dict[str, Any]:
    """Options of subprocess.Popen for a process without a console window."""
    if sys.platform != "win32":
        return {}
    return {"creationflags": subprocess.CREATE_NO_WINDOW}


def launch(command: list[str], log: Path) -> Any:
    """Start a process that continues without Slicer, and return it (subprocess.Popen); its output goes to a file.

    slicer.util.launchConsoleProcess is for processes that end with Slicer: it reads their output through a pipe, and
    a process that writes to a pipe without a reader is ended.
    """
    with open(log, "wb") as said:
        return subprocess.Popen(
            [*_polite(), *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=variables(),
            **_detached(),
        )


def _polite() -> list[str]:
    """The command that lowers a process's priority, if there is one (not on Windows)."""
    nice = shutil.which("nice") if os.name != "nt" else None
    return [nice, "-n", _NICE] if nice else []


def _detached() -> dict[str, Any]:
    if sys.platform != "win32":
        return {"start_new_session": True}
    kinds = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return {"creationflags": kinds}
