"""Calling a function in a separate process that can be terminated, with limits on time and memory.

Third-party decoders were observed to hang and to allocate gigabytes on damaged files. They therefore run in a fresh
Python process, not in a copy of this one: it loads the one file that holds the function, without torch, and returns
its array through a file. Nothing is pickled.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHILD = Path(__file__).with_name("guarded_child.py")
# Limit for loading Python, numpy and ITK on a busy machine; the function's own time is counted from then on.
_START_SECONDS = 120.0
_PAUSE_SECONDS = 0.01


# Limits of decoding: decoders were measured at about 20 million bytes per second and hold several copies.
_SECONDS, _SECONDS_PER_BYTE = 5.0, 1.25e-7
_BYTES, _COPIES = 256 << 20, 12


class GuardedError(RuntimeError):
    """The function did not return an array: its error in one line, or which limit ended it."""


def run_guarded(
    function: Callable[..., NDArray], arguments: Mapping[str, Any], *, seconds: float, memory_bytes: int
) -> NDArray:
    """The array that `function` returns for `arguments`, computed in a separate process.

    function: a top-level function of a file that can be loaded by its path alone, without relative imports.
        arguments: by name, of JSON types.
    seconds: run time allowed once everything is loaded. memory_bytes: memory allowed beyond what is loaded by then (on
        systems that can limit a process's memory; callers check the sizes in a header first).

    Raises GuardedError with one line for an exception of the function, for an exceeded limit, and where no Python to
    run it is found.
    """
    python = interpreter()
    if python is None:
        raise GuardedError("no Python was found to decode it in a process of its own")
    with tempfile.TemporaryDirectory(prefix="xrayreg-") as name:
        folder = Path(name)
        request = {
            "file": inspect.getfile(inspect.unwrap(function)),
            "function": function.__name__,
            "arguments": dict(arguments),
            "seconds": seconds,
            "bytes": int(memory_bytes),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with open(folder / "said.txt", "wb") as said:
            child = subprocess.Popen(
                # -P keeps the script's own folder off the module search path: its files have common names.
                [python, "-P", "-W", "ignore", str(_CHILD), str(folder)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                env=_environment(),
                **_quietly(),
            )
            try:
                _finished(child, folder, seconds)
            finally:
                child.kill()
                child.wait()
                if child.stdin is not None:
                    child.stdin.close()
        return _result(child.returncode, folder)


def decoded_apart(function: Callable[..., NDArray], arguments: Mapping[str, Any], size: int) -> NDArray:
    """`run_guarded` with limits for decoding; size: bytes of the result."""
    seconds, memory_bytes = _SECONDS + _SECONDS_PER_BYTE * size, _BYTES + _COPIES * size
    return run_guarded(function, arguments, seconds=seconds, memory_bytes=memory_bytes)


def interpreter() -> str | None:
    """A Python interpreter with the packages of this one, None where none is found.

    Inside Slicer `sys.executable` may be Slicer itself, which would open a second window; PythonSlicer is its Python.
    """
    if getattr(sys, "frozen", False):
        return None
    own = Path(sys.executable or "")
    beside = [folder / "PythonSlicer" for folder in (Path(sys.exec_prefix, "bin"), own.parent, own.parent / "bin")]
    if own.name.lower().startswith("python") and own.is_file():
        return str(own)
    found = shutil.which("PythonSlicer")
    return found or next((str(path) for path in beside if path.is_file()), None)


def _finished(child: subprocess.Popen[bytes], folder: Path, seconds: float) -> None:
    """Wait until the process has ended; raises GuardedError on timeout."""
    limit, is_ready = time.monotonic() + _START_SECONDS, False
    while child.poll() is None:
        if not is_ready and (folder / "ready").exists():
            limit, is_ready = time.monotonic() + seconds, True
        if time.monotonic() > limit:
            raise GuardedError(f"not done after {seconds:g} seconds" if is_ready else "Python did not start in time")
        time.sleep(_PAUSE_SECONDS)


def _result(code: int, folder: Path) -> NDArray:
    if code == 0:
        return np.load(folder / "result.npy", allow_pickle=False)
    error = folder / "error.txt"
    if error.is_file():
        raise GuardedError(error.read_text(encoding="utf-8"))
    # A process without any output was ended by the system: out of memory, out of processor time, or a decoder's crash.
    raise GuardedError(f"its decoder ended with code {code}")


def _environment() -> dict[str, str]:
    """Environment with one thread per library: more would only take address space."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _quietly() -> dict[str, Any]:
    """No console window on Windows; Ctrl-C is handled by this process, which ends the child."""
    if os.name == "nt":
        return {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
    return {"start_new_session": True}
