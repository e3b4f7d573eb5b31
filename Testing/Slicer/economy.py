"""What the tests of the panel do once or coarsely, because no law stated there depends on it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

try:
    import fcntl
except ImportError:
    # Windows: each process compiles for itself.
    fcntl = None  # type: ignore[assignment]

# What was found in each image that was looked through.
_fields: dict[tuple[object, ...], tuple[Any, tuple[str, ...]]] = {}


def compile_once(folder: Path) -> None:
    """Have the CPU engine's compiled code kept in `folder`, made by one process while others wait.

    On a fresh checkout each panel would start a process that compiles for half a minute, and end it with the test.
    """
    from xrayreg.render import kernels_are_cached, warm_up

    if kernels_are_cached():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "compiling.lock", "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not kernels_are_cached():
            warm_up()


def remember_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the collimated field of the same image once in all tests: they show a few X-rays over and over.

    Only where the backend was loaded before; what is found is tested in Testing/Python/scene.
    """
    recording = sys.modules.get("xrayreg.scene.recording")
    if recording is not None:
        monkeypatch.setattr(recording, "find_field", _remembering(recording.find_field))


def _remembering(find: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def found(recorded: Any) -> Any:
        key = (recorded.shape, str(recorded.dtype), hashlib.sha256(np.ascontiguousarray(recorded)).digest())
        if key not in _fields:
            _fields[key] = find(recorded)
        valid, said = _fields[key]
        # Whoever asks goes on working in the mask.
        return valid.copy(), said

    return found


def draw_coarsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw what is laid over the X-rays with half the pixels a side, and soon after the C-arm has come to rest.

    How finely it is drawn is tested without the panel (test_live.py, test_silhouettes.py).
    """
    from XRayRegistrationLib.display import drawing, live, silhouettes

    monkeypatch.setattr(drawing, "GRID_PX", drawing.GRID_PX // 2)
    monkeypatch.setattr(drawing, "_FINE_PX", drawing._FINE_PX // 2)
    monkeypatch.setattr(silhouettes, "_GRID_PX", silhouettes._GRID_PX // 2)
    monkeypatch.setattr(live, "_REST_MS", live._REST_MS // 10)
