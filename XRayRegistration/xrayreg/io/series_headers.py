"""Headers of the DICOM files of a volume; damage of any kind becomes an error that names the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from ..checks import InputError
from ..printing import printable
from .dicom_tags import TagReader, tag_text

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# All attributes read from a file besides its pixels; others are not even parsed.
_KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "Modality", "ImageType"),
    *("SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("NumberOfFrames", "GridFrameOffsetVector", "SpacingBetweenSlices"),
    *_GROUPS,
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    "PixelData",
)
# Longer values stay in the file: pixels, and the functional groups of large files until they are accessed.
_LONG = 65536
# Largest number of values of an attribute read as words.
_MOST_WORDS = 16
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"
_SUFFIXES = (".dcm", ".dicom", ".ima")
# First bytes of a file without preamble: group 0002 or 0008 in either byte order.
_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


@dataclass(frozen=True, eq=False)
class ImageFile:
    """One DICOM file, its pixels still on disk."""

    path: Path
    dataset: Dataset
    sop_class: str
    series_uid: str
    transfer_syntax: str

    @property
    def name(self) -> str:
        """The file's name, for display."""
        return shortened(self.path.name)

    @cached_property
    def top(self) -> Dataset:
        """The top-level attributes of the file, without functional groups and pixels."""
        kept = [tag for tag in self.dataset.keys() if keyword_for_tag(tag) not in (*_GROUPS, "PixelData")]  # noqa: SIM118
        return Dataset({tag: self.dataset.get_item(tag, keep_deferred=True) for tag in kept})

    def tags(self) -> Tags:
        """The top-level attributes of the file."""
        return Tags(self.name, (self.top,))

    def groups(self, keyword: str) -> tuple[Dataset, ...]:
        """The per-frame or the shared functional groups; raises InputError where there is something else."""
        return items_of(self.dataset, keyword, self.name)


@dataclass(frozen=True, eq=False)
class Tags:
    """Attributes of an image or frame as numbers and words; empty ones count as absent.

    source: the file or frame, for display. places: where to look them up; the first match counts.
    Every method raises InputError, naming the source, for values that are damaged.
    """

    source: str
    places: tuple[Dataset, ...]

    def numbers(self, keyword: str, count: int | None = None) -> NDArray[np.float64] | None:
        """Finite numbers (count,), or of any number; None where there are none."""
        with sentences(self.source, keyword):
            for place in self.places:
                if keyword in place and (found := TagReader(place).numbers(keyword, count)) is not None:
                    return found.value
        return None

    def number(self, keyword: str) -> float | None:
        """A single finite number."""
        found = self.numbers(keyword, 1)
        return None if found is None else float(found[0])

    def integer(self, keyword: str) -> int | None:
        """A single whole number."""
        found = self.number(keyword)
        if found is None:
            return None
        if found != round(found):
            raise damaged(self.source, keyword, "a whole number", f"{found:g}")
        return int(found)

    def words(self, keyword: str) -> tuple[str, ...]:
        """The attribute's words as written, control characters escaped; () where it is absent."""
        with sentences(self.source, keyword):
            for place in self.places:
                value = place[keyword].value if keyword in place else None
                if value is None or value == "":
                    continue
                several = value if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value]
                return tuple(shortened(str(word).strip()) for word in several[:_MOST_WORDS])
        return ()

    def text(self, keyword: str) -> str:
        """The attribute's words as one string, "" where it is absent."""
        return shortened(" ".join(self.words(keyword)))


def open_header(path: Path) -> ImageFile | None:
    """The header of the DICOM file at `path`; None for another kind of file and for a DICOM directory.

    Raises InputError, naming the file, for a DICOM file whose header is damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    if start[128:132] != b"DICM" and start[:2] not in _STARTS:
        if path.suffix.lower() in _SUFFIXES:
            raise _unreadable(path, "empty" if not start else "no DICOM inside")
        return None
    try:
        dataset, syntax = _parsed(path)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    tags = Tags(shortened(path.name), (dataset,))
    sop_class = tags.text("SOPClassUID") or _of_meta(dataset, "MediaStorageSOPClassUID", tags.source)
    if sop_class == _DIRECTORY:
        return None
    if not sop_class and not tags.text("Modality"):
        if start[128:132] == b"DICM" or path.suffix.lower() in _SUFFIXES:
            raise _unreadable(path, "it does not say what it holds")
        return None
    return ImageFile(path, dataset, sop_class, tags.text("SeriesInstanceUID"), syntax)


def items_of(dataset: Dataset, keyword: str, source: str) -> tuple[Dataset, ...]:
    """The items of a sequence in `dataset`, none where it is absent; raises InputError where it is not a sequence."""
    with sentences(source, keyword):
        found = tuple(dataset[keyword].value or ()) if keyword in dataset else ()
        if not all(isinstance(item, Dataset) for item in found):
            raise damaged(source, keyword, "a sequence", "something else")
    return found


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Suppress pydicom's warnings on unusual values within this context."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def sentences(source: str, keyword: str) -> Iterator[None]:
    """Convert any exception raised by a damaged attribute into an InputError that names file and tag."""
    try:
        yield
    except InputError as error:
        raise damaged(source, keyword, error.expected, error.found) from error
    except Exception as error:
        raise damaged(source, keyword, "a value that can be read", str(error) or type(error).__name__) from error


def damaged(source: str, keyword: str, expected: str, found: str) -> InputError:
    """The InputError for an attribute that cannot be used."""
    return InputError(
        f"{keyword} {tag_text(keyword)} of {source}",
        expected=expected,
        found=shortened(found),
        remedy="export the series again, or remove the file if it is no slice of the CT",
    )


def shortened(text: str, longest: int = 100) -> str:
    """The text on one line, control characters escaped, and not much longer than `longest`."""
    shown = printable(text[:longest])
    return shown if len(text) <= longest else shown + "..."


def _parsed(path: Path) -> tuple[Dataset, str]:
    if _stated_syntax(path) == _DEFLATED:
        raise _unreadable(path, "compressed as a whole, in the deflated transfer syntax")
    dataset = pydicom.dcmread(path, force=True, defer_size=_LONG, specific_tags=list(_KEYWORDS))
    return dataset, _of_meta(dataset, "TransferSyntaxUID", shortened(path.name)) or _guessed_syntax(dataset)


def _stated_syntax(path: Path) -> str:
    """The transfer syntax that the file's meta header states, "" where there is none."""
    try:
        return str(read_file_meta_info(path).get("TransferSyntaxUID") or "")
    except InvalidDicomError:
        return ""


def _guessed_syntax(dataset: Dataset) -> str:
    """The transfer syntax of a file without meta header, as pydicom read it."""
    implicit, little = dataset.original_encoding
    if implicit:
        return "1.2.840.10008.1.2"
    return "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"


def _of_meta(dataset: Dataset, keyword: str, source: str) -> str:
    """An attribute of the file's meta header, "" where it is absent."""
    meta = getattr(dataset, "file_meta", None)
    return Tags(source, () if meta is None else (meta,)).text(keyword)


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(
        "volume",
        expected="a DICOM file that can be read",
        found=f"{shortened(path.name)} ({shortened(reason)})",
        remedy="export it again, or remove it if it is no slice of the CT",
    )
