"""Looking up DICOM attributes where they may stand: in the frame's functional groups, in the shared ones, or on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom as has_dicom_preamble
from pydicom.tag import Tag

from ..checks import InputError, require_file

T = TypeVar("T")
_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Found(Generic[T]):
    """A value and where it was found, for people: "DICOM (0018,1110)"."""

    value: T
    origin: str


@dataclass(frozen=True, eq=False)
class TagReader:
    """Reads attributes of one frame; empty values count as absent.

    frame: counts from 0; it selects the item of the per-frame functional groups of enhanced images.
    """

    dataset: pydicom.Dataset
    frame: int = 0

    def numbers(self, keyword: str, count: int | None = None) -> Found[NDArray[np.float64]] | None:
        """The attribute as finite numbers (N,); raises InputError when it is something else, or not `count` of them."""
        found = self._find(keyword)
        if found is None:
            return None
        try:
            values = np.atleast_1d(np.asarray(found.value, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise self._bad(keyword, "numbers", str(found.value)) from error
        if not np.isfinite(values).all() or (count is not None and values.size != count):
            raise self._bad(keyword, f"{count or 'finite'} numbers", str(found.value))
        return Found(values, found.origin)

    def positive(self, keyword: str) -> Found[float] | None:
        """The attribute's first number; 0, which devices write for "unknown", and negative values count as absent."""
        found = self.numbers(keyword)
        return None if found is None or found.value[0] <= 0 else Found(float(found.value[0]), found.origin)

    def number(self, keyword: str) -> Found[float] | None:
        """The attribute's first number."""
        found = self.numbers(keyword)
        return None if found is None else Found(float(found.value[0]), found.origin)

    def texts(self, keyword: str) -> Found[tuple[str, ...]] | None:
        """The attribute as words in capitals."""
        found = self._find(keyword)
        if found is None:
            return None
        words = [found.value] if isinstance(found.value, str) else found.value
        return Found(tuple(str(word).strip().upper() for word in words), found.origin)

    def text(self, keyword: str) -> Found[str] | None:
        """The attribute's first word in capitals."""
        found = self.texts(keyword)
        return None if found is None or not found.value else Found(found.value[0], found.origin)

    def items(self, keyword: str) -> tuple[pydicom.Dataset, ...]:
        """The items of a sequence, none where it is absent."""
        found = self._find(keyword)
        return () if found is None else tuple(found.value)

    def _find(self, keyword: str) -> Found[Any] | None:
        places: list[tuple[str, Callable[[], pydicom.Dataset | None]]] = [
            (f", frame {self.frame}", lambda: self._group("PerFrameFunctionalGroupsSequence", self.frame)),
            (", shared by all frames", lambda: self._group("SharedFunctionalGroupsSequence", 0)),
        ]
        for where, group in places:
            for dataset in _nested(group()):
                if _filled(dataset, keyword):
                    return Found(getattr(dataset, keyword), f"DICOM {tag_text(keyword)}{where}")
        if _filled(self.dataset, keyword):
            return Found(getattr(self.dataset, keyword), f"DICOM {tag_text(keyword)}")
        return None

    def _group(self, keyword: str, item: int) -> pydicom.Dataset | None:
        items = self.dataset.get(keyword) or ()
        return items[item] if item < len(items) else None

    def _bad(self, keyword: str, expected: str, found: str) -> InputError:
        return InputError(
            f"DICOM {keyword} {tag_text(keyword)}",
            expected=expected,
            found=found,
            remedy='correct it or give the view a "camera" in case.json',
        )


def tag_text(keyword: str) -> str:
    """The tag of a keyword as people write it: "(0018,1110)"."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"({tag.group:04X},{tag.element:04X})"


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM by its preamble, or by its suffix where the preamble was left out."""
    return path.is_file() and (path.suffix.lower() in _SUFFIXES or has_dicom_preamble(path))


def read_dataset(path: str | Path) -> pydicom.Dataset:
    """The attributes of the DICOM file at `path`, pixels on demand; raises InputError when it is no DICOM file."""
    path = Path(path)
    require_file(path, "X-ray")
    try:
        dataset = pydicom.dcmread(path, force=True, defer_size="1 MB")
    except (OSError, InvalidDicomError, EOFError, ValueError, NotImplementedError) as error:
        raise _no_dicom(path, str(error)) from error
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise _no_dicom(path, "no image in it")
    return dataset


def _no_dicom(path: Path, reason: str) -> InputError:
    return InputError("X-ray", expected="a DICOM image", found=f"{path} ({reason})", remedy="check the file")


def _filled(dataset: pydicom.Dataset, keyword: str) -> bool:
    if keyword not in dataset:
        return False
    value = dataset[keyword].value
    return value is not None and not (hasattr(value, "__len__") and len(value) == 0)


def _nested(dataset: pydicom.Dataset | None) -> Iterator[pydicom.Dataset]:
    """The functional group and the macros in it, however deep they are nested."""
    if dataset is None:
        return
    yield dataset
    for element in dataset:
        if element.VR == "SQ" and element.value:
            yield from _nested(element.value[0])
