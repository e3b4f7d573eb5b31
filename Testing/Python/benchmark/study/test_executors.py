"""Processes that share work: answers arrive, a death is reported, Ctrl-C and closing end them all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from xrayreg.benchmark.study.executors import InProcess, Pause, ProcessDied, ProcessPool, Work
from xrayreg.checks import InputError


def opening(pause: Pause) -> Work:
    return _work


def _work(task: Any) -> Iterator[Any]:
    kind, value = task
    if kind == "die":
        yield ("before", value)
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "leave":
        os._exit(7)
    if kind == "refuse":
        raise InputError("thing", expected="this", found="that", remedy="change it")
    if kind == "full":
        raise OSError(28, "No space left on device", "somewhere")
    if kind == "sleep":
        time.sleep(value)
    yield (value, os.getpid(), os.environ.get("NUMBA_NUM_THREADS"))
    yield ("again", value)


@pytest.fixture
def processes() -> Iterator[ProcessPool]:
    made = ProcessPool(2, opening, lambda: None)
    yield made
    made.close()


def answers(workers: InProcess | ProcessPool, tasks: list[Any]) -> list[Any]:
    return list(workers.answers(tasks))


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_alone_the_tasks_are_done_here_in_order():
    here = InProcess(opening, lambda: None)
    found = answers(here, [("add", 1), ("add", 2)])
    assert [answer[0] for answer in found] == [1, "again", 2, "again"]
    assert {answer[1] for answer in found if answer[0] != "again"} == {os.getpid()}
    here.close()


def test_several_processes_with_one_thread_each_do_all_tasks_once(processes):
    found = answers(processes, [("sleep", 0.05 + n / 1000) for n in range(8)])
    done = [answer for answer in found if answer[0] != "again"]
    assert sorted(answer[0] for answer in done) == [0.05 + n / 1000 for n in range(8)]
    assert os.getpid() not in {answer[1] for answer in done}
    assert {answer[2] for answer in done} <= {"1", os.environ.get("NUMBA_NUM_THREADS")}
    assert len([answer for answer in found if answer[0] == "again"]) == 8
    # They are still there for more.
    assert len(answers(processes, [("add", 3)])) == 2


def test_a_death_is_told_with_its_task_and_another_process_goes_on(processes):
    found = answers(processes, [("die", 1), ("add", 2), ("leave", 3), ("add", 4)])
    died = {answer.task: answer for answer in found if isinstance(answer, ProcessDied)}
    assert set(died) == {("die", 1), ("leave", 3)}
    assert died["die", 1].answers == 1 and "SIGKILL" in died["die", 1].how and "memory" in died["die", 1].how
    assert died["leave", 3].answers == 0 and "code 7" in died["leave", 3].how
    assert {answer[0] for answer in found if not isinstance(answer, ProcessDied)} == {2, 4, "again", "before"}


def test_an_error_for_the_user_comes_through_with_its_words(processes):
    with pytest.raises(InputError, match="thing: expected this, found that; change it"):
        answers(processes, [("refuse", 0)])


def test_a_full_disk_comes_through_as_one(processes):
    with pytest.raises(OSError, match="No space") as told:
        answers(processes, [("full", 0)])
    assert told.value.errno == 28


def stopping() -> None:
    raise KeyboardInterrupt


def test_what_a_pause_raises_ends_the_wait_and_closing_the_processes_with_it():
    processes = ProcessPool(2, opening, stopping)
    with pytest.raises(KeyboardInterrupt):
        answers(processes, [("sleep", 60), ("sleep", 60)])
    numbers = [member.process.pid for member in processes._members]
    assert all(is_alive(number) for number in numbers)
    began = time.perf_counter()
    processes.close()
    assert time.perf_counter() - began < 10
    assert not any(is_alive(number) for number in numbers)


def test_ctrl_c_does_not_end_a_process_that_works(processes):
    # A first task each shows that both have started, from when on they heed no Ctrl-C.
    answers(processes, [("sleep", 0.5), ("sleep", 0.5)])
    for member in processes._members:
        os.kill(member.process.pid, signal.SIGINT)
    found = answers(processes, [("add", 1), ("add", 2)])
    assert not any(isinstance(answer, ProcessDied) for answer in found) and len(found) == 4


def test_what_opens_a_process_may_carry_settings():
    here = InProcess(partial(_opened_with, "x"), lambda: None)
    assert answers(here, ["task"]) == [("x", "task")]


def _opened_with(setting: str, pause: Pause) -> Work:
    def work(task: Any) -> Iterator[Any]:
        yield (setting, task)

    return work
