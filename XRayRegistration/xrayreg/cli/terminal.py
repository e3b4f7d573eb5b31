"""Sanitising of terminal output: no text moves the cursor, changes colours or reorders letters.

File names, headers and keys are untrusted. The terminal would interpret control characters in them, and Unicode's
bidirectional controls change the direction of adjacent text.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..printing import UNSAFE, printable

# JSON's own line breaks are kept.
_IN_JSON = re.compile(f"(?!\n)[{UNSAFE}]")


def printable_json(text: str) -> str:
    """A JSON text with control characters inside its strings as JSON escapes them; it means the same."""
    return _IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


@contextmanager
def guarded_terminal() -> Iterator[None]:
    """Within this context output of Python and libraries (warnings, log records) is sanitised too.

    Characters that the terminal's encoding lacks are escaped instead of raising an error.
    """
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    errors = [stream.errors or "strict" for stream in streams]
    last, shown = logging.lastResort, warnings.showwarning
    formatter = None if last is None else last.formatter
    try:
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        warnings.showwarning = _show_warning
        if last is not None:
            last.setFormatter(_Printable())
        yield
    finally:
        warnings.showwarning = shown
        if last is not None:
            last.setFormatter(formatter)
        for stream, before in zip(streams, errors, strict=True):
            if not stream.closed:
                stream.reconfigure(errors=before)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"xrayreg: {printable(' '.join(record.getMessage().split()))}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    line = f"{Path(filename).name}:{lineno}: {category.__name__}: {' '.join(str(message).split())}"
    (file or sys.stderr).write(f"{printable(line)}\n")
