"""The parser with its commands; every error is reported in one line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .. import __version__
from ..printing import printable
from . import demo, evaluate, info, register, render, simulate, train, warm_up
from .options import PROGRAM
from .terminal import guarded_terminal

# Exit codes (design.md 5), besides 0 and the 3 of a result that is not trusted.
BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

_EXAMPLES = f"""examples:
  {PROGRAM} demo --out demo_output
  {PROGRAM} register case.json --out result
  {PROGRAM} info xray.dcm

Each command explains itself: {PROGRAM} register --help
"""


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Report the error and exit."""
        self.exit(BAD_INPUT, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, a function from the parsed arguments to the exit code."""
    parser = Parser(
        prog=PROGRAM,
        description="Registers X-ray and fluoroscopy images to a CT (2D/3D registration) and judges the pose it finds.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"xrayreg {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (register, train, evaluate, render, simulate, info, demo, warm_up):
        command.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (design.md 5); `argv` without the program's name."""
    with guarded_terminal():
        try:
            arguments = build_parser().parse_args(argv)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 0
        return _guarded(arguments.run, arguments)


def _guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        return run(arguments)
    except ValueError as error:
        # Imported here, so that Ctrl-C while numpy is loaded meets the handler below too.
        from ..checks import InputError

        if not isinstance(error, InputError):
            raise
        _tell(str(error))
    except KeyboardInterrupt:
        _tell("interrupted before there was a result; nothing was written")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe; without this Python would raise an error when it closes the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError:
        _tell("memory: expected enough for this volume, found too little; crop or resample the CT, or name structures")
    except OSError as error:
        _tell(_of_system(error))
    return BAD_INPUT


def _of_system(error: OSError) -> str:
    """The system's error message on a file, and the remedy."""
    out = {errno.ENOSPC: "free some space on that disk", errno.EDQUOT: "free some space on that disk"}
    remedy = out.get(error.errno or 0, "check it")
    cause = error.strerror or str(error) or type(error).__name__
    return f"{error.filename or 'a file'}: expected to read or write it, found {cause}; {remedy}"


def _tell(text: str) -> None:
    print(f"xrayreg: {printable(' '.join(text.split()))}", file=sys.stderr)
