#!/bin/bash
# A modality LUT in an X-ray: SimpleITK leaves it out, pydicom applies it unless its entries are packed bytes.
#
# Expected: both give the values that the Modality LUT Sequence (0028,3000) stands for, as both do with slope and
#   intercept; entries of 8 bits may be packed two to a word (PS3.3 C.11.1.1) and are read like others.
# Happens: SimpleITK reads slope and intercept, but of a modality LUT nothing: it gives the stored values. pydicom's
#   apply_modality_lut applies it, but raises for 8-bit entries packed in words ("unpack requires a buffer of 128
#   bytes", and OverflowError where LUTData has the VR US).
# Matters here: some angiography devices store a logarithm or a square root and the LUT that leads back to intensity.
#   Whether the numbers are intensities then depends on the reader, and so does whether a logarithm is taken once,
#   twice or never.
# Seen: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, Python 3.11, Linux (stored 0, 1, 2; LUT: 0, 100, 200, ...):
#   16-bit entries: pydicom [0, 100, 200], SimpleITK [0, 1, 2]
#   8-bit entries in OW: pydicom error: unpack requires a buffer of 128 bytes
#   8-bit entries in US: pydicom OverflowError: Python integer 768 out of bounds for uint8
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np, pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

warnings.simplefilter("ignore")

def image(storage, modality, pixels, **attributes):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = modality, "1.2.3", "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset

import struct

import SimpleITK as sitk
from pydicom.pixels import apply_modality_lut

STORED = np.arange(64).reshape(8, 8)

def read(entries, bits, vr="OW"):
    """The file with this LUT, by pydicom's way and by SimpleITK's."""
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [64, 0, bits], "US"
    table["LUTDescriptor"].VR = "US"
    table.LUTData = entries if vr == "OW" else np.frombuffer(entries, "<u2").tolist()
    table["LUTData"].VR = vr
    dataset = image("1.2.840.10008.5.1.4.1.1.12.1", "XA", STORED, ModalityLUTSequence=[table])
    dataset.save_as("x.dcm", enforce_file_format=True)
    dataset = pydicom.dcmread("x.dcm")
    itks = sitk.GetArrayFromImage(sitk.ReadImage("x.dcm"))[0, 0, :3].tolist()
    return lambda: apply_modality_lut(dataset.pixel_array, dataset)[0, :3].tolist(), itks

ours, itks = read((np.arange(64) * 100).astype("<u2").tobytes(), 16)
print(f"16-bit entries: pydicom {ours()}, SimpleITK {itks}")
assert ours() == [0, 100, 200] and itks == [0, 1, 2]
for vr, kind in (("OW", struct.error), ("US", OverflowError)):
    ours, itks = read((np.arange(64) * 3).astype(np.uint8).tobytes(), 8, vr)
    assert itks == [0, 1, 2]
    try:
        raise AssertionError(f"pydicom reads them: {ours()}")
    except kind as error:
        print(f"8-bit entries in {vr}: pydicom {type(error).__name__}: {error}")
PYTHON
