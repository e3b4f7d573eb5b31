"""Timers that can be ended for good."""

from __future__ import annotations

from collections.abc import Callable

import qt


class Timer:
    """Calls a function from Qt's event loop, `waitMs` after it was last started: once, or again and again.

    PythonQt keeps whatever is connected to a timer for as long as the timer lives. Where that is a method of the
    timer's owner, each keeps the other and neither is ever freed; `close` ends that. Once closed, a timer stays silent
    whoever starts it: an application that quits handles events after its modules were unloaded.
    """

    def __init__(self, call: Callable[..., object], waitMs: int = 0, once: bool = True) -> None:
        timer = qt.QTimer()
        timer.setSingleShot(once)
        timer.setInterval(waitMs)
        timer.timeout.connect(call)
        self._timer: qt.QTimer | None = timer

    def start(self) -> None:
        if self._timer is not None:
            self._timer.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def isActive(self) -> bool:
        return self._timer is not None and self._timer.isActive()

    def setInterval(self, waitMs: int) -> None:
        if self._timer is not None:
            self._timer.setInterval(waitMs)

    def close(self) -> None:
        """Stop for good, and let go of the function."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None
