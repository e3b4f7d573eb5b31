"""Escaping of text from files and headers for display: light to import, since every command uses it."""

from __future__ import annotations

import re

# C0, DEL and C1 controls; direction marks and overrides; line separators; lone surrogates, which represent bytes of
# file names that are not UTF-8.
UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[{UNSAFE}]")


def printable(text: object) -> str:
    """`text` with its control characters escaped, as in \\x1b, on one line."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))
