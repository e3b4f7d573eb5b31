"""The Triton engine's laws where there is no GPU: in Triton's interpreter, which needs a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAWS = Path(__file__).with_name("test_triton.py")


# The laws that take longest there.
SLOW = "channels_are or repeats_are or tiles_and or leaving_out"


@pytest.mark.parametrize("chosen", [f"not ({SLOW})", pytest.param(SLOW, marks=pytest.mark.long)])
def test_the_laws_hold_in_tritons_interpreter(chosen):
    pytest.importorskip("triton")
    # A worker of a parallel run would have the inner run believe it were one too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, str(LAWS)],
        capture_output=True,
        text=True,
        cwd=LAWS.parents[3],
        env={**environment, "TRITON_INTERPRET": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-2000:]
    assert " passed" in finished.stdout and "skipped" not in finished.stdout
