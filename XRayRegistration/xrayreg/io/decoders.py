"""Decoding compressed DICOM pixels, run in a separate process by `guarded`.

Loaded by its path, without the package around it, so that the process starts in a fraction of a second: it imports
nothing of xrayreg.
"""

import os
import tempfile
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

_STORAGE = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture: no reader rescales or inverts it
_SOME_UID = "1.2.826.0.1.3680043.8.498.1"


def decode_frames(path: str, frames: list[int], layout: dict[str, Any], syntax: str) -> NDArray:
    """Frames (N, rows, columns) or (N, rows, columns, 3) as they were before compression.

    layout: the fields of a `PixelLayout`. Exceptions of the decoders are passed on.
    """
    dataset = pydicom.dcmread(path, force=True, defer_size="1 MB")
    data = dataset.PixelData
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    count = layout["frames"]
    codes = [get_frame(data, frame, number_of_frames=count, extended_offsets=offsets) for frame in frames]
    return np.stack([_decoded(code, layout, syntax) for code in codes])


def decode_files(files: list[dict[str, Any]]) -> NDArray:
    """Frames (N, rows, columns) of several files with images of one size; each is the arguments of `decode_frames`.

    Raises RuntimeError that names the file.
    """
    made = []
    for one in files:
        try:
            made.append(decode_frames(**one))
        except Exception as error:
            raise RuntimeError(f"{os.path.basename(one['path'])}: {error}") from error
    return np.concatenate(made)


def _decoded(code: bytes, layout: dict[str, Any], syntax: str) -> NDArray:
    """One frame from its code stream, by pydicom's decoders or else by ITK's."""
    single = _single_frame(code, layout, syntax)
    try:
        return np.asarray(pixel_array(single))
    except (RuntimeError, NotImplementedError, AttributeError):
        # pydicom has no decoder for it here (JPEG lossless, mostly); ITK brings its own.
        return _decoded_by_itk(single)


def _single_frame(code: bytes, layout: dict[str, Any], syntax: str) -> Dataset:
    """A data set with only one compressed frame and the attributes that a decoder needs.

    Without the other attributes no reader inverts, rescales or windows what it decodes.
    """
    dataset = Dataset()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(_STORAGE), UID(_SOME_UID)
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = layout["rows"], layout["columns"], layout["samples"]
    grey = layout["samples"] == 1
    dataset.PhotometricInterpretation = "MONOCHROME2" if grey else layout["photometric"]
    if not grey:
        dataset.PlanarConfiguration = int(layout["planar"])
    dataset.BitsAllocated, dataset.BitsStored = layout["bits_allocated"], layout["bits_stored"]
    dataset.HighBit, dataset.PixelRepresentation = layout["high_bit"], int(layout["signed"])
    dataset.PixelData = encapsulate([code])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _decoded_by_itk(dataset: Dataset) -> NDArray:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "frame.dcm")
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO"))
    return pixels[0]
