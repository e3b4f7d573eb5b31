"""The job that advances a computation from a timer, with made-up computations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


class Listener:
    """Keeps what a job says."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def step(self, step: object) -> None:
        self.heard.append(step)

    def done(self) -> None:
        self.heard.append("done")

    def failed(self, error: Exception) -> None:
        self.heard.append(error)


class Computation:
    """Yields 0, 1, 2 ...; knows whether it was closed."""

    def __init__(self, length: int, before_each: Callable[[int], object] = lambda n: None) -> None:
        self.length, self.before_each, self.closed = length, before_each, False

    def __call__(self) -> Iterator[int]:
        try:
            for n in range(self.length):
                self.before_each(n)
                yield n
        finally:
            self.closed = True


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def started(app: Any, listener: Listener) -> Callable[..., Any]:
    """Starts a job; its steps go to the listener unless `step` takes them."""
    from XRayRegistrationLib.jobs.job import StepJob

    def start(steps: Iterator[Any], step: Callable[[Any], None] = listener.step) -> Any:
        job = StepJob(steps, step, listener.done, listener.failed)
        job.start()
        return job

    return start


def test_every_step_is_told_and_then_the_end(app, listener, started):
    job = started(Computation(3)())
    assert job.running
    assert listener.heard == []
    app.wait_until(lambda: not job.running)
    assert listener.heard == [0, 1, 2, "done"]


def test_the_application_lives_between_two_steps(app, listener, started):
    import qt

    ticks = []
    timer = qt.QTimer()
    timer.timeout.connect(lambda: ticks.append(len(listener.heard)))
    timer.start(0)
    job = started(Computation(20)())
    app.wait_until(lambda: not job.running)
    timer.stop()
    # Between the first and the last step, others' timers got their turn.
    assert len({tick for tick in ticks if 0 < tick < 20}) > 5


def test_a_cancelled_job_says_nothing_more_and_closes_its_computation(app, listener, started):
    computation = Computation(1000)
    job = started(computation())
    app.wait_until(lambda: len(listener.heard) == 4)
    job.cancel()
    assert computation.closed
    assert not job.running
    for _ in range(20):
        app.processEvents()
    assert listener.heard == [0, 1, 2, 3]


def test_cancelling_from_inside_a_step_is_safe(app, listener, started):
    computation = Computation(1000)
    jobs = []

    def step(n: int) -> None:
        listener.step(n)
        if n == 2:
            jobs[0].cancel()

    jobs.append(started(computation(), step))
    app.wait_until(lambda: computation.closed)
    assert listener.heard == [0, 1, 2]


def test_cancelling_while_the_computation_shows_a_dialog_is_safe(app, listener, started):
    # A dialog lets the application live inside a step; a generator cannot be closed while it runs.
    jobs = []
    computation = Computation(1000, lambda n: jobs[0].cancel() if n == 2 else None)
    jobs.append(started(computation()))
    app.wait_until(lambda: computation.closed)
    assert listener.heard == [0, 1]


def test_a_failing_computation_is_told_once(app, listener, started):
    error = ValueError("bad case")

    def fail(n: int) -> None:
        if n == 1:
            raise error

    job = started(Computation(5, fail)())
    app.wait_until(lambda: not job.running)
    assert listener.heard == [0, error]


def test_a_failing_listener_ends_the_job(app, listener, started):
    error = ValueError("no such widget")
    computation = Computation(5)

    def step(n: int) -> None:
        raise error

    job = started(computation(), step)
    app.wait_until(lambda: not job.running)
    assert listener.heard == [error]
    assert computation.closed


def test_cancelling_twice_or_after_the_end_does_nothing(app, listener, started):
    job = started(Computation(1)())
    app.wait_until(lambda: not job.running)
    job.cancel()
    job.cancel()
    assert listener.heard == [0, "done"]
