"""Ending of drawing when its nodes are removed, and error messages of drawing."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from xrayreg.checks import InputError

from .. import dependencies
from ..worker.client import WorkerEnded

if TYPE_CHECKING:
    from ..mrml.rig import Rig


def whileThere(rig: Rig, steps: Generator[Any, None, Any]) -> Generator[str | None, None, None]:
    """The steps of drawing in a rig; raises NodesRemoved between two of them once one of its nodes is gone."""
    try:
        while True:
            rig.requireAll()
            try:
                step = next(steps)
            except StopIteration:
                return
            yield step
    finally:
        steps.close()


def sentence(error: Exception) -> str:
    """An error as one line of text; unexpected errors are logged with their traceback."""
    if isinstance(error, InputError | dependencies.MissingPackages | WorkerEnded):
        return str(error)
    logging.error("The overlay of the X-rays cannot be drawn", exc_info=error)
    return _("The overlay cannot be drawn ({kind}: {error}).").format(
        kind=getattr(error, "kind", type(error).__name__), error=error
    )


def requirePackages() -> None:
    """Raise MissingPackages where something that drawing needs is not installed; nobody is asked."""
    missing = dependencies.missing()
    if missing:
        raise dependencies.MissingPackages(
            _("The overlay needs {packages}. Register once, which installs what is missing.").format(
                packages=", ".join(missing)
            )
        )
