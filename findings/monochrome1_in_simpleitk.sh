#!/bin/bash
# SimpleITK negates the pixels of MONOCHROME1 images when it reads them, before it rescales them.
#
# Expected: the values as stored, rescaled by slope and intercept; MONOCHROME1 says how to display them (PS3.3
#   C.7.6.3.1.2), and pydicom's pixel_array leaves them alone.
# Happens: SimpleITK gives slope * (2^BitsStored - 1 - stored) + intercept, and its image says so nowhere: the tag it
#   keeps is still MONOCHROME1. With 12 bits stored, 0 becomes 4095; with a slope of 2 and an intercept of -10, 0
#   becomes 131060.
# Matters here: whoever reads a radiograph with SimpleITK and inverts MONOCHROME1 himself undoes it; whoever takes an
#   image's meaning (bright = more X-rays, by PixelIntensityRelationshipSign) from the tags has it the wrong way round:
#   a negative of the patient is then registered to the CT.
# Seen: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, Python 3.11, Linux (stored values 0, 1, 2):
#   16 bits: pydicom [0, 1, 2], SimpleITK [65535, 65534, 65533], which keeps the tag MONOCHROME1
#   12 bits: pydicom [0, 1, 2], SimpleITK [4095, 4094, 4093], which keeps the tag MONOCHROME1
#   16 bits, slope 2, intercept -10: pydicom [-10, -8, -6], SimpleITK [131060, 131058, 131056], which keeps ...
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

import SimpleITK as sitk
from pydicom.pixels import apply_modality_lut

STORED = np.arange(64).reshape(8, 8)
RESCALED = {"RescaleSlope": 2, "RescaleIntercept": -10}
for name, bits, attributes in (("16 bits", 16, {}), ("12 bits", 12, {}), ("16 bits, slope 2, intercept -10", 16, RESCALED)):
    dataset = image("1.2.840.10008.5.1.4.1.1.1.1", "DX", STORED, BitsStored=bits, HighBit=bits - 1, **attributes)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as("x.dcm", enforce_file_format=True)
    read = pydicom.dcmread("x.dcm")
    ours = apply_modality_lut(read.pixel_array, read)[0, :3].astype(int).tolist()
    opened = sitk.ReadImage("x.dcm")
    itks = sitk.GetArrayFromImage(opened)[0, 0, :3].astype(int).tolist()
    print(f"{name}: pydicom {ours}, SimpleITK {itks}, which keeps the tag {opened.GetMetaData('0028|0004')}")
    slope, intercept = attributes.get("RescaleSlope", 1), attributes.get("RescaleIntercept", 0)
    assert ours == [slope * n + intercept for n in range(3)]
    assert itks == [slope * (2**bits - 1 - n) + intercept for n in range(3)]
    assert opened.GetMetaData("0028|0004").strip() == "MONOCHROME1"
PYTHON
