"""DICOM volumes as scanners and other programs write them: slices, multi-frame files, and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

Edit = Callable[[Dataset], None]
# A grid that no axis, sign or order can be swapped in unnoticed: oblique, three spacings.
_TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
GRID = np.eye(4)
GRID[:3, :3] = _TURN * [0.5, 0.8, 2.0]
GRID[:3, 3] = [-100.0, 55.5, 700.0]


def hounsfield(slices: int = 5, rows: int = 6, columns: int = 4) -> np.ndarray:
    """Values [k, j, i] that differ from slice to slice, air in the corners."""
    values = np.random.default_rng(slices).integers(-1000, 2000, (slices, rows, columns)).astype(np.int16)
    values[:, :: rows - 1, :: columns - 1] = -1000
    return values


def write_slices(
    folder: Path,
    values: np.ndarray,
    lps_from_index: np.ndarray = GRID,
    edits: dict[int, Edit] | Edit | None = None,
    storage: str = CTImageStorage,
    order: Sequence[int] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    prefix: str = "s",
    **attributes: Any,
) -> Path:
    """One file per slice [k, j, i], named by its place in `order`; `edits` change the data sets of single slices."""
    folder.mkdir(parents=True, exist_ok=True)
    attributes = {"SeriesInstanceUID": generate_uid(), **attributes}
    for name, k in enumerate(range(len(values)) if order is None else order):
        dataset = _dataset(storage, values[k], syntax, attributes)
        dataset.ImagePositionPatient = [float(x) for x in (lps_from_index @ [0, 0, k, 1])[:3]]
        dataset.ImageOrientationPatient = _directions(lps_from_index)
        dataset.PixelSpacing = _pitch(lps_from_index)
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        edit = edits if edits is None or callable(edits) else edits.get(k)
        save(folder / f"{prefix}{name:03d}.dcm", dataset, edit)
    return folder


def write_frames(
    path: Path,
    values: np.ndarray,
    lps_from_index: np.ndarray = GRID,
    edits: dict[int, Edit] | None = None,
    storage: str = EnhancedCTImageStorage,
    order: Sequence[int] | None = None,
    whole: Edit | None = None,
    **attributes: Any,
) -> Path:
    """One file with all slices; `edits` change what its functional groups say of single slices, `whole` the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = list(range(len(values))) if order is None else list(order)
    dataset = _dataset(
        storage, values[order], ExplicitVRLittleEndian, {"SeriesInstanceUID": generate_uid(), **attributes}
    )
    dataset.NumberOfFrames = len(order)
    groups = []
    for k in order:
        frame = Dataset()
        frame.ImagePositionPatient = [float(x) for x in (lps_from_index @ [0, 0, k, 1])[:3]]
        frame.ImageOrientationPatient = _directions(lps_from_index)
        frame.PixelSpacing = _pitch(lps_from_index)
        frame.RescaleSlope, frame.RescaleIntercept = 1, -1024
        if edits and k in edits:
            edits[k](frame)
        groups.append(_macros(frame))
    dataset.PerFrameFunctionalGroupsSequence = Items(groups)
    save(path, dataset, whole)
    return path


def save(path: Path, dataset: Dataset, edit: Edit | None = None) -> None:
    """Write the data set after `edit`, however odd it has become."""
    modes = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    try:
        if edit is not None:
            edit(dataset)
        dataset.save_as(path, enforce_file_format=True)
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = modes


def raw(keyword: str, value: bytes, kind: str | None = None) -> Edit:
    """Puts bytes in an attribute's place, whatever they are."""

    def edit(dataset: Dataset) -> None:
        tag = Tag(tag_for_keyword(keyword))
        vr = kind or dictionary_VR(tag).split(" ")[0]
        padded = value + b"\0" * (len(value) % 2)
        dataset._dict[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True, True)

    return edit


def having(**attributes: Any) -> Edit:
    """Sets attributes, or removes those that are None."""

    def edit(dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return edit


def stored(numbers: np.ndarray, bits: int | None = None) -> Edit:
    """Replaces the pixels by these numbers, of which the header says `bits` are used."""

    def edit(dataset: Dataset) -> None:
        _set_pixels(dataset, numbers)
        if bits is not None:
            dataset.BitsStored, dataset.HighBit = bits, bits - 1

    return edit


def together(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(dataset: Dataset) -> None:
        for one in edits:
            one(dataset)

    return edit


def every(numbers: Iterable[int], edit: Edit) -> dict[int, Edit]:
    """The same edit for several slices."""
    return dict.fromkeys(numbers, edit)


def _dataset(storage: str, values: np.ndarray, syntax: str, attributes: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = storage, syntax
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(
        None,
        {},
        preamble=b"\0" * 128,
        file_meta=meta,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.StudyInstanceUID = "Phantom", "0", "1.2.3"
    dataset.Modality = "CT"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    _set_pixels(dataset, (values + 1024).astype(np.uint16))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _set_pixels(dataset: Dataset, numbers: np.ndarray) -> None:
    bits = 8 * numbers.itemsize
    dataset.Rows, dataset.Columns = numbers.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(numbers.dtype.kind == "i")
    order = ">" if dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
    dataset.PixelData = np.ascontiguousarray(numbers.astype(numbers.dtype.newbyteorder(order))).tobytes()
    dataset["PixelData"].VR = "OW"


def _macros(frame: Dataset) -> Dataset:
    """A frame's attributes in the functional groups they belong to."""
    group = Dataset()
    for macro, keywords in {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing",),
        "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
        "FrameContentSequence": ("TemporalPositionIndex", "FrameAcquisitionNumber"),
        "CTImageFrameTypeSequence": ("FrameType",),
    }.items():
        item = Dataset()
        for keyword in keywords:
            if keyword in frame:
                item._dict[Tag(tag_for_keyword(keyword))] = frame._dict[Tag(tag_for_keyword(keyword))]
        if len(item):
            setattr(group, macro, Items([item]))
    return group


def _directions(lps_from_index: np.ndarray) -> list[float]:
    row, column = (lps_from_index[:3, n] / np.linalg.norm(lps_from_index[:3, n]) for n in (0, 1))
    return [round(float(x), 9) for x in (*row, *column)]


def _pitch(lps_from_index: np.ndarray) -> list[float]:
    return [round(float(np.linalg.norm(lps_from_index[:3, n])), 9) for n in (1, 0)]
