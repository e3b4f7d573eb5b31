#!/bin/bash
# A CT with a tilted gantry in six readers: three drop the shear in silence, one of them stretches the patient too.
#
# Expected: each of them either keeps the step from slice to slice as recorded (a sheared affine) or refuses the series.
# Happens: slices 3 mm apart along their normal, each 0.9 mm further down (17 degrees):
#   SimpleITK  axes at right angles, and a slice distance of 3.132 mm: that along the slanted step, laid on the normal
#   dicom_numpy, imageio  axes at right angles, 3 mm; the shear is gone
#   dcmstack   the exact sheared affine
#   dicom2nifti, highdicom  refuse the series
# Matters here: without the shear slices lie up to centimetres from their place at the far end of a head or spine CT
#   (tilts of 10 to 25 degrees are usual there), and with 3.132 mm the patient is longer by 4 %. Registration absorbs
#   part of it in the pose, and its similarity hardly tells.
# Seen: SimpleITK 2.5.7, dicom-numpy 0.6.5, imageio 2.38.1, dcmstack 0.9.0, dicom2nifti 2.6.2, highdicom 0.28.2,
#   pydicom 3.0.2, Python 3.11, Linux:
#   SimpleITK     third column (0.0, 0.0, 3.132)
#   dicom_numpy   third column (0.0, 0.0, 3.0)
#   imageio       spacing (3.0, 0.5, 0.5)
#   dcmstack      third column (0.0, -0.9, 3.0), RAS
#   dicom2nifti   NON_CUBICAL_IMAGE/GANTRY_TILT
#   highdicom     Series is not a regularly-spaced volume.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 dicom-numpy==0.6.5 imageio==2.38.1 dcmstack==0.9.0 dicom2nifti==2.6.2 highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6 nibabel==5.4.2
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

import contextlib, io, logging
from pathlib import Path

import dcmstack, dicom2nifti, dicom_numpy, highdicom, imageio, SimpleITK as sitk

logging.disable()
Path("ct").mkdir()
for n in range(8):
    dataset = image("1.2.840.10008.5.1.4.1.1.2", "CT", np.full((10, 12), 1000 + n), InstanceNumber=n + 1)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0.9 * n, 3.0 * n], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness, dataset.RescaleSlope, dataset.RescaleIntercept = [0.5, 0.5], 3, 1, -1024
    dataset.ImageType, dataset.FrameOfReferenceUID = ["ORIGINAL", "PRIMARY", "AXIAL"], "1.2.3.5"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate, dataset.StudyTime = "Phantom", "1", "20200101", "120000"
    dataset.PatientSex = dataset.PatientBirthDate = dataset.AccessionNumber = dataset.StudyID = dataset.Manufacturer = ""
    dataset.ReferringPhysicianName, dataset.SeriesNumber, dataset.PositionReferenceIndicator = "", 1, ""
    dataset.save_as(f"ct/{n}.dcm", enforce_file_format=True)
slices = [pydicom.dcmread(f"ct/{n}.dcm") for n in range(8)]

def column(values):
    return tuple(round(float(value), 3) + 0.0 for value in values)

reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames("ct"))
stack = reader.Execute()
itks = column(np.array(stack.GetDirection()[2::3]) * stack.GetSpacing()[2])
print("SimpleITK     third column", itks)
assert itks == (0.0, 0.0, 3.132)
theirs = column(dicom_numpy.combine_slices(slices)[1][:3, 2])
print("dicom_numpy   third column", theirs)
assert theirs == (0.0, 0.0, 3.0)
with contextlib.redirect_stdout(io.StringIO()):
    sampling = column(imageio.volread("ct", "DICOM").meta["sampling"])
print("imageio       spacing", sampling)
assert sampling == (3.0, 0.5, 0.5)
stacked = dcmstack.DicomStack()
for dataset in slices:
    stacked.add_dcm(dataset)
exact = column(stacked.to_nifti().affine[:3, 2])
print("dcmstack      third column", exact, "RAS")
assert exact == (0.0, -0.9, 3.0)
for name, read in (
    ("dicom2nifti ", lambda: dicom2nifti.dicom_series_to_nifti("ct", "ct.nii.gz")),
    ("highdicom   ", lambda: highdicom.get_volume_from_series(slices)),
):
    try:
        read()
    except Exception as error:
        print(name, " ", error)
    else:
        raise AssertionError(f"{name} reads it")
PYTHON
