"""A process is known by host, table, birth and command; the dead are not taken for the living, nor one for another."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from xrayreg import processes
from xrayreg.processes import Identity, Life, birth_of, end, end_child, identity_of, life_of

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
ELSEWHERE = "another-computer"


@pytest.fixture
def child():
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def lives(process: subprocess.Popen) -> bool:
    """Whether a child goes on, a moment after a signal might have reached it."""
    time.sleep(0.1)
    return process.poll() is None


def test_a_living_process_has_one_birth_and_a_younger_one_another(child):
    assert birth_of(child.pid)
    assert birth_of(child.pid) == birth_of(child.pid)
    time.sleep(1.1)
    younger = subprocess.Popen(SLEEP)
    try:
        assert birth_of(younger.pid) != birth_of(child.pid)
    finally:
        younger.kill()
        younger.wait()


def test_a_killed_process_is_dead_before_its_parent_has_asked(child):
    identity = identity_of(child.pid)
    child.kill()
    until = time.monotonic() + 10
    while birth_of(child.pid) is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert birth_of(child.pid) is None and life_of(identity) is Life.DEAD
    child.wait()
    assert birth_of(child.pid) is None and life_of(identity) is Life.DEAD


def test_numbers_that_no_process_has():
    for number in (0, -1, 2**22 + 1):
        assert birth_of(number) is None
        assert identity_of(number) is None


def test_asking_does_not_disturb(child):
    for _ in range(3):
        birth_of(child.pid)
    assert child.poll() is None


def test_what_is_written_down_is_read_again():
    mine = identity_of()
    assert Identity.from_dict(mine.as_dict()) == mine
    assert life_of(mine) is Life.LIVES
    for broken in ({}, {"pid": "7"}, {"pid": True}, {"pid": -1}, {"pid": None}):
        assert Identity.from_dict(broken) is None
    assert Identity.from_dict({"pid": 7, "host": 3, "command": "rm"}) == Identity(7, "", "")


# What of a process that lives is written down wrongly, and what is known of it then.
CHANGES = {
    "another computer": (
        {"host": ELSEWHERE, "born": "00000000-0000-0000-0000-000000000000 5", "namespace": "pid:[1]"},
        Life.UNKNOWN,
    ),
    "another computer without a boot": ({"host": ELSEWHERE, "born": "5", "namespace": ""}, Life.UNKNOWN),
    "another container": ({"namespace": "pid:[1]"}, Life.UNKNOWN),
    "another boot": ({"born": "00000000-0000-0000-0000-000000000000 5"}, Life.UNKNOWN),
    "another birth": ({"born": "long ago"}, Life.DEAD),
    "no birth": ({"born": ""}, Life.UNKNOWN),
    "no number of any process": ({"pid": 2**22 + 1}, Life.DEAD),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems know neither boots nor containers")
@pytest.mark.parametrize(("changes", "known"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("kill", [False, True])
def test_a_strangers_process_gets_no_signal(child, changes, known, kill):
    written = replace(identity_of(child.pid), **changes)
    assert life_of(written) is known
    assert not end(written, kill)
    assert lives(child)


@pytest.mark.parametrize("command", [(), ("-c", "print()"), ("rm", *SLEEP), ("",)])
def test_another_program_of_the_same_number_and_birth_gets_no_signal(child, command):
    assert not end(replace(identity_of(child.pid), command=tuple(command)), kill=True)
    assert lives(child)


def test_this_process_does_not_end_itself():
    assert not end(identity_of(), kill=True)


@pytest.mark.parametrize("kill", [False, True])
def test_the_process_that_was_written_down_is_ended_with_all_that_it_started(kill):
    code = f"import subprocess, sys, time; print(subprocess.Popen({SLEEP}).pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    below = int(parent.stdout.readline())
    # Whatever starts the interpreter for us has other words before these.
    assert end(replace(identity_of(parent.pid), command=("-c", code)), kill)
    parent.wait(timeout=10)
    until = time.monotonic() + 10
    while birth_of(below) is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert birth_of(below) is None
    parent.stdout.close()


def test_a_child_is_ended_without_being_written_down(child):
    end_child(child.pid, kill=True)
    assert child.wait(timeout=10) != 0
    end_child(child.pid, kill=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process keeps the time of its start")
@pytest.mark.parametrize("hours", [-30, 30])
def test_setting_the_clock_makes_no_other_process(child, monkeypatch, hours):
    """psutil tells births by the clock: it and the boot are moved when the clock is set."""
    written = identity_of(child.pid)
    created, booted = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + hours * 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted() + hours * 3600)
    assert life_of(written) is Life.LIVES


def test_births_that_differ_by_rounding_are_one(monkeypatch):
    mine = identity_of()
    *boot, count = mine.born.split()
    near, far = (" ".join([*boot, str(round(float(count)) + step)]) for step in (1, 100_000))
    assert life_of(replace(mine, born=near)) is Life.LIVES
    assert life_of(replace(mine, born=far)) is Life.DEAD


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell their boots apart")
def test_a_host_that_was_renamed_is_the_same(monkeypatch):
    written = identity_of()
    monkeypatch.setattr(platform, "node", lambda: "renamed")
    assert life_of(written) is Life.LIVES


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell their boots apart")
def test_after_a_power_failure_a_process_of_the_boot_before_is_dead():
    before = replace(identity_of(), born="00000000-0000-0000-0000-000000000000 5")
    assert life_of(before, psutil.boot_time() - 60) is Life.DEAD
    # Something has renewed its files since: another computer of the same name.
    assert life_of(before, psutil.boot_time() + 60) is Life.UNKNOWN
    assert life_of(replace(before, host=ELSEWHERE), psutil.boot_time() - 60) is Life.UNKNOWN


@pytest.mark.parametrize("error", [psutil.AccessDenied(), PermissionError()])
def test_a_process_of_which_the_system_tells_nothing_lives_and_gets_no_signal(child, monkeypatch, error):
    written = identity_of(child.pid)

    def refuse(_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "create_time", refuse)
        assert birth_of(child.pid) == "" and life_of(written) is Life.UNKNOWN
        assert not end(written, kill=True)
    assert lives(child)


@pytest.mark.skipif(os.name == "nt", reason="Windows hides no processes")
def test_a_process_that_is_hidden_from_this_user_is_not_dead(monkeypatch):
    def hidden(pid: int, *_: object) -> None:
        raise psutil.NoSuchProcess(pid)

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "Process", hidden)
    assert birth_of(5) is None
    monkeypatch.setattr(processes.os, "kill", refused)
    assert birth_of(5) == ""
