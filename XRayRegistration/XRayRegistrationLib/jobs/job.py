"""A long computation that keeps the application responsive: one step whenever Slicer is idle."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ..timing import Timer


class StepJob:
    """Advances an iterator from a timer in the main thread.

    onStep(step) follows every step, onDone() the last one, onFailed(error) an exception from the iterator or onStep.
    After cancel() none of them is called any more. A job is for one computation: it is not started again.
    """

    def __init__(
        self,
        steps: Generator[Any, None, Any],
        onStep: Callable[[Any], object],
        onDone: Callable[[], object],
        onFailed: Callable[[Exception], object],
    ) -> None:
        self._steps = steps
        self._onStep = onStep
        self._onDone = onDone
        self._onFailed = onFailed
        self._running = False
        self._advancing = False
        self._timer = Timer(self._advance)

    @property
    def running(self) -> bool:
        return self._running

    def start(self, atOnce: bool = False) -> None:
        """Begin; the first step is done when Slicer next has time, or before this returns."""
        self._running = True
        if atOnce:
            self._advance()
        else:
            self._timer.start()

    def cancel(self) -> None:
        """Stop at once; the iterator is closed, so that it can put things in order."""
        if self._running:
            self._stop()

    def _advance(self) -> None:
        if not self._running:
            return
        self._advancing = True
        try:
            step = next(self._steps)
            # A step may show a dialog, and meanwhile the user may have cancelled or closed the scene.
            if self._running:
                self._onStep(step)
        except StopIteration:
            self._end(self._onDone)
        except Exception as error:
            self._end(self._onFailed, error)
        finally:
            self._advancing = False
        if self._running:
            self._timer.start()
        else:
            self._steps.close()

    def _end(self, callback: Callable[..., Any], *arguments: Any) -> None:
        if self._running:
            self._stop()
            callback(*arguments)

    def _stop(self) -> None:
        self._running = False
        self._timer.close()
        # A generator cannot be closed from inside itself; _advance does it on the way out.
        if not self._advancing:
            self._steps.close()
