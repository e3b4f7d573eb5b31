"""JSON from strangers is read whole, or refused in one line that names the place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.io.json_text import MOST_BYTES, parse_json, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=30)
@given(VALUES)
def test_what_json_can_say_is_read_as_python_reads_it(value):
    text = json.dumps(value)
    assert parse_json(text, "it") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n "a": 2}', 'each key once, found "a" twice'),
        ('{"a": {"b": 1, "b": 1}}', '"b" twice'),
        ('{"a": {"b": NaN}}', "^a.b: expected finite numbers, found NaN"),
        ('{"a": [{"b": 1}, {"b": -Infinity}]}', r"^a\[1\].b: expected finite numbers"),
        ('{"a": 1e999}', "^a: expected finite numbers, found one beyond the largest"),
        ('{"a": ' + "7" * 400 + "}", "^a: expected finite numbers"),
        ('{"a": -' + "7" * 5000 + "}", "^a: expected finite numbers"),
        ("[" * 50 + "]" * 50, "at most 32 deep"),
        ("[" * 100_000 + "]" * 100_000, "at most 32 deep"),
        ('{"a":' * 100_000, "at most 32 deep"),
        ('{"a": 1\n "b": 2}', "in line 2, column 2"),
        ("", "expected JSON"),
    ],
)
def test_what_it_should_not_say_is_refused_with_its_place(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_json(text, "it")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_numbers_that_64_bits_hold_stay_exact_and_longer_ones_become_fractions():
    assert parse_json("[999999999999999999, 12345678901234567890123]", "it") == [
        999999999999999999,
        1.2345678901234567e22,
    ]


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.json")
    return folder / "pipe.json"


def long(folder: Path) -> Path:
    with (folder / "long.json").open("wb") as file:
        # Sparse: it takes no room on the disk.
        file.truncate(MOST_BYTES + 1)
    return folder / "long.json"


def loop(folder: Path) -> Path:
    (folder / "loop.json").symlink_to(folder / "loop.json")
    return folder / "loop.json"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder, "expected a file, found the folder"),
        (fifo, "expected a file, found the pipe"),
        (lambda folder: Path("/dev/zero"), "expected a file, found the device /dev/zero"),
        (loop, "expected an existing file"),
        (long, "expected at most 16,777,216 bytes"),
        (lambda folder: folder / ("n" * 5000), r"expected an existing file, .*\(5\d\d\d characters\)"),
        (lambda folder: folder / "none.json", "expected an existing file"),
    ],
    ids=["folder", "pipe", "device", "loop", "long", "long name", "missing"],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_of_usual_length_is_refused_without_being_read(tmp_path, make, words):
    with pytest.raises(InputError, match=words):
        read_json(make(tmp_path), "case")
