"""Looking up DICOM attributes in the frame's functional groups, in the shared ones, or at the top level.

Every access to an attribute of an X-ray goes through a `TagReader`: pydicom converts bytes only when a value is
accessed, and damaged bytes raise many kinds of exceptions. All of these become an InputError that names the tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.misc import is_dicom as has_dicom_preamble
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from ..checks import InputError
from .dicom_parsing import parsed, quiet_pydicom

T = TypeVar("T")
_SUFFIXES = (".dcm", ".dicom", ".ima")
_REMEDY = 'correct it or give the view a "camera" in case.json'
# Functional groups hold macros, and those hold sequences of codes; no attribute that is read is nested deeper.
_DEEPEST = 6
# Number of characters of a value shown in an error.
_SHOWN = 60


@dataclass(frozen=True)
class TagValue(Generic[T]):
    """A value and its origin, for display: "DICOM (0018,1110)"."""

    value: T
    origin: str


@dataclass(frozen=True, eq=False)
class TagReader:
    """Reads attributes of one frame; empty values count as absent.

    Every method raises InputError, naming the tag, for a value of another type or count than requested.

    frame: counts from 0; it selects the item of the per-frame functional groups of enhanced images.
    """

    dataset: pydicom.Dataset
    frame: int = 0

    def numbers(self, keyword: str, count: int | None = None) -> TagValue[NDArray[np.float64]] | None:
        """The attribute as finite numbers (N,), exactly `count` of them where that is given."""
        found = self._find(keyword)
        if found is None:
            return None
        numbers = [_number(value) for value in _listed(found.value)]
        fitting = [number for number in numbers if number is not None and np.isfinite(number)]
        if len(fitting) != len(numbers) or (count is not None and len(numbers) != count):
            expected = "finite numbers" if count is None else "one number" if count == 1 else f"{count} numbers"
            raise unusable(keyword, expected, found.value)
        return TagValue(np.array(fitting, dtype=np.float64), found.origin)

    def number(self, keyword: str) -> TagValue[float] | None:
        """The attribute as one number."""
        found = self.numbers(keyword, 1)
        return None if found is None else TagValue(float(found.value[0]), found.origin)

    def positive(self, keyword: str) -> TagValue[float] | None:
        """The attribute as one number above 0; 0, which devices write for "unknown", counts as absent."""
        found = self.number(keyword)
        if found is not None and found.value < 0:
            raise unusable(keyword, "a number above 0", found.value)
        return None if found is None or found.value == 0 else found

    def whole(self, keyword: str, least: int, most: int, usual: int | None = None) -> int:
        """The attribute as one whole number from `least` to `most`; the default `usual`, if any, where it is absent."""
        found = self.number(keyword)
        if found is None:
            if usual is None:
                raise unusable(keyword, f"a whole number from {least} to {most}", "none")
            return usual
        if found.value != int(found.value) or not least <= found.value <= most:
            raise unusable(keyword, f"a whole number from {least} to {most}", found.value)
        return int(found.value)

    def texts(self, keyword: str) -> TagValue[tuple[str, ...]] | None:
        """The attribute as words in capitals."""
        found = self._find(keyword)
        if found is None:
            return None
        words = _listed(found.value)
        if not all(isinstance(word, str) and word.isprintable() for word in words):
            raise unusable(keyword, "words", found.value)
        return TagValue(tuple(word.strip().upper() for word in words), found.origin)

    def text(self, keyword: str) -> TagValue[str] | None:
        """The attribute as one word in capitals."""
        found = self.texts(keyword)
        words = () if found is None else tuple(word for word in found.value if word)
        if found is None or not words:
            return None
        if len(words) != 1:
            raise unusable(keyword, "one word", "\\".join(words))
        return TagValue(words[0], found.origin)

    def items(self, keyword: str) -> tuple[pydicom.Dataset, ...]:
        """The items of a sequence, none where it is absent."""
        found = self._find(keyword)
        return () if found is None else _items(keyword, found.value)

    def value(self, keyword: str) -> Any:
        """The attribute as pydicom has it, None where it is absent or empty: for attributes with several encodings."""
        found = self._find(keyword)
        return None if found is None else found.value

    def _find(self, keyword: str) -> TagValue[Any] | None:
        places: list[tuple[str, Callable[[], pydicom.Dataset | None]]] = [
            (f", frame {self.frame}", lambda: self._group("PerFrameFunctionalGroupsSequence", self.frame)),
            (", shared by all frames", lambda: self._group("SharedFunctionalGroupsSequence", 0)),
        ]
        for where, group in places:
            for dataset in _nested(group()):
                value = _value_in(dataset, keyword)
                if value is not None:
                    return TagValue(value, f"DICOM {tag_text(keyword)}{where}")
        value = _value_in(self.dataset, keyword)
        return None if value is None else TagValue(value, f"DICOM {tag_text(keyword)}")

    def _group(self, keyword: str, item: int) -> pydicom.Dataset | None:
        groups = _value_in(self.dataset, keyword)
        items = () if groups is None else _items(keyword, groups)
        return items[item] if item < len(items) else None


def tag_text(keyword: str) -> str:
    """The tag of a keyword in the usual notation: "(0018,1110)"."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"({tag.group:04X},{tag.element:04X})"


