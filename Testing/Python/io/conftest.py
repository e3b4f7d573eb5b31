"""Files of the kinds that hospitals and laboratories send, written without the code under test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

from xrayreg.scene import recording


def _dataset(path: Path, storage: str, pixels: np.ndarray, attributes: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = "Phantom", "0"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def write_xray(tmp_path) -> Callable[..., Path]:
    """Writes an X-ray angiogram (frames, rows, columns) or (rows, columns) of uint16; None removes an attribute."""

    def write(pixels: np.ndarray, name: str = "xray.dcm", **attributes: Any) -> Path:
        path = tmp_path / name
        usual = {
            "Modality": "XA",
            "DistanceSourceToDetector": 1000.0,
            "DistanceSourceToPatient": 700.0,
            "ImagerPixelSpacing": [0.5, 0.5],
        }
        given = {key: value for key, value in (usual | attributes).items() if value is not None}
        _dataset(path, XRayAngiographicImageStorage, pixels.astype(np.uint16), given).save_as(
            path, enforce_file_format=True
        )
        return path

    return write


@pytest.fixture
def xray_dataset(write_xray) -> Callable[..., pydicom.Dataset]:
    """The attributes of an X-ray of 40 rows and 60 columns as they are read back from a file."""

    def read(**attributes: Any) -> pydicom.Dataset:
        return pydicom.dcmread(write_xray(np.arange(2400).reshape(40, 60), **attributes))

    return read


@pytest.fixture
def write_series(tmp_path) -> Callable[..., Path]:
    """Writes one CT slice per position (x, y, z) [mm, LPS] into a folder, in shuffled order of file names."""

    def write(
        values: np.ndarray,
        positions: np.ndarray,
        folder: str = "ct",
        spacing: tuple[float, float] = (0.5, 0.8),
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        prefix: str = "slice",
    ) -> Path:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        series, study = generate_uid(), generate_uid()
        names = np.random.default_rng(3).permutation(len(values))
        for name, stored, position in zip(names, values, positions, strict=True):
            file = path / f"{prefix}{name:03d}.dcm"
            attributes = {
                "Modality": "CT",
                "StudyInstanceUID": study,
                "SeriesInstanceUID": series,
                "SeriesDescription": prefix,
                "ImagePositionPatient": [float(x) for x in position],
                "ImageOrientationPatient": [float(x) for x in orientation],
                "PixelSpacing": list(spacing),
                "RescaleSlope": 1,
                "RescaleIntercept": -1024,
            }
            _dataset(file, CTImageStorage, (stored + 1024).astype(np.uint16), attributes).save_as(
                file, enforce_file_format=True
            )
        return path

    return write


@pytest.fixture
def whole_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pixel of an X-ray is image."""

    def whole_image(image: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.ones(image.shape, bool), ("field",)

    monkeypatch.setattr(recording, "find_field", whole_image)


@pytest.fixture
def plain_intensities(monkeypatch: pytest.MonkeyPatch, whole_field: None) -> None:
    """Every pixel of an X-ray is image, and its own line integral."""

    def itself(image: np.ndarray, valid: np.ndarray, kind: str) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.where(valid, image, 0), (f"used as {kind}",)

    monkeypatch.setattr(recording, "line_integrals", itself)
