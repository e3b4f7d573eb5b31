"""What runs in a process of its own hands back its array, its error in one line, or the limit that ended it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guarded_functions import doubled, failing, large, slow

from xrayreg.io import decoders, guarded
from xrayreg.io.guarded import GuardedError, interpreter, run_guarded

GENEROUS = 1 << 30


def test_the_array_comes_back() -> None:
    found = run_guarded(doubled, {"values": [1, 2, 3]}, seconds=30, memory_bytes=GENEROUS)
    np.testing.assert_array_equal(found, [2, 4, 6])


def test_an_error_comes_back_in_one_line() -> None:
    with pytest.raises(GuardedError, match=r"^two lines$"):
        run_guarded(failing, {}, seconds=30, memory_bytes=GENEROUS)


def test_what_does_not_end_is_ended() -> None:
    with pytest.raises(GuardedError, match=r"not done after 0\.2 seconds"):
        run_guarded(slow, {"seconds": 3600}, seconds=0.2, memory_bytes=GENEROUS)


def test_work_that_is_given_up_leaves_no_process(monkeypatch) -> None:
    started = []
    real = subprocess.Popen

    def noted(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(guarded.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_guarded(slow, {"seconds": 3600}, seconds=3600, memory_bytes=GENEROUS)
    assert len(started) == 1 and started[0].poll() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's address space")
def test_more_memory_than_allowed_is_refused() -> None:
    assert run_guarded(large, {"size": 1 << 20}, seconds=60, memory_bytes=64 << 20).size == 1 << 20
    with pytest.raises(GuardedError, match="more memory than it may have"):
        run_guarded(large, {"size": 1 << 30}, seconds=60, memory_bytes=64 << 20)


def test_inside_slicer_its_own_python_is_found_or_none(monkeypatch, tmp_path) -> None:
    assert Path(interpreter() or "").name.startswith("python")
    slicer = tmp_path / "SlicerApp-real"
    slicer.touch()
    monkeypatch.setattr(sys, "executable", str(slicer))
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert interpreter() is None
    with pytest.raises(GuardedError, match="no Python was found"):
        run_guarded(doubled, {"values": [1]}, seconds=30, memory_bytes=GENEROUS)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "PythonSlicer").touch()
    assert interpreter() == str(tmp_path / "bin" / "PythonSlicer")


def test_the_process_loads_neither_torch_nor_this_package() -> None:
    code = (
        "import importlib.util, json, sys\n"
        f"for file in {[decoders.__file__, str(guarded._CHILD)]!r}:\n"
        "    spec = importlib.util.spec_from_file_location('alone', file)\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "pydicom" in loaded and not loaded & {"torch", "scipy", "numba", "xrayreg"}
