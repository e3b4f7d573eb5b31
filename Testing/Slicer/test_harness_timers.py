"""How long a test waits: as long as something that was put off can still happen in that time, and no longer."""

from __future__ import annotations

import time
from typing import Any

import pytest


@pytest.fixture
def qt(app: Any) -> Any:
    """The flat module of PythonQt, with no timer of a test before left."""
    import qt

    app.settle(1.0)
    return qt


def test_nothing_is_waited_for_where_nothing_can_happen(app, qt):
    slow = qt.QTimer()
    slow.start(60_000)
    began = time.monotonic()
    app.settle(20.0)
    slow.stop()
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("how", ["timer", "single shot"])
def test_what_is_due_within_the_time_is_waited_for_and_what_it_starts_as_well(app, qt, how):
    told = []
    timers = [qt.QTimer() for _ in range(4)]

    def next_one():
        told.append(len(told))
        start()

    def start():
        if len(told) == len(timers):
            return
        if how == "single shot":
            qt.QTimer.singleShot(0, next_one)
        else:
            timer = timers[len(told)]
            timer.setSingleShot(True)
            timer.setInterval(30)
            timer.timeout.connect(next_one)
            timer.start()

    start()
    app.settle(10.0)
    assert told == [0, 1, 2, 3]


def test_what_is_due_later_has_not_happened(app, qt):
    told, timer = [], qt.QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: told.append("late"))
    timer.start(300)
    app.settle(0.05)
    assert not told
    app.wait_until(lambda: bool(told), 10.0)


def test_what_repeats_ends_with_the_time(app, qt):
    told = []
    timer = qt.QTimer()
    timer.timeout.connect(lambda: told.append(time.monotonic()))
    timer.start(20)
    began = time.monotonic()
    app.settle(0.3)
    assert 0.2 < time.monotonic() - began < 5.0
    assert told
    timer.stop()


def test_events_without_a_timer_are_handled(app, qt):
    told = []

    class Listener(qt.QObject):
        def event(self, event):
            if event.type() == qt.QEvent.User:
                told.append(len(told))
                if len(told) < 3:
                    qt.QCoreApplication.postEvent(self, qt.QEvent(qt.QEvent.User))
            return True

    listener = Listener()
    qt.QCoreApplication.postEvent(listener, qt.QEvent(qt.QEvent.User))
    app.settle(5.0)
    assert told == [0, 1, 2]
