"""Processes are known by number and birth, and the dead are not taken for the living."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from xrayreg import processes
from xrayreg.processes import birth_of

WAYS = {"as this system is asked": birth_of}
if os.name != "nt":
    WAYS["by ps"] = processes._birth_by_ps


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("birth", WAYS.values(), ids=WAYS)
def test_a_living_process_has_one_birth_and_a_younger_one_another(birth, child):
    if birth is not birth_of and not subprocess.run(["sh", "-c", "command -v ps"], capture_output=True).stdout:
        pytest.skip("this system has no ps")
    assert birth(child.pid)
    assert birth(child.pid) == birth(child.pid)
    time.sleep(1.1)
    younger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert birth(younger.pid) != birth(child.pid)
    finally:
        younger.kill()
        younger.wait()


@pytest.mark.parametrize("birth", WAYS.values(), ids=WAYS)
def test_a_killed_process_is_dead_before_its_parent_has_asked(birth, child):
    if birth is not birth_of and not subprocess.run(["sh", "-c", "command -v ps"], capture_output=True).stdout:
        pytest.skip("this system has no ps")
    child.kill()
    until = time.monotonic() + 10
    while birth(child.pid) is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert birth(child.pid) is None
    child.wait()
    assert birth(child.pid) is None


def test_numbers_that_no_process_has():
    assert birth_of(0) is None
    assert birth_of(-1) is None


def test_asking_does_not_disturb(child):
    for _ in range(3):
        birth_of(child.pid)
    assert child.poll() is None
