"""The compiled code of the CPU engine, made by the worker once for each computer."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ..worker.client import Worker

# Compiling takes ten to thirty seconds. With this time constant [s] the bar approaches its end, never reaching it.
_EXPECTED_S = 15.0


def compileSteps(worker: Worker, similarity: str | None = None) -> Generator[tuple[float, str], None, None]:
    """Yield (fraction, message) until the worker has its compiled code, compiled before where it never was.

    worker: worker.client.Worker; raises as its `askSteps` does. similarity: the file of a learned one that is to be
    used, some of which need more.
    """
    yield 0.0, _("Starting the computing process")
    began, cached = time.monotonic(), True
    steps = worker.askSteps("compile", similarity=similarity)
    while True:
        try:
            news = next(steps)
        except StopIteration:
            break
        if news is not None:
            began, cached = time.monotonic(), news["cached"]
        seconds = time.monotonic() - began
        if cached:
            yield 0.0, _("Loading the compiled code")
        else:
            message = _("Compiling for this computer, once, {seconds:.0f} s").format(seconds=seconds)
            yield 1 - math.exp(-seconds / _EXPECTED_S), message
    yield 1.0, _("Loading the compiled code")
