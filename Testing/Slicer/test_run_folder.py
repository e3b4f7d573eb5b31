"""A training's folder: whose process is ended, and what is removed. The file is loaded alone, without Slicer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xrayreg.processes import identity_of

FILE = Path(__file__).parents[2] / "XRayRegistration" / "XRayRegistrationLib" / "jobs" / "runFolder.py"
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def runFolder(monkeypatch):
    translation = types.ModuleType("slicer.i18n")
    translation.tr = str
    monkeypatch.setitem(sys.modules, "slicer", types.ModuleType("slicer"))
    monkeypatch.setitem(sys.modules, "slicer.i18n", translation)
    spec = importlib.util.spec_from_file_location("run_folder_alone", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_folder_alone", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(runFolder, tmp_path):
    """The run that a panel finds beside a network, with nobody's process."""
    found = runFolder.Run(tmp_path / "model.pt")
    found.folder.mkdir()
    return found


@pytest.fixture
def sleeper():
    """A living process, by its number; it does not belong to any training."""
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def now() -> str:
    return datetime.now(UTC).isoformat()


def asked_long_ago(run) -> None:
    stop = run.folder / "stop"
    stop.touch()
    os.utime(stop, (time.time() - 60,) * 2)


def status(run, **content: object) -> None:
    (run.folder / "status.json").write_text(json.dumps({"state": "training", "updated": now(), **content}))


ELSEWHERE = {"host": "another-computer", "born": "00000000-0000-0000-0000-000000000000 7", "namespace": "pid:[1]"}
STRANGERS = {
    "of another computer": ELSEWHERE,
    "of another computer whose clock is ahead": {**ELSEWHERE, "updated": "2099-01-01T00:00:00+00:00"},
    "of which only the number is told": {"host": None, "born": None, "namespace": None, "command": None},
    "of another container": {"namespace": "pid:[1]"},
    "that was born another day": {"born": "long ago"},
    "of unknown birth": {"born": ""},
    "of another program": {"command": ["-m", "xrayreg", "train"]},
    "of an unknown program": {"command": []},
}


@pytest.mark.parametrize("changes", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("file", ["status.json", "slicer.json"])
def test_a_process_is_not_ended(run, sleeper, changes, file):
    told = {**identity_of(sleeper.pid).as_dict(), **changes}
    told = {name: value for name, value in told.items() if value is not None}
    if file == "status.json":
        status(run, **told)
    else:
        (run.folder / file).write_text(json.dumps({"started": now(), **told}))
    asked_long_ago(run)
    run.moment()
    run.insist()
    run.end()
    time.sleep(0.2)
    assert sleeper.poll() is None


def test_the_training_itself_is_ended_by_a_slicer_that_did_not_start_it(run, sleeper):
    status(run, **identity_of(sleeper.pid).as_dict())
    asked_long_ago(run)
    assert run.moment().running
    run.insist()
    assert sleeper.wait(timeout=10) != 0
    assert run.moment().state == "stopped"


@pytest.mark.skipif(os.name == "nt", reason="there is no nice")
def test_what_was_noted_when_it_began_is_enough(runFolder, run):
    """Noted while another program still was to put the interpreter into its place."""
    command = ["sh", "-c", "sleep 0.2; exec nice -n 1 sleep 61", "nice", "sleep", "61"]
    process = subprocess.Popen(command)
    try:
        run.began(process.pid, ["nice", "61"], {"started": now()})
        until = time.monotonic() + 20
        # While a program takes another's place its command line is empty for a moment.
        while Path(f"/proc/{process.pid}/cmdline").read_bytes() != b"sleep\x0061\0" and time.monotonic() < until:
            time.sleep(0.05)
        asked_long_ago(run)
        found = runFolder.Run(run.model)
        assert found.moment().running
        found.insist()
        assert process.wait(timeout=10) != 0
    finally:
        process.kill()
        process.wait()


def test_a_training_on_another_computer_runs_as_long_as_it_is_heard_of(run):
    status(run, pid=1, **ELSEWHERE)
    assert run.moment().running
    os.utime(run.folder / "status.json", (time.time() - 3600,) * 2)
    # Its clock may be ahead; the file's age counts too.
    status_file = run.folder / "status.json"
    status_file.write_text(
        json.dumps({"state": "training", "pid": 1, "updated": "2099-01-01T00:00:00+00:00", **ELSEWHERE})
    )
    assert run.moment().running
    os.utime(status_file, (time.time() - 3600,) * 2)
    assert not run.moment().running


def test_a_dead_process_is_known_at_once(run, sleeper):
    status(run, **identity_of(sleeper.pid).as_dict())
    sleeper.kill()
    sleeper.wait()
    assert run.moment().state == "failed"


def test_before_the_packages_are_installed_nothing_is_ended(runFolder, run, sleeper, monkeypatch):
    monkeypatch.setattr(runFolder, "_processes", lambda: None)
    status(run, **identity_of(sleeper.pid).as_dict())
    asked_long_ago(run)
    assert run.moment().running
    run.insist()
    assert sleeper.poll() is None


def test_a_linked_folder_is_neither_written_to_nor_emptied(run, tmp_path):
    mine = tmp_path / "Documents"
    mine.mkdir()
    for name in ("thesis.txt", "CT.nii"):
        (mine / name).write_text("mine")
    run.inputs.symlink_to(mine)
    for manifest in (None, {"files": ["CT.nii", "thesis.txt"]}):
        if manifest is not None:
            (run.folder / "inputs.json").write_text(json.dumps(manifest))
        run.clean()
        assert sorted(path.name for path in mine.iterdir()) == ["CT.nii", "thesis.txt"]
    with pytest.raises(OSError, match="a link"):
        run.prepare(resume=False, names=["CT.nii"])
    assert (mine / "CT.nii").read_text() == "mine" and run.inputs.is_symlink()


def test_only_what_was_put_there_is_removed(run, tmp_path):
    (tmp_path / "outside.txt").write_text("mine")
    run.prepare(resume=False, names=["CT.nii", "labels.nii"])
    for name in ("CT.nii", "labels.nii", "mine.txt"):
        (run.inputs / name).write_text("x")
    (run.inputs / "folder").mkdir()
    run.clean()
    assert sorted(path.name for path in run.inputs.iterdir()) == ["folder", "mine.txt"]
    names = ["mine.txt/..", "..", "../stop", "../../outside.txt", "", "folder", str(tmp_path / "outside.txt"), 3, None]
    (run.folder / "inputs.json").write_text(json.dumps({"files": names}))
    (run.folder / "stop").touch()
    run.clean()
    assert sorted(path.name for path in run.inputs.iterdir()) == ["folder", "mine.txt"]
    assert (tmp_path / "outside.txt").exists() and (run.folder / "stop").exists()


def test_a_folder_that_only_held_the_copy_goes(run):
    run.prepare(resume=False, names=["CT.nii"])
    (run.inputs / "CT.nii").write_text("x")
    run.clean()
    assert list(run.folder.iterdir()) == []


def test_files_of_somebody_else_are_not_written_over(run):
    run.inputs.mkdir()
    (run.inputs / "CT.nii").write_text("mine")
    with pytest.raises(OSError, match="somebody else"):
        run.prepare(resume=False, names=["CT.nii"])
    assert (run.inputs / "CT.nii").read_text() == "mine"


def test_the_copy_of_an_earlier_run_makes_room_for_the_next(run):
    for _ in range(2):
        run.prepare(resume=False, names=["CT.nii"])
        (run.inputs / "CT.nii").write_text("x")
    run.clean()
    assert not run.inputs.exists()
