"""One run at a time trains a network; what dead runs leave does not stop the next one, and is swept up."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xrayreg.checks import InputError
from xrayreg.io.results import replace_file
from xrayreg.training import lock
from xrayreg.training.lock import lock_file, only_run
from xrayreg.training.processes import birth_of

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from pathlib import Path
from xrayreg.training.lock import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
DIE_WRITING = """
import os, signal, sys
from pathlib import Path
from xrayreg.io.results import replace_file
from xrayreg.training.lock import only_run

def half(temporary):
    temporary.write_bytes(b"half of a network")
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

with only_run(Path(sys.argv[1])):
    replace_file(Path(sys.argv[2]), half)
"""


def python(script: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "XRayRegistration")},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "model.pt"


def written(out: Path, **changes: object) -> Path:
    """A lock as this process would write it, with changes."""
    path = lock_file(out)
    path.parent.mkdir(exist_ok=True)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    mine = {"pid": os.getpid(), "host": platform.node(), "born": birth_of(os.getpid()), "started": started}
    path.write_text(json.dumps(mine | changes), encoding="utf-8")
    return path


def test_the_lock_tells_process_host_and_start_and_goes_with_the_run(out):
    with only_run(out) as told:
        content = json.loads(lock_file(out).read_text(encoding="utf-8"))
        assert told == ""
        assert (content["pid"], content["host"]) == (os.getpid(), platform.node())
        assert abs(datetime.now(UTC) - datetime.fromisoformat(content["started"])) < timedelta(seconds=10)
    assert list(out.parent.rglob("*lock*")) == []


def test_an_error_gives_the_lock_up(out):
    with pytest.raises(ZeroDivisionError), only_run(out):
        raise ZeroDivisionError
    assert not lock_file(out).exists()


def test_a_living_run_of_another_process_is_named_and_left_alone(out):
    child = python(HOLD, out, 60)
    try:
        assert child.stdout.readline() == "held\n"
        before = lock_file(out).read_bytes()
        with (
            pytest.raises(InputError, match=f"the run of process {child.pid} on {platform.node()}") as raised,
            only_run(out),
        ):
            pytest.fail("two runs at once")
        assert "choose another --out, end that run by creating the file" in str(raised.value)
        assert lock_file(out).read_bytes() == before
        # Another network in the same folder is nobody's business.
        with only_run(out.with_name("other.pt")) as told:
            assert told == ""
    finally:
        child.kill()
        child.wait()
    with only_run(out) as told:
        assert told.startswith(f"The run of process {child.pid} on ")
        assert "taken over" in told


def test_of_many_processes_that_begin_at_once_one_goes_on(out):
    written(out, pid=2**22 + 1)
    children = [python(HOLD, out, 20) for _ in range(3)]
    until = time.monotonic() + 60
    while sum(child.poll() is None for child in children) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    living = [child for child in children if child.poll() is None]
    try:
        assert len(living) == 1
        assert json.loads(lock_file(out).read_text(encoding="utf-8"))["pid"] == living[0].pid
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_a_number_that_was_given_again_is_another_process(out):
    written(out, born="long ago")
    with only_run(out) as told:
        assert "taken over" in told


def test_this_process_itself_does_not_train_a_network_twice(out):
    with only_run(out), pytest.raises(InputError, match=f"process {os.getpid()}"), only_run(out):
        pytest.fail("two runs at once")


def test_another_computers_run_lives_while_it_tells_something(out):
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="seconds")
    path = written(out, host="elsewhere", started=long_ago)
    status = path.parent / "status.json"
    status.write_text(json.dumps({"updated": datetime.now(UTC).isoformat()}), encoding="utf-8")
    with (
        pytest.raises(InputError, match=r"on elsewhere.*if that computer no longer trains it, remove .*lock"),
        only_run(out),
    ):
        pytest.fail("two runs at once")
    status.write_text(json.dumps({"updated": long_ago}), encoding="utf-8")
    with only_run(out) as told:
        assert "elsewhere" in told


def test_another_computers_run_that_only_began_lives(out):
    written(out, host="elsewhere")
    with pytest.raises(InputError, match="elsewhere"), only_run(out):
        pytest.fail("two runs at once")


@pytest.mark.parametrize(
    "content", ["", "{", '{"pid": 1}', "[]", '{"pid": "x", "host": "", "born": "", "started": ""}']
)
def test_a_lock_that_says_nothing_is_waited_for_and_then_taken_over(out, content, monkeypatch):
    path = written(out)
    path.write_text(content, encoding="utf-8")
    monkeypatch.setattr(lock, "_LOOKS", 2)
    with pytest.raises(InputError, match="no other run"), only_run(out):
        pytest.fail("it may be written this very moment")
    os.utime(path, (time.time() - 60,) * 2)
    with only_run(out) as told:
        assert told == "A run ended without giving up its lock, which was taken over."


@pytest.mark.parametrize("links", [True, False])
def test_a_lock_that_a_third_run_took_over_first_is_given_back(out, monkeypatch, links):
    path = written(out)
    before = path.read_bytes()
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
    assert not lock._removed(path, lock.Holder(1, "elsewhere", "", ""))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert lock._removed(path, lock._read(path))
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_is_no_longer_ours_is_not_removed(out):
    with only_run(out):
        written(out, pid=1)
    assert lock_file(out).exists()


@pytest.mark.parametrize("name", ["model.pt", "model_training/last.pt", "model_training/curve.png"])
def test_what_a_run_that_was_killed_has_half_written_is_swept_up_by_the_next(out, name):
    child = python(DIE_WRITING, out, out.parent / name)
    child.communicate(timeout=60)
    assert child.returncode != 0
    half = [path for path in out.parent.rglob(".*") if path.is_file()]
    assert len(half) == 1 and half[0].suffix == Path(name).suffix
    with only_run(out) as told:
        assert f"process {child.pid}" in told
        assert not half[0].exists()


OTHERS = (
    ".model-abc.pt",
    ".model-abcdefgh.txt",
    ".model-abcdefgh-12345678.pt",
    ".model2-abcdefgh.pt",
    ".model-ABCDEFGH.pt",
    "model-abcdefgh.pt",
    "model.pt",
    ".other-abcdefgh.pt",
    "other_training/.last-abcdefgh.pt",
    "model_training/.other-abcdefgh.png",
    "model_training/last.pt",
    "model_training/log.txt",
)


def test_nothing_of_others_is_swept_up(out):
    for name in OTHERS:
        path = out.parent / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (out.parent / ".model-folder_1.pt").mkdir()
    (out.parent / ".model-abcdefgh.pt").touch()
    with only_run(out):
        pass
    left = {path.relative_to(out.parent).as_posix() for path in out.parent.rglob("*") if path.is_file()}
    assert left == set(OTHERS)
    assert (out.parent / ".model-folder_1.pt").is_dir()


def test_half_written_files_have_the_names_that_are_swept_up(out, monkeypatch):
    seen = []
    for _ in range(20):
        replace_file(out, lambda temporary: (seen.append(temporary.name), temporary.touch()))
    for name in seen:
        (out.parent / name).touch()
    with only_run(out):
        pass
    assert [path.name for path in out.parent.iterdir() if path.is_file()] == ["model.pt"]
