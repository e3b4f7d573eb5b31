#!/bin/bash
# SimpleITK's spacing of an X-ray is the pitch at the detector, or 1 mm although the file holds PixelSpacing.
#
# Expected: PixelSpacing where the file has one (it is what DICOM calibrates for measuring in the patient, and what
#   SimpleITK takes for CT, MR and secondary captures), else ImagerPixelSpacing.
# Happens: for XA, RF, CR, DX and MG it takes ImagerPixelSpacing (0018,1164), the pitch at the detector, and never
#   PixelSpacing (0028,0030): a file that has only that one is read with 1 x 1 mm, without a word. Enhanced XA with both
#   on top level is 1 x 1 mm too.
# Matters here: focal length in pixels is SID divided by the pitch at the detector. A program that takes GetSpacing()
#   for it is right, until a CR or DX without ImagerPixelSpacing comes: then its focal length is wrong by the factor
#   that lies between the pitch and 1 mm, and depth with it. And what one measures with it in the picture is magnified.
# Seen: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, Python 3.11, Linux (column spacing 0.3 and 0.2 mm in the two tags):
#   XA, RF, CR, DX, MG: both (0.3, 0.4), only ImagerPixelSpacing (0.3, 0.4), only PixelSpacing (1.0, 1.0)
#   enhanced XA: both (1.0, 1.0)
#   secondary capture: both (0.2, 0.25), only PixelSpacing (0.2, 0.25)
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

sitk.ProcessObject.SetGlobalWarningDisplay(False)
STORAGE = "1.2.840.10008.5.1.4.1.1."
IMAGER, PATIENT = {"ImagerPixelSpacing": [0.4, 0.3]}, {"PixelSpacing": [0.25, 0.2]}

def spacing(storage, modality, **attributes):
    pixels = np.arange(64).reshape(8, 8)
    image(STORAGE + storage, modality, pixels, **attributes).save_as("x.dcm", enforce_file_format=True)
    return sitk.ReadImage("x.dcm").GetSpacing()[:2]

for storage, modality in (("12.1", "XA"), ("12.2", "RF"), ("1", "CR"), ("1.1", "DX"), ("1.2", "MG")):
    both, imager, patient = (spacing(storage, modality, **tags) for tags in (IMAGER | PATIENT, IMAGER, PATIENT))
    print(f"{modality}: both {both}, only ImagerPixelSpacing {imager}, only PixelSpacing {patient}")
    assert both == imager == (0.3, 0.4) and patient == (1.0, 1.0)
enhanced = spacing("12.1.1", "XA", **IMAGER, **PATIENT)
print(f"enhanced XA: both {enhanced}")
assert enhanced == (1.0, 1.0)
both, patient = (spacing("7", "OT", **tags) for tags in (IMAGER | PATIENT, PATIENT))
print(f"secondary capture: both {both}, only PixelSpacing {patient}")
assert both == patient == (0.2, 0.25)
PYTHON
