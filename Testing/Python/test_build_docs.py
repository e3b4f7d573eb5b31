"""Docstrings become Markdown for the API reference; building it needs pdoc and is left to `make docs`."""

from __future__ import annotations

import build_docs

DOCSTRING = """The start, once for all.

names: what they are, over
    two lines, where 0 < x.
low, high: ends [mm].
More follows at once.

In prose a line may wrap before the last
word: nothing is listed. `a < b` stays.
"""
MARKDOWN = """The start, once for all.

- **names**: what they are, over
    two lines, where 0 &lt; x.
- **low, high**: ends [mm].

More follows at once.

In prose a line may wrap before the last
word: nothing is listed. `a < b` stays."""


def test_parameters_become_a_list_and_prose_stays():
    assert build_docs.as_markdown(DOCSTRING) == MARKDOWN


def test_the_first_line_is_no_parameter():
    assert build_docs.as_markdown("xrayreg: a program.") == "xrayreg: a program."
