"""DICOM's modality lookup tables, in all their encodings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian

from .dicom_tags import TagReader, unusable

_REMEDY = "export the image again"
# A table whose entries stay this close to a straight line, relative to their range, counts as linear.
_STRAIGHT = 0.02


@dataclass(frozen=True, eq=False)
class ModalityTable:
    """entries: (N,) output values; first: the stored value that is mapped to the first of them."""

    entries: NDArray[np.uint16]
    first: int

    def applied(self, stored: NDArray) -> NDArray[np.uint16]:
        """The outputs for stored integers; values beyond either end are clamped to it (PS3.3 C.11.1.1)."""
        return self.entries[np.clip(stored.astype(np.int64) - self.first, 0, len(self.entries) - 1)]

    @property
    def is_rising(self) -> bool:
        """Whether the last output is at least the first."""
        return bool(self.entries[-1] >= self.entries[0])

    @property
    def is_straight(self) -> bool:
        """Whether the table is a straight line between its ends."""
        outputs = self.entries.astype(np.float64)
        line = np.linspace(outputs[0], outputs[-1], len(outputs))
        return bool(np.abs(outputs - line).max() <= _STRAIGHT * max(1.0, float(np.ptp(outputs))))


def modality_table(tags: TagReader, signed: bool) -> ModalityTable | None:
    """The first item of the Modality LUT Sequence, None where there is none.

    signed: whether pixels, and with them the first stored value that is mapped, are signed. Raises InputError, naming
    the tag, for a table that is incomplete or of another length than its descriptor states.
    """
    items = tags.items("ModalityLUTSequence")
    if not items:
        return None
    item = TagReader(items[0])
    descriptor = item.numbers("LUTDescriptor", 3)
    if descriptor is None:
        raise unusable("LUTDescriptor", "the length, first value and bits of the lookup table", "none", _REMEDY)
    # Writers and readers disagree on whether it is signed: only the low 16 bits count.
    count, first, bits = (int(number) for number in descriptor.value)
    count = count % 65536 or 65536
    first %= 65536
    if signed and first > 32767:
        first -= 65536
    if not 8 <= bits <= 16:
        raise unusable("LUTDescriptor", "entries of 8 to 16 bits", f"{bits} bits", _REMEDY)
    return ModalityTable(_entries(item.value("LUTData"), count, bits, _is_big_endian(tags.dataset)), first)


def _entries(data: object, count: int, bits: int, big_endian: bool) -> NDArray[np.uint16]:
    """The table's entries; 8-bit entries may be packed two per word, the first in the lower byte."""
    if isinstance(data, bytes):
        if bits == 8 and len(data) in (count, count + count % 2):
            pairs = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2" if big_endian else "<u2").astype("<u2")
            packed = np.frombuffer(pairs.tobytes() + data[len(data) // 2 * 2 :], dtype=np.uint8)
            return packed[:count].astype(np.uint16)
        words = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2" if big_endian else "<u2").astype(np.uint16)
    else:
        words = np.array([number % 65536 for number in _whole_numbers(data)], dtype=np.uint16)
        if bits == 8 and len(words) == (count + 1) // 2 and count > 1:
            return np.frombuffer(words.astype("<u2").tobytes(), dtype=np.uint8)[:count].astype(np.uint16)
    if len(words) != count:
        raise unusable("LUTData", f"the {count} entries that LUTDescriptor announces", f"{len(words)}", _REMEDY)
    return words


def _whole_numbers(data: object) -> list[int]:
    listed = [] if data is None else list(data) if isinstance(data, (list, tuple, MultiValue)) else [data]
    numbers = [int(number) for number in listed if isinstance(number, int)]
    if len(numbers) != len(listed) or not numbers:
        raise unusable("LUTData", "whole numbers", "none" if data is None else data, _REMEDY)
    return numbers


def _is_big_endian(dataset: pydicom.Dataset) -> bool:
    meta = getattr(dataset, "file_meta", None)
    syntax = None if meta is None else TagReader(meta).value("TransferSyntaxUID")
    return syntax == ExplicitVRBigEndian or (syntax is None and dataset.original_encoding[1] is False)
