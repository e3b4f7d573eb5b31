"""`warm-up`: compile the render engine's code and cache it, to avoid the delay later."""

from __future__ import annotations

import argparse
from typing import Any

from ..settings import RegistrationSettings
from .options import add_command, add_settings


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "warm-up",
        run,
        "compile the render engine's code now (some thirty seconds, once on a machine), so that nobody waits later",
        ("--engine auto",),
    )
    add_settings(parser, RegistrationSettings, ("engine", "device"))


def run(arguments: argparse.Namespace) -> int:
    """Compile what is not compiled yet; fails where it cannot be cached for the next process."""
    from ..render import require_kernel_cache, warm_up
    from .progress import Display

    require_kernel_cache(arguments.engine, arguments.device)
    with Display() as display:
        display.stage("compiling the render engine")
        seconds = warm_up(arguments.engine, arguments.device, learned_maps=True)
    print(f"Compiled in {seconds:.0f} s." if seconds else "Nothing was left to compile.")
    return 0
