"""Rendering from two threads at once, as a training does that makes its next batch while it learns from this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import xrayreg

_SCRIPT = """
import threading
import numba
from phantoms import camera_at, frontal, phantom_map
from xrayreg.render import prepare, render

projector = prepare(phantom_map(), "numba")
expected = render(projector, camera_at(24), frontal())
right = []

def work():
    for _ in range(20):
        right.append(bool((render(projector, camera_at(24), frontal()) == expected).all()))

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(numba.threading_layer(), len(right), all(right))
"""


def test_the_layer_of_threads_that_every_machine_has_survives_two_of_them():
    here = Path(__file__).resolve()
    folders = [str(here.parents[1]), str(Path(xrayreg.__file__).resolve().parents[1])]
    environment = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["workqueue", "40", "True"], done.stdout + done.stderr
