"""Damage to DICOM headers: each function changes a list of elements in place and says what it did."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np

from fuzz_dicom import Element, element, everywhere, packed

_TEXTS = (
    b"",
    b" ",
    b"abc ",
    b"nan ",
    b"inf ",
    b"-inf",
    b"1e400 ",
    b"1e9 ",
    b"-1",
    b"0 ",
    b"0x10",
    b"1,5 ",
    b"1.2.3 ",
    b"\\\\",
    b"1\\2 ",
    b"1\\2\\3\\4\\5\\6\\7 ",
    b"\xd9\xa1\xd9\xa2",
    b"\x1b[31mred ",
    b"a\nb ",
    b"\xff\xfe\x00\x01",
    b"\0\0",
    b"9" * 400,
    b"7" * 6000,
    b"UNKNOWN ",
    b"MONOCHROME3 ",
)
_NUMBERS = (0, 1, 2, 3, 7, 17, 255, 32768, 65535, -1, -32768, 1e-30, 1e-9, 0.5, 1e6, 1e30, float("nan"), float("inf"))
_VRS = (
    "US",
    "SS",
    "UL",
    "FL",
    "FD",
    "DS",
    "IS",
    "CS",
    "LO",
    "UI",
    "AT",
    "SQ",
    "OB",
    "OW",
    "UN",
    "PN",
    "ZZ",
    "D[",
    "Ds",
)
_SIZES: tuple[str, ...] = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# The image's description and its pixels. In compressed files they stay whole: what an outside decoder makes of a
# stream that contradicts its header is not this program's to test.
_PIXEL_GROUPS = (0x0028, 0x7FE0)
_PEOPLE = (0x0008, 0x0010)

Damage = Callable[[list[Element], np.random.Generator, bool], str]


def damage_header(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    """Damage elements in one way; `pixels_too`: also those that describe the pixels, and the pixels themselves."""
    return _DAMAGES[int(rng.integers(len(_DAMAGES)))](elements, rng, pixels_too)


def _one(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> tuple[list[Element], int]:
    """Somewhere in the header, seldom among the attributes that say who was seen and when."""
    places = [
        (holder, n)
        for holder, n in everywhere(elements)
        if holder[n].tag[0] != 0x7FE0 and (pixels_too or holder[n].tag[0] not in _PIXEL_GROUPS)
    ]
    if rng.random() < 0.85:
        places = [(holder, n) for holder, n in places if holder[n].tag[0] not in _PEOPLE] or places
    return places[int(rng.integers(len(places)))]


def _name(item: Element) -> str:
    return f"({item.tag[0]:04X},{item.tag[1]:04X})"


def _wrong_text(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    text = _TEXTS[int(rng.integers(len(_TEXTS)))]
    holder[n].value = text
    return f"{_name(holder[n])} is the text {text[:12]!r}"


def _wrong_number(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    number, vr = _NUMBERS[int(rng.integers(len(_NUMBERS)))], holder[n].vr
    if vr in ("US", "SS", "UL", "SL"):
        whole = int(number) if np.isfinite(number) else 0
        low, high = (0, 2**16 - 1) if vr == "US" else (0, 2**32 - 1) if vr == "UL" else (-(2**15), 2**15 - 1)
        holder[n].value = packed(vr, min(max(whole, low), high))
    elif vr in ("FL", "FD"):
        holder[n].value = packed(vr, number)
    else:
        count = int(rng.integers(1, 4))
        holder[n].value = packed("DS", [f"{number:g}"] * count)
    return f"{_name(holder[n])} is the number {number:g}"


def _wrong_vr(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    if isinstance(holder[n].value, list):
        return _numbers_for_items(elements, rng, pixels_too)
    holder[n].vr = _VRS[int(rng.integers(len(_VRS)))]
    return f"{_name(holder[n])} has the VR {holder[n].vr}"


def _wrong_count(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    item = holder[n]
    if isinstance(item.value, list):
        item.value = item.value * 3 if rng.random() < 0.5 else item.value[:-1]
        return f"{_name(item)} has {len(item.value)} items"
    binary = item.vr in ("US", "SS", "UL", "SL", "FL", "FD")
    if rng.random() < 0.5:
        item.value = item.value[: len(item.value) // 2] if binary else item.value.split(b"\\")[0]
        return f"{_name(item)} has fewer values"
    item.value = item.value * 2 if binary else b"\\".join([item.value.strip()] * 3)
    return f"{_name(item)} has more values"


def _deleted(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    return f"{_name(holder.pop(n))} is missing"


def _emptied(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    holder[n].value = [] if isinstance(holder[n].value, list) else b""
    return f"{_name(holder[n])} is empty"


def _doubled(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    other = deepcopy(holder[n])
    if isinstance(other.value, bytes):
        other.value = _TEXTS[int(rng.integers(len(_TEXTS)))]
    holder.insert(n + int(rng.integers(2)), other)
    return f"{_name(other)} stands there twice"


def _exchanged(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    (first, n), (second, m) = _one(elements, rng, pixels_too), _one(elements, rng, pixels_too)
    first[n].value, second[m].value = deepcopy(second[m].value), deepcopy(first[n].value)
    first[n].vr, second[m].vr = second[m].vr, first[n].vr
    return f"{_name(first[n])} and {_name(second[m])} are exchanged"


def _items_for_numbers(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    items = [element("Rows", 3), element("ImagerPixelSpacing", ["0.5", "0.5"])]
    nested: list[list[Element]] = [items]
    for _ in range(int(rng.choice([0, 1, 30]))):
        nested = [[Element(holder[n].tag, "SQ", nested)]]
    holder[n].vr, holder[n].value = "SQ", nested
    return f"{_name(holder[n])} is a sequence"


def _numbers_for_items(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    sequences = [item for holder, n in everywhere(elements) if isinstance((item := holder[n]).value, list)]
    if not sequences:
        return _items_for_numbers(elements, rng, pixels_too)
    item = sequences[int(rng.integers(len(sequences)))]
    vr, value = [("US", b"\1\0\2\0"), ("LO", b"text"), ("DS", b"1\\2 "), ("SQ", b"text"), ("UN", b"\1\2")][
        int(rng.integers(5))
    ]
    item.vr, item.value = vr, value
    return f"the sequence {_name(item)} is {vr} {value!r}"


def _wrong_length(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    holder, n = _one(elements, rng, pixels_too)
    true = len(holder[n].value) if isinstance(holder[n].value, bytes) else 0
    holder[n].length = max(0, true + int(rng.choice([-2, -1, 1, 2, 4, 100, 60000])))
    return f"{_name(holder[n])} has a length of {holder[n].length}"


def _wrong_size(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    if not pixels_too:
        return _wrong_number(elements, rng, pixels_too)
    keyword = _SIZES[int(rng.integers(len(_SIZES)))]
    value = int(rng.choice([0, 1, 2, 3, 8, 12, 17, 32, 63, 65, 64, 128, 999, 65535]))
    made = element(keyword, str(value) if keyword == "NumberOfFrames" else value)
    elements[:] = sorted([*(item for item in elements if item.tag != made.tag), made], key=lambda item: item.tag)
    return f"{keyword} is {value}"


def _wrong_pixels(elements: list[Element], rng: np.random.Generator, pixels_too: bool) -> str:
    if not pixels_too:
        return _deleted(elements, rng, pixels_too)
    item = next(item for item in elements if item.tag == (0x7FE0, 0x0010))
    assert isinstance(item.value, bytes)
    size = len(item.value)
    kinds = {
        "none": b"",
        "half": item.value[: size // 4 * 2],
        "one byte less": item.value[:-1],
        "doubled": item.value * 2,
        "all zero": b"\0" * size,
        "all ones": b"\xff" * size,
        "random": rng.bytes(size),
        "half zero": item.value[: size // 2] + b"\0" * (size - size // 2),
    }
    name = str(rng.choice(list(kinds)))
    item.value = kinds[name]
    return f"pixels: {name}"


_DAMAGES: tuple[Damage, ...] = (
    _wrong_text,
    _wrong_text,
    _wrong_number,
    _wrong_number,
    _wrong_vr,
    _wrong_count,
    _deleted,
    _emptied,
    _doubled,
    _exchanged,
    _items_for_numbers,
    _numbers_for_items,
    _wrong_length,
    _wrong_size,
    _wrong_pixels,
)