def unusable(keyword: str, expected: str, found: object, remedy: str = _REMEDY) -> InputError:
    """The InputError for an unusable attribute; `found` is shortened and shown without control characters."""
    name = f"DICOM {keyword} {tag_text(keyword)}"
    return InputError(name, expected=expected, found=_shown(found), remedy=remedy)


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM by its preamble, or by its suffix where it has no preamble."""
    try:
        return path.is_file() and (path.suffix.lower() in _SUFFIXES or has_dicom_preamble(path))
    except OSError:
        # A file that cannot be opened is reported by its reader.
        return False


def read_dataset(path: str | Path, what: str = "X-ray") -> pydicom.Dataset:
    """The attributes of the DICOM file at `path`, pixels on demand; raises InputError when it is not a DICOM image.

    what: the name of the thing in errors.
    """
    path = Path(path)
    dataset = parsed(path, what)
    tags = TagReader(dataset)
    if tags.value("Rows") is None or tags.value("Columns") is None:
        raise InputError(what, expected="a DICOM image", found=f"{path} (no image in it)", remedy="check the file")
    return dataset


def _value_in(dataset: pydicom.Dataset, keyword: str) -> Any:
    """The attribute of `dataset` itself, None where it is absent or empty."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    if tag not in dataset:
        return None
    try:
        with quiet_pydicom():
            value = dataset[tag].value
            empty = value is None or (hasattr(value, "__len__") and len(value) == 0)
    except Exception as error:
        raise unusable(keyword, "a value that can be read", f"damage ({type(error).__name__})") from error
    return None if empty else value


def _items(keyword: str, value: Any) -> tuple[pydicom.Dataset, ...]:
    if not isinstance(value, Sequence):
        raise unusable(keyword, "a sequence", value)
    return tuple(value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]


def _number(value: Any) -> float | None:
    """A DICOM value as a number, None where it is not one, as for bytes and sequence items."""
    if not isinstance(value, (int, float, str, Decimal, np.number)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _shown(value: object) -> str:
    if isinstance(value, Sequence):
        return "a sequence"
    if isinstance(value, bytes):
        return f"{len(value)} bytes of an unknown kind"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "\\".join(map(str, value)) if isinstance(value, (list, tuple, MultiValue)) else str(value)
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: _SHOWN + 1])
    return (text[:_SHOWN] + "..." if len(text) > _SHOWN else text) or "nothing"


def _nested(dataset: pydicom.Dataset | None, depth: int = 0) -> Iterator[pydicom.Dataset]:
    """The functional group and the macros in it at any nesting; other damaged elements are skipped."""
    if dataset is None or depth > _DEEPEST:
        return
    yield dataset
    for tag in sorted(dataset.keys()):
        if not _is_sequence(dataset, tag):
            continue
        try:
            with quiet_pydicom():
                value = dataset[tag].value
        except Exception as error:
            name = f"DICOM sequence ({tag.group:04X},{tag.element:04X})"
            raise InputError(
                name, expected="a sequence that can be read", found=f"damage ({type(error).__name__})", remedy=_REMEDY
            ) from error
        if isinstance(value, Sequence) and len(value):
            yield from _nested(value[0], depth + 1)


def _is_sequence(dataset: pydicom.Dataset, tag: Any) -> bool:
    # A long value stays in the file: its value representation is known without it.
    stored = dataset.get_item(tag, keep_deferred=True)
    if stored is None:
        return False
    if stored.VR in (None, "UN"):
        # In implicit transfer syntaxes only the dictionary gives the value representation.
        return not Tag(tag).is_private and _dictionary_kind(tag) == "SQ"
    return str(stored.VR) == "SQ"


def _dictionary_kind(tag: Any) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""
