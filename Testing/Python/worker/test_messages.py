"""Messages arrive whole however the stream is cut; anything else is refused and never read as one."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrayreg.worker.messages import LONGEST, VERSION, BrokenStream, Unpacker, packed

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), PLAIN, max_size=5)


@given(st.lists(OBJECTS, min_size=1, max_size=5), st.data())
def test_messages_arrive_in_order_however_the_bytes_are_cut(messages, data):
    stream = b"".join(packed(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    unpacker, arrived = Unpacker(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += unpacker.feed(stream[start:end])
    assert arrived == messages


def test_numbers_that_are_no_number_arrive_as_what_they_are():
    (message,) = Unpacker().feed(packed({"nan": math.nan, "far": -math.inf}))
    assert math.isnan(message["nan"])
    assert message["far"] == -math.inf


def header(magic: bytes = b"XRWK", version: int = VERSION, length: int = 2) -> bytes:
    return struct.pack("<4sII", magic, version, length)


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"Traceback (most recent call last)", "no message"),
        (b"X\n", "no message"),
        (header(version=VERSION + 1) + b"{}", f"version {VERSION + 1} arrived, version {VERSION} was expected"),
        (header(length=LONGEST + 1), "at most"),
        (header(length=3) + b"{,}", "no JSON"),
        (header(length=2) + b"[]", "no JSON object"),
        (header(length=2) + b"\xff\xfe", "no JSON"),
    ],
    ids=["text", "short text", "version", "length", "JSON", "list", "bytes"],
)
def test_what_is_no_message_is_refused(stream, why):
    with pytest.raises(BrokenStream, match=why):
        Unpacker().feed(stream)


def test_a_message_that_is_cut_off_is_never_acted_on():
    whole = packed({"id": 1, "kind": "register", "content": {}})
    for end in range(len(whole)):
        assert Unpacker().feed(whole[:end]) == []


def test_a_message_that_is_too_long_is_not_sent():
    with pytest.raises(ValueError, match="put arrays into files"):
        packed({"text": "x" * LONGEST})


def test_the_longest_message_is_sent():
    text = "x" * (LONGEST - len(json.dumps({"text": ""}, separators=(",", ":"))))
    assert Unpacker().feed(packed({"text": text})) == [{"text": text}]
