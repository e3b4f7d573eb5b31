#!/bin/bash
# A CT in one multi-frame file: SimpleITK drops tilt, rescales every frame as the first, and gives 1 mm for shuffled frames.
#
# Expected: frames are placed by their own positions and rescaled by their own slope, as the object says for each of
#   them; or an error.
# Happens: with frames out of order, or with one missing, spacing becomes (1, 1, 1) mm, origin (0, 0, 0) and the order
#   stays that of the file. A tilted stack keeps axes at right angles: its shear is gone. Slopes that stand in the
#   per-frame groups count as those of the first frame. Nothing is said.
# Matters here: enhanced CT is written by new scanners and by converters. A pose on such a volume is off by millimetres
#   to centimetres while the DRR looks like a patient.
# Source: a contributor of ITK says that GDCM reads the shared and the first per-frame group and takes frames for sorted
#   and equidistant (github.com/InsightSoftwareConsortium/ITK, pull request 2010).
# Seen: SimpleITK 2.5.7 (ITK 5.4), pydicom 3.0.2, Python 3.11, Linux (pixels of 0.5 mm, frames 2 mm apart):
#   in order: spacing (0.5, 0.5, 2.0), values [0, 1, 2, 3]
#   shuffled: spacing (1.0, 1.0, 1.0), values [0, 2, 1, 3]
#   one missing: spacing (1.0, 1.0, 1.0), values [0, 1, 3]
#   tilted: spacing (0.5, 0.5, 2.0), third axis (0.0, 0.0, 1.0) instead of (0, 0.287, 0.958)
#   slopes 1, 2, 3, 4: values [100, 100, 100, 100] instead of [100, 200, 300, 400]
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

def item(**attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made

def rescaled(slope):
    return [item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="HU")]

def read(places, values, slopes=None, tilt=0.0):
    """The file with a frame of one value at each place [mm] along z, as SimpleITK reads it."""
    pixels = np.stack([np.full((4, 4), value) for value in values])
    dataset = image("1.2.840.10008.5.1.4.1.1.2.1", "CT", pixels)
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.5], SliceThickness=2)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    if slopes is None:
        shared.PixelValueTransformationSequence = rescaled(1)
    frames = []
    for n, place in enumerate(places):
        content = item(StackID="1", InStackPositionNumber=n + 1, DimensionIndexValues=[1, n + 1])
        frame = item(FrameContentSequence=[content])
        frame.PlanePositionSequence = [item(ImagePositionPatient=[0, tilt * place, place])]
        if slopes is not None:
            frame.PixelValueTransformationSequence = rescaled(slopes[n])
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.save_as("ct.dcm", enforce_file_format=True)
    return sitk.ReadImage("ct.dcm")

def values(opened):
    return sitk.GetArrayFromImage(opened)[:, 0, 0].tolist()

sound = read([0, 2, 4, 6], [0, 1, 2, 3])
print(f"in order: spacing {sound.GetSpacing()}, values {values(sound)}")
assert sound.GetSpacing() == (0.5, 0.5, 2.0) and values(sound) == [0, 1, 2, 3]
for name, places, order in (("shuffled", [0, 4, 2, 6], [0, 2, 1, 3]), ("one missing", [0, 2, 6], [0, 1, 3])):
    odd = read(places, order)
    print(f"{name}: spacing {odd.GetSpacing()}, values {values(odd)}")
    assert odd.GetSpacing() == (1.0, 1.0, 1.0) and values(odd) == order
tilted = read([0, 2, 4, 6], [0, 1, 2, 3], tilt=0.3)
print(f"tilted: spacing {tilted.GetSpacing()}, third axis {tilted.GetDirection()[2::3]}")
assert tilted.GetSpacing() == (0.5, 0.5, 2.0) and tilted.GetDirection()[2::3] == (0, 0, 1)
scaled = read([0, 2, 4, 6], [100] * 4, slopes=[1, 2, 3, 4])
print(f"slopes 1, 2, 3, 4: values {values(scaled)}")
assert values(scaled) == [100] * 4
PYTHON
