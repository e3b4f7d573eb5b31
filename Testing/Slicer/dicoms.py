"""DICOM X-rays as hospitals send them, and how Slicer brings them into a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ANGIOGRAPHY = {
    "DistanceSourceToDetector": "1200",
    "DistanceSourceToPatient": "800",
    "ImagerPixelSpacing": [0.4, 0.3],
    "PositionerPrimaryAngle": "-30",
    "PositionerSecondaryAngle": "12",
}


def write_xray(path: Path, pixels: np.ndarray, photometric: str = "MONOCHROME2", **attributes: Any) -> str:
    """Write an angiogram, (height, width) or (frames, height, width) unsigned; returns its instance UID."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = XRayAngiographicImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Phantom", "0", "XA"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, photometric, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


def load_frames(app: Any, path: Path, uid: str) -> tuple[Any, Any]:
    """The proxy volume and browser of a run of images, made as the DICOM module's image sequence plugin makes them.

    It reads the file with ITK's GDCM reader, keeps each frame as a volume of one slice with directions (-1, -1, 1) and
    notes the instance UID on it.
    """
    import slicer
    import vtk

    app.dicom.files[uid] = str(path)
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(str(path))
    reader.AddFileName(str(path))
    reader.SetSingleFile(True)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    reader.SetDICOMImageIOApproachToGDCM()
    reader.Update()
    whole = reader.GetOutput()
    frame = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    frame.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1.0, 1.0, 1.0])))
    frame.SetAttribute("DICOM.instanceUIDs", uid)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "run")
    extent = whole.GetExtent()
    for number in range(extent[5] - extent[4] + 1):
        clip = vtk.vtkImageClip()
        clip.SetInputData(whole)
        clip.SetOutputWholeExtent(*extent[:4], extent[4] + number, extent[4] + number)
        clip.ClipDataOn()
        clip.Update()
        image = clip.GetOutput()
        image.SetExtent(*extent[:4], 0, 0)
        image.SetOrigin(0.0, 0.0, 0.0)
        image.SetSpacing(1.0, 1.0, 1.0)
        frame.SetAndObserveImageData(image)
        sequence.SetDataNodeAtValue(frame, str(number))
    slicer.mrmlScene.RemoveNode(frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence), browser
