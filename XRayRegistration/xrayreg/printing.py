"""Text from files and headers, made safe to show: light to import, as every command shows some."""

from __future__ import annotations

import re

# C0, DEL and C1 controls; marks and overrides of direction; separators of lines; halves of characters, which stand for
# bytes of file names that are no UTF-8.
UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[{UNSAFE}]")


def printable(text: object) -> str:
    """`text` with its control characters written out, as in \\x1b, on one line."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))
