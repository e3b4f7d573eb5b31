"""Which of Qt's timers run, so that a test waits as long as something can still happen, and no longer."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import QTimer

# All that were ever started; those that are gone leave by themselves.
_timers: weakref.WeakSet[Any] = weakref.WeakSet()
# When the calls are due that QTimer.singleShot was given [s of time.monotonic].
_shots: dict[int, float] = {}


def install() -> None:
    """Note from now on which timers are started."""
    native: Any = QTimer
    start = native.start

    def noted(self: Any, *arguments: Any) -> None:
        start(self, *arguments)
        _timers.add(self)

    native.start = noted


def shot(wait_ms: int, call: Callable[[], object]) -> Callable[[], None]:
    """What to give to QTimer.singleShot in the place of a call."""
    number = max(_shots, default=0) + 1
    _shots[number] = time.monotonic() + wait_ms / 1000

    def due() -> None:
        _shots.pop(number, None)
        call()

    return due


def seconds_left() -> float:
    """Seconds until the next of them is due, 0 when one is; infinite when none runs."""
    waits = [max(0.0, when - time.monotonic()) for when in _shots.values()]
    for timer in list(_timers):
        if shiboken6.isValid(timer) and timer.isActive():
            waits.append(timer.property("remainingTime") / 1000)
    return min(waits, default=math.inf)
