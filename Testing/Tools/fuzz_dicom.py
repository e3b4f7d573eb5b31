"""A writer of DICOM files that follows no rule but the encoding's, so that headers can be wrong in every way.

A file is a list of elements; whatever a reader might refuse to write (a wrong VR, text for numbers, an element twice,
lengths that do not fit) is written as asked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.tag import Tag

EXPLICIT, IMPLICIT, DEFLATED, RUN_LENGTH = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
)
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
# These VRs have four bytes for their length, after two that are reserved.
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_UNDEFINED = 0xFFFFFFFF


@dataclass
class Element:
    """One data element: the bytes of its value, or for a sequence the elements of each item.

    length: what is written as its length where that is not the true one.
    fragments: the value is an encapsulated stream (one fragment).
    """

    tag: tuple[int, int]
    vr: str
    value: bytes | list[list[Element]]
    length: int | None = None
    fragments: bool = False


def element(keyword: str, value: Any) -> Element:
    """An element by its name in the DICOM dictionary: text, numbers, bytes, or for a sequence a list of items."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    vr = dictionary_VR(tag).split(" ")[0]
    if vr == "SQ" or isinstance(value, bytes):
        return Element((tag.group, tag.element), vr, value)
    return Element((tag.group, tag.element), vr, packed(vr, value))


def packed(vr: str, value: Any) -> bytes:
    """A value, or a list of them, as the bytes of its VR."""
    values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if vr in _BINARY:
        return struct.pack(f"<{len(values)}{_BINARY[vr]}", *values)
    text = "\\".join(str(item) for item in values).encode("latin-1")
    return text + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)


def written(elements: list[Element], syntax: str = EXPLICIT) -> bytes:
    """The bytes of a DICOM file with these elements in a transfer syntax."""
    storage = next((item.value for item in elements if item.tag == (8, 0x16)), b"")
    instance = next((item.value for item in elements if item.tag == (8, 0x18)), b"")
    meta = b"".join(
        _encoded(item, implicit=False)
        for item in (
            Element((2, 1), "OB", b"\0\1"),
            Element((2, 2), "UI", storage if isinstance(storage, bytes) else b""),
            Element((2, 3), "UI", instance if isinstance(instance, bytes) else b""),
            Element((2, 0x10), "UI", packed("UI", syntax)),
        )
    )
    start = b"\0" * 128 + b"DICM" + _encoded(Element((2, 0), "UL", struct.pack("<I", len(meta))), implicit=False)
    body = b"".join(_encoded(item, implicit=syntax == IMPLICIT) for item in elements)
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflate.compress(body) + deflate.flush()
    return start + meta + body


def run_length(planes: list[bytes]) -> bytes:
    """An RLE frame whose segments are these byte planes, in literal runs (PS3.5, annex G)."""
    segments = []
    for plane in planes:
        runs = [plane[n : n + 128] for n in range(0, len(plane), 128)]
        segment = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets, place = [], 64
    for segment in segments:
        offsets.append(place)
        place += len(segment)
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def everywhere(elements: list[Element]) -> list[tuple[list[Element], int]]:
    """Where each element lies, those of nested items among them: the list that holds it, and its place there."""
    places = [(elements, n) for n in range(len(elements))]
    for item in elements:
        if isinstance(item.value, list):
            for inner in item.value:
                places += everywhere(inner)
    return places


def _encoded(item: Element, implicit: bool) -> bytes:
    start = struct.pack("<HH", *item.tag)
    value = _content(item, implicit)
    length = len(value) if item.length is None else item.length
    if item.fragments:
        length = _UNDEFINED
    if implicit:
        return start + struct.pack("<I", length) + value
    vr = item.vr.encode("latin-1")
    if item.vr in _LONG:
        return start + vr + b"\0\0" + struct.pack("<I", length) + value
    return start + vr + struct.pack("<H", min(length, 0xFFFF)) + value[:0xFFFE]


def _content(item: Element, implicit: bool) -> bytes:
    if isinstance(item.value, bytes):
        if not item.fragments:
            return item.value
        pieces = struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI", 0xFFFE, 0xE000, len(item.value))
        return pieces[0] + pieces[1] + item.value + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    content = b""
    for inner in item.value:
        encoded = b"".join(_encoded(one, implicit) for one in inner)
        content += struct.pack("<HHI", 0xFFFE, 0xE000, len(encoded)) + encoded
    return content
