"""Strict reading of JSON written by hand or by other programs; errors name the place in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..checks import InputError, require_regular

# More than any case needs: ten thousand views with their matrices take about 10 MB.
MOST_BYTES = 16 * 2**20
# Deepest nesting accepted; cases and model cards nest five deep.
_DEEPEST = 32
# Integers with more digits than 64 bits hold are read as floats: Python refuses to convert thousands of digits.
_EXACT_DIGITS = 18


def read_json(path: Path, what: str, most_bytes: int = MOST_BYTES) -> Any:
    """The content of a JSON file, as `parse_json` gives it.

    Also raises InputError for a path that is not a regular file, a file above `most_bytes`, and text that is not UTF-8.
    """
    require_regular(path, what)
    if (size := path.stat().st_size) > most_bytes:
        raise _bad(f"{what} {path}", f"at most {most_bytes:,} bytes", f"{size:,}", "name the right file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise _bad(f"{what} {path}", "a JSON text file", str(error), "check it") from error
    return parse_json(text, f"{what} {path}")


def parse_json(text: str, what: str) -> Any:
    """The content of a JSON text: null, booleans, numbers, strings, lists and dictionaries.

    Raises InputError, in which `what` names the text, where it does not parse (with the line), for a duplicate key in
    one object (readers differ in which they use), for numbers that are not finite or exceed a double, and for nesting
    deeper than 32.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once, parse_int=_number)
    except json.JSONDecodeError as error:
        found = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise _bad(what, "JSON", found, "correct that line") from error
    except _Twice as error:
        raise _bad(what, "each key once", f'"{error}" twice in one object', "remove one of them") from error
    except RecursionError as error:
        raise _too_deep(what) from error
    _require_finite(content, what)
    return content


class _Twice(Exception):
    """A duplicate key in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Twice(key[:80])
            seen.add(key)
    return content


def _number(text: str) -> int | float:
    return int(text) if len(text) <= _EXACT_DIGITS else float(text)


def _require_finite(content: Any, what: str) -> None:
    """Refuse non-finite numbers, naming the first one's place, and deep nesting; iterative, to avoid deep recursion."""
    waiting: list[tuple[Any, str, int]] = [(content, "", 0)]
    while waiting:
        value, place, depth = waiting.pop()
        if depth > _DEEPEST:
            raise _too_deep(what)
        if isinstance(value, float) and not math.isfinite(value):
            found = "NaN" if math.isnan(value) else "one beyond the largest there is"
            raise _bad(place or what, "finite numbers", found, "check how it was computed")
        if isinstance(value, dict):
            before = f"{place}." if place else ""
            waiting += [(entry, f"{before}{key[:80]}", depth + 1) for key, entry in reversed(value.items())]
        elif isinstance(value, list):
            # Within a matrix the name of the whole matrix is enough.
            numbered = bool(value) and isinstance(value[0], dict)
            entries = [(entry, f"{place}[{n}]" if numbered else place, depth + 1) for n, entry in enumerate(value)]
            waiting += reversed(entries)


def _too_deep(what: str) -> InputError:
    return _bad(what, f"lists and objects at most {_DEEPEST} deep", "more within each other", "name the right file")


def _bad(what: str, expected: str, found: str, remedy: str) -> InputError:
    return InputError(what, expected=expected, found=found, remedy=remedy)
