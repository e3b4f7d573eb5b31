"""The computing process as the module sees it: it registers, it may end at any moment, and others follow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inline_worker import held
from nodes import add_ct, last, new_parameters, run

from xrayreg.checks import InputError
from xrayreg.scene import Volume


def started_as(monkeypatch: pytest.MonkeyPatch, *command: str) -> list[Any]:
    """Let workers be processes of this command line; returns a list of the connections to them."""
    from XRayRegistrationLib.worker import connection

    made = []

    def connect() -> Any:
        made.append(connection.Connection([sys.executable, *command]))
        return made[-1]

    monkeypatch.setattr(connection, "connect", connect)
    return made


@pytest.fixture
def real(app: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Connections to real workers, in the order in which they were started."""
    return started_as(monkeypatch, "-m", "xrayreg.worker")


@pytest.fixture
def inputs(app: Any) -> Any:
    from XRayRegistrationLib.mrml.backend import Inputs

    app.scene.Clear(0)
    made = Inputs()
    yield made
    made.close()


def ask(inputs: Any, kind: str = "compile") -> Any:
    return run(inputs.worker.askSteps(kind, similarity=None))


def test_a_registration_in_another_process_survives_a_worker_that_is_killed(real, inputs, case, compiled):
    from XRayRegistrationLib.jobs import registration
    from XRayRegistrationLib.mrml import importing, rig
    from XRayRegistrationLib.worker.client import WorkerEnded

    parameters = new_parameters()
    run(importing.importCaseSteps(inputs, parameters, case))
    shown = rig.rigOf(parameters.pose)
    before = rig.worldFromVolume(shown)
    steps = registration.registrationSteps(inputs, parameters)
    while np.allclose(rig.worldFromVolume(shown), before, atol=1e-6):
        next(steps)
    os.kill(real[0]._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerEnded, match=r"memory may be used up.*do again what was interrupted"):
        last(steps)
    np.testing.assert_allclose(rig.worldFromVolume(shown), before, atol=1e-9)
    # The next one starts another process, to which everything is sent again.
    end = last(registration.registrationSteps(inputs, parameters))
    assert end.accepted
    assert end.errorMm < 1.0
    assert len(real) == 2
    folder = real[1].arrays.folder
    assert folder.exists()
    inputs.close()
    assert not folder.exists()
    assert real[1]._process.poll() is not None


def test_the_window_loads_neither_torch_nor_numba_until_a_case_is_registered_and_placed_by_landmarks(
    app, case, compiled
):
    script = Path(__file__).resolve().parents[1] / "Benchmarks" / "window.py"
    done = subprocess.run([sys.executable, script, "phantom", case], capture_output=True, timeout=500, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert "place by landmarks" in figures["stalls_ms"]
    assert figures["loaded"] == []
    assert "Accepted" in figures["verdict"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('no numpy here')", "exit code 1: no numpy here"),
        ("import sys; sys.stdin.buffer.read(1)", "exit code 0: it said nothing"),
        (
            "import sys; sys.exit(print('c10.dll is missing', file=sys.stderr) or 3)",
            "does not load .c10.dll is missing",
        ),
        ("print('Welcome!', flush=True); input()", "is ended, because something that is no message"),
        (
            "import struct, sys; sys.stdout.buffer.write(struct.pack('<4sII', b'XRWK', 99, 2) + b'{}'); "
            "sys.stdout.flush(); input()",
            "version 99 arrived, version 1 was expected",
        ),
        (
            "import struct, sys; sys.stdout.buffer.write(struct.pack('<4sII', b'XRWK', 1, 2**31)); sys.stdout.flush(); "
            "input()",
            "a message of 2147483648 bytes was announced",
        ),
    ],
    ids=["at once", "silent", "a package", "text", "another version", "too long"],
)
def test_a_process_that_is_no_worker_ends_in_a_sentence(inputs, monkeypatch, code, said):
    from XRayRegistrationLib.worker.client import WorkerEnded

    made = started_as(monkeypatch, "-c", code)
    with pytest.raises(WorkerEnded, match=said):
        ask(inputs)
    assert made[0]._process.poll() is not None
    assert not made[0].arrays.folder.exists()


