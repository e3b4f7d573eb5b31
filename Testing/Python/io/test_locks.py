"""One process at a time works on a folder; the locks of dead ones do not stop the next."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from killed_at_each_step import killed_at_each_step, needs_fork

from xrayreg.checks import InputError
from xrayreg.io import locks
from xrayreg.io.locks import Lock, held
from xrayreg.processes import Identity, birth_of


class Elsewhere:
    """A run in another process that takes the lock and holds it until it is killed; without the lock it ends at once.

    A copy of this process: a new one would load for seconds what it needs for a lock.
    """

    def __init__(self, lock: Lock) -> None:
        self._told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                with held(lock):
                    os.write(tell, b"h")
                    time.sleep(600)
            finally:
                os._exit(2)
        os.close(tell)
        self._ended = False

    def holds(self) -> bool:
        """Waits until it has the lock, or has ended without."""
        return os.read(self._told, 1) == b"h"

    def lives(self) -> bool:
        self._ended = self._ended or os.waitpid(self.pid, os.WNOHANG)[0] != 0
        return not self._ended

    def kill(self) -> None:
        if self.lives():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._ended = True
        os.close(self._told)


@pytest.fixture
def lock(tmp_path) -> Lock:
    return Lock(tmp_path / "lock", (tmp_path / "status.json",), "work", "nobody else at it", "wait")


def written(lock: Lock, **changes: object) -> Path:
    """A lock as this process would write it, with changes."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    mine = {"pid": os.getpid(), "host": platform.node(), "born": birth_of(os.getpid()), "started": started}
    lock.file.write_text(json.dumps(mine | changes), encoding="utf-8")
    return lock.file


def aged(path: Path, seconds: float) -> None:
    """Let a file have been written so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_the_lock_tells_process_host_and_start_and_goes_with_the_run(lock):
    with held(lock) as told:
        content = json.loads(lock.file.read_text(encoding="utf-8"))
        assert told == ""
        assert (content["pid"], content["host"]) == (os.getpid(), platform.node())
        assert abs(datetime.now(UTC) - datetime.fromisoformat(content["started"])) < timedelta(seconds=10)
    assert list(lock.file.parent.iterdir()) == []


def test_an_error_gives_the_lock_up(lock):
    with pytest.raises(ZeroDivisionError), held(lock):
        raise ZeroDivisionError
    assert not lock.file.exists()


@needs_fork
def test_a_living_run_of_another_process_is_named_and_left_alone(lock):
    child = Elsewhere(lock)
    try:
        assert child.holds()
        before = lock.file.read_bytes()
        with (
            pytest.raises(InputError, match=f"the run of process {child.pid} on {platform.node()}") as raised,
            held(lock),
        ):
            pytest.fail("two runs at once")
        assert (raised.value.what, raised.value.expected, raised.value.remedy) == ("work", "nobody else at it", "wait")
        assert lock.file.read_bytes() == before
    finally:
        child.kill()
    with held(lock) as told:
        assert told.startswith(f"The run of process {child.pid} on ")
        assert "taken over" in told


@needs_fork
def test_of_many_processes_that_begin_at_once_one_goes_on(lock):
    written(lock, pid=2**22 + 1)
    # Held to the end of the test, so that a slow start is not taken for a turn that came.
    children = [Elsewhere(lock) for _ in range(8)]
    try:
        holders = [child for child in children if child.holds()]
        assert len(holders) == 1 and holders[0].lives()
        assert json.loads(lock.file.read_text(encoding="utf-8"))["pid"] == holders[0].pid
    finally:
        for child in children:
            child.kill()


def test_a_number_that_was_given_again_is_another_process(lock):
    written(lock, born="long ago")
    with held(lock) as told:
        assert "taken over" in told


def test_this_process_itself_does_not_hold_a_lock_twice(lock):
    with held(lock), pytest.raises(InputError, match=f"process {os.getpid()}"), held(lock):
        pytest.fail("two runs at once")


def test_another_computers_run_lives_while_it_renews_something(lock):
    aged(written(lock, host="elsewhere"), 7200)
    (status,) = lock.renewed
    status.touch()
    with (
        pytest.raises(InputError, match=r"on elsewhere.*if that computer no longer works on it, remove .*lock"),
        held(lock),
    ):
        pytest.fail("two runs at once")
    aged(status, 7200)
    with held(lock) as told:
        assert "elsewhere" in told


def test_another_computers_run_that_only_began_lives(lock):
    written(lock, host="elsewhere")
    with pytest.raises(InputError, match="elsewhere"), held(lock):
        pytest.fail("two runs at once")


@pytest.mark.parametrize(
    "content", ["", "{", '{"pid": 1}', "[]", '{"pid": "x", "host": "", "born": "", "started": ""}']
)
def test_a_lock_that_says_nothing_is_waited_for_and_then_taken_over(lock, content, monkeypatch):
    lock.file.write_text(content, encoding="utf-8")
    monkeypatch.setattr(locks, "_LOOKS", 2)
    with pytest.raises(InputError, match="nobody else"), held(lock):
        pytest.fail("it may be written this very moment")
    aged(lock.file, 60)
    with held(lock) as told:
        assert told == "A run ended without giving up its lock, which was taken over."


@pytest.mark.parametrize("links", [True, False])
def test_a_lock_that_a_third_run_took_over_first_is_given_back(lock, monkeypatch, links):
    path = written(lock)
    before = path.read_bytes()
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
    assert not locks._removed(path, locks.Holder(Identity(1, "elsewhere", ""), ""))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert locks._removed(path, locks._read(path))
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_is_no_longer_ours_is_not_removed(lock):
    with held(lock):
        written(lock, pid=1)
    assert lock.file.exists()


def test_a_disk_without_room_for_the_lock_is_told_and_holds_nobody_up(lock, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(locks.json, "dump", full)
        with held(lock):
            pytest.fail("without a lock")
    assert not lock.file.exists()


def test_a_lock_is_waited_for_as_long_as_it_says(lock):
    with held(lock):
        began = time.monotonic()
        with pytest.raises(InputError, match="found the run of"), held(replace(lock, patience_s=0.3)):
            pytest.fail("two runs at once")
        assert time.monotonic() - began >= 0.3
    with held(replace(lock, patience_s=60)):
        assert lock.file.exists()


def test_a_run_of_an_earlier_boot_is_dead_and_one_of_another_container_is_not(lock):
    """Of a container that has this computer's name only the files tell, as of another computer."""
    written(lock, namespace="pid:[1]")
    with pytest.raises(InputError, match=r"remove .*lock"), held(lock):
        pytest.fail("two runs at once")
    aged(lock.file, 7200)
    with held(lock) as told:
        assert "taken over" in told
    earlier = psutil.boot_time() - 60
    os.utime(written(lock, born="00000000-0000-0000-0000-000000000000 5"), (earlier, earlier))
    with held(lock) as told:
        assert "taken over" in told


@needs_fork
def test_a_run_killed_at_any_step_holds_up_nobody_and_leaves_nothing(lock):
    def hold() -> None:
        with held(lock):
            pass

    for _ in killed_at_each_step(hold):
        with held(lock):
            assert [path.name for path in lock.file.parent.iterdir()] == ["lock"]
        assert list(lock.file.parent.iterdir()) == []


@needs_fork
def test_a_run_killed_while_it_takes_over_holds_up_nobody(lock):
    def take_over() -> None:
        with held(lock):
            pass

    written(lock, pid=2**22 + 1)
    for _ in killed_at_each_step(take_over):
        with held(lock):
            assert [path.name for path in lock.file.parent.iterdir()] == ["lock"]
        written(lock, pid=2**22 + 1)
