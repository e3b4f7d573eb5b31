"""The compiled code of the CPU engine, made once for each computer in a process of its own while the window lives."""

import logging
import math
import time

import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import python

_COMPILE = "from xrayreg.render import warm_up; warm_up(learned_maps={learnedMaps})"
# Between two looks at the process [s]; it needs the processor more than this one does.
_PAUSE_S = 0.03
# Compiling takes ten to thirty seconds. With this time constant [s] the bar approaches its end, never reaching it.
_EXPECTED_S = 15.0


def compileSteps(learnedMaps=False):
    """Yield (fraction, message) until the engine's compiled code is loaded, compiled before where it never was.

    learnedMaps: also the code for a learned similarity with a 3D network.
    A process that fails is told to the log; the code is compiled here then, while the window stands still.
    """
    from xrayreg.render import kernels_are_cached, warm_up

    yield 0.0, _("Loading the compiled code")
    if not kernels_are_cached(learned_maps=learnedMaps):
        try:
            yield from _childSteps(learnedMaps)
        except (InputError, RuntimeError, OSError) as error:
            logging.warning("Compiling in a process of its own failed: %s", error)
            yield 0.5, _("Compiling for this computer; Slicer does not answer for about a minute")
    for _part in warm_up.pieces(learned_maps=learnedMaps):
        yield 1.0, _("Loading the compiled code")


def _childSteps(learnedMaps):
    """Yield (fraction, message) while a process compiles; RuntimeError when it fails. Closing this ends the process."""
    from xrayreg.render import require_kernel_cache

    require_kernel_cache()
    program = _COMPILE.format(learnedMaps=learnedMaps)
    process = slicer.util.launchConsoleProcess(
        [python.interpreter(), "-c", program], useStartupEnvironment=False, updateEnvironment=python.environment()
    )
    began = time.monotonic()
    try:
        while process.poll() is None:
            seconds = time.monotonic() - began
            message = _("Compiling for this computer, once, {seconds:.0f} s").format(seconds=seconds)
            yield 1 - math.exp(-seconds / _EXPECTED_S), message
            time.sleep(_PAUSE_S)
        said = process.stdout.read().strip()
        if process.returncode:
            raise RuntimeError((said.splitlines() or [f"exit code {process.returncode}"])[-1])
    finally:
        if process.poll() is None:
            process.kill()
        process.stdout.close()
        process.wait()