def test_a_process_that_cannot_be_started_says_the_way_out(inputs, monkeypatch):
    from XRayRegistrationLib.worker import connection
    from XRayRegistrationLib.worker.client import WorkerEnded

    monkeypatch.setattr(connection, "connect", lambda: connection.Connection(["/nowhere/PythonSlicer"]))
    with pytest.raises(WorkerEnded, match=r"cannot be started \(No such file or directory\)\. Restart Slicer"):
        ask(inputs)


def test_a_slicer_without_python_is_told(inputs, monkeypatch):
    from XRayRegistrationLib.worker import connection

    def missing() -> Any:
        raise InputError("Slicer's Python", expected="a program", found="none", remedy="install Slicer again")

    monkeypatch.setattr(connection, "connect", missing)
    with pytest.raises(InputError, match="install Slicer again"):
        ask(inputs)


def test_one_that_does_not_react_is_ended_later(app, inputs, monkeypatch):
    from XRayRegistrationLib.worker import client

    monkeypatch.setattr(client, "_PATIENCE_S", 0.2)
    made = started_as(monkeypatch, "-c", "import time; time.sleep(600)")
    steps = inputs.worker.askSteps("compile", similarity=None)
    next(steps)
    steps.close()
    assert made[0]._process.poll() is None, "whoever cancels does not wait for it"
    app.wait_until(lambda: made[0]._process.poll() is not None, 20)


def test_the_work_of_others_is_not_ended_with_one_that_was_cancelled(app, inputs, monkeypatch):
    from XRayRegistrationLib.worker import client

    monkeypatch.setattr(client, "_PATIENCE_S", 0.05)
    made = started_as(monkeypatch, "-c", "import time; time.sleep(600)")
    registering, drawing = (inputs.worker.askSteps("compile", similarity=None) for _ in range(2))
    next(registering)
    next(drawing)
    drawing.close()
    app.settle(0.5)
    assert made[0]._process.poll() is None
    registering.close()
    app.wait_until(lambda: made[0]._process.poll() is not None, 20)


def test_all_who_wait_hear_that_the_process_ended(inputs, monkeypatch):
    from XRayRegistrationLib.worker.client import WorkerEnded

    made = started_as(monkeypatch, "-c", "import time; time.sleep(600)")
    registering, drawing = (inputs.worker.askSteps("compile", similarity=None) for _ in range(2))
    next(registering)
    next(drawing)
    made[0]._process.kill()
    made[0]._process.wait()
    for waiting in (registering, drawing):
        with pytest.raises(WorkerEnded, match="ended from outside"):
            run(waiting)


def test_values_are_kept_for_as_long_as_somebody_holds_them(app, inputs):
    sent = run(inputs.volumeSteps(add_ct()))
    room = inputs.worker._connection.room
    number = sent.handle.number
    assert held(sent.handle, Volume) is room.kept.value(number, Volume)
    inputs.forget()
    assert room.kept.value(number, Volume) is not None
    del sent
    with pytest.raises(LookupError):
        room.kept.value(number, Volume)


def test_nothing_is_left_in_the_folder_of_arrays_once_all_is_answered(app, inputs):
    run(inputs.volumeSteps(add_ct()))
    folder = Path(inputs.worker._connection.arrays.folder)
    assert list(folder.iterdir()) == []


def test_an_unforeseen_error_arrives_with_its_name_and_its_traceback_in_the_log(app, inputs, monkeypatch, caplog):
    from xrayreg.worker import requests
    from xrayreg.worker.service import Handler
    from XRayRegistrationLib.worker.client import WorkerError

    def exhausting(room: Any, content: Any, on_news: Any) -> Any:
        raise MemoryError

    def dividing(room: Any, content: Any, on_news: Any) -> Any:
        on_news(1 / 0)

    monkeypatch.setattr(requests, "HANDLERS", {"exhaust": Handler(exhausting), "divide": Handler(dividing)})
    with pytest.raises(WorkerError, match="memory is used up"):
        ask(inputs, "exhaust")
    with pytest.raises(WorkerError, match="division by zero") as raised:
        ask(inputs, "divide")
    assert raised.value.kind == "ZeroDivisionError"
    assert "in dividing" in caplog.text
