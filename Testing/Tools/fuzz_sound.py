"""Sound inputs from which the fuzz corpus is made: X-rays and CTs of every kind that the program reads, small."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fuzz_dicom import DEFLATED, EXPLICIT, IMPLICIT, RUN_LENGTH, Element, element, run_length

PIXELS = 64
CT_SHAPE = (12, 20, 24)
CT_SPACING = (2.0, 2.0, 3.0)
_XA, _DX, _CR, _ENHANCED_XA = (
    "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.12.1.1",
)
_CT, _ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"


def xray_pixels(frames: int = 1) -> NDArray[np.uint16]:
    """Counts (frames, rows, columns) of something dense and not symmetric, with noise."""
    rows, columns = np.mgrid[:PIXELS, :PIXELS]
    dense = np.exp(-((columns - 28) ** 2 + 2 * (rows - 36) ** 2) / 400) + 0.6 * (np.hypot(columns - 44, rows - 20) < 8)
    noise = np.random.default_rng(0).standard_normal((frames, PIXELS, PIXELS))
    return np.asarray(42000 * np.exp(-1.2 * dense) * (1 + 0.01 * noise)).astype(np.uint16)


def ct_values() -> NDArray[np.int16]:
    """Hounsfield units [k, j, i]: air, a body of soft tissue, bones in it, noise."""
    k, j, i = np.mgrid[: CT_SHAPE[0], : CT_SHAPE[1], : CT_SHAPE[2]]
    body = ((j - 9.5) / 8) ** 2 + ((i - 11.5) / 10) ** 2 < 1
    bone = np.hypot(j - 8, i - 9) < 3
    bone |= np.hypot(j - 12, i - 16) < 2 + 0.1 * k
    values = np.where(bone, 900, np.where(body, 40, -1000)) + np.random.default_rng(1).normal(0, 12, CT_SHAPE)
    return np.clip(np.rint(values), -1024, 3071).astype(np.int16)


def _image(storage: str, modality: str, pixels: NDArray) -> list[Element]:
    signed = int(pixels.dtype.kind == "i")
    return [
        element("SOPClassUID", storage),
        element("SOPInstanceUID", "1.2.826.0.1.1"),
        element("StudyDate", "20240229"),
        element("Modality", modality),
        element("PatientName", "Phantom^Small"),
        element("StudyInstanceUID", "1.2.826.0.1.2"),
        element("SeriesInstanceUID", "1.2.826.0.1.3"),
        element("InstanceNumber", "1"),
        element("SamplesPerPixel", 1),
        element("PhotometricInterpretation", "MONOCHROME2"),
        element("Rows", pixels.shape[-2]),
        element("Columns", pixels.shape[-1]),
        element("BitsAllocated", 16),
        element("BitsStored", 16),
        element("HighBit", 15),
        element("PixelRepresentation", signed),
        element("PixelData", pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()),
    ]


def _sorted(elements: list[Element]) -> list[Element]:
    return sorted(elements, key=lambda item: item.tag)


def _with(elements: list[Element], **values: Any) -> list[Element]:
    kept = {item.tag: item for item in elements}
    for keyword, value in values.items():
        made = element(keyword, value)
        kept[made.tag] = made
    return _sorted(list(kept.values()))


def _angiogram(**values: Any) -> list[Element]:
    return _with(
        _image(_XA, "XA", xray_pixels()),
        DistanceSourceToDetector="1000",
        DistanceSourceToPatient="700",
        ImagerPixelSpacing=["0.8", "0.8"],
        PixelIntensityRelationship="LIN",
        PositionerPrimaryAngle="30",
        PositionerSecondaryAngle="-10",
        PatientPosition="HFS",
        **values,
    )


def _shuttered() -> list[Element]:
    return _angiogram(
        ShutterShape=["RECTANGULAR", "CIRCULAR"],
        ShutterLeftVerticalEdge="3",
        ShutterRightVerticalEdge="61",
        ShutterUpperHorizontalEdge="4",
        ShutterLowerHorizontalEdge="60",
        CenterOfCircularShutter=["32", "32"],
        RadiusOfCircularShutter="40",
        CollimatorShape="POLYGONAL",
        VerticesOfThePolygonalCollimator=["1", "1", "1", "64", "64", "64", "64", "1"],
        FieldOfViewRotation="0",
        FieldOfViewHorizontalFlip="NO",
        FieldOfViewOrigin=["0", "0"],
        FieldOfViewShape="RECTANGLE",
        FieldOfViewDimensions=["51", "51"],
    )


def _tabled() -> list[Element]:
    # A modality LUT of the upper 11 bits, the way some devices turn stored values back into counts.
    entries = np.arange(2048, dtype="<u2") * 32
    table = [element("LUTDescriptor", b"\x00\x08\x00\x00\x10\x00"), element("LUTData", entries.tobytes())]
    pixels = (xray_pixels() // 32).tobytes()
    return _angiogram(ModalityLUTSequence=[table], BitsStored=12, HighBit=11, PixelData=pixels)


def _rescaled() -> list[Element]:
    return _angiogram(RescaleSlope="2", RescaleIntercept="10", RescaleType="US")


def _run() -> list[Element]:
    pixels = xray_pixels(3)
    return _angiogram(
        NumberOfFrames="3",
        PixelData=pixels.tobytes(),
        PositionerPrimaryAngleIncrement=["0", "5", "10"],
        PositionerSecondaryAngleIncrement=["0", "0", "0"],
        FrameTime="33",
    )


def _radiograph(storage: str, modality: str) -> list[Element]:
    return _with(
        _image(storage, modality, (65535 - xray_pixels()).astype(np.uint16)),
        PhotometricInterpretation="MONOCHROME1",
        DistanceSourceToDetector="1800",
        DistanceSourceToPatient="1500",
        PixelSpacing=["0.7", "0.7"],
        PixelSpacingCalibrationType="FIDUCIAL",
        PatientOrientation=["L", "F"],
        ViewPosition="AP",
        PixelIntensityRelationship="LIN",
        PixelIntensityRelationshipSign=-1,
        DetectorActiveShape="RECTANGLE",
    )


def _enhanced_angiogram() -> list[Element]:
    pixels = xray_pixels(2)
    shared = [
        element("XRayGeometrySequence", [[element("DistanceSourceToDetector", 1000.0)]]),
        element("PixelIntensityRelationshipLUTSequence", [[element("LUTFunction", "TO_LINEAR")]]),
        element("FieldOfViewSequence", [[element("FieldOfViewHorizontalFlip", "NO")]]),
    ]
    frames = [
        [
            element(
                "PositionerPositionSequence",
                [[element("PositionerPrimaryAngle", str(10 * n)), element("PositionerSecondaryAngle", "0")]],
            ),
            element("FrameDisplayShutterSequence", [[element("ShutterShape", "RECTANGULAR")]]),
        ]
        for n in range(2)
    ]
    return _with(
        _image(_ENHANCED_XA, "XA", pixels),
        NumberOfFrames="2",
        DistanceSourceToDetector="1000",
        DistanceSourceToIsocenter=700.0,
        ImagerPixelSpacing=["0.8", "0.8"],
        PixelIntensityRelationship="LIN",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def _run_length() -> list[Element]:
    pixels = xray_pixels()[0]
    # The byte planes of RLE come with the high bytes first.
    planes = [(pixels >> 8).astype(np.uint8).tobytes(), (pixels & 255).astype(np.uint8).tobytes()]
    elements = _angiogram(PixelData=run_length(planes))
    elements[-1].vr, elements[-1].fragments = "OB", True
    return elements


# Name: the elements, the transfer syntax, and which frame to ask for.
XRAYS: dict[str, tuple[Callable[[], list[Element]], str, int | None]] = {
    "angiogram": (_angiogram, EXPLICIT, None),
    "implicit": (_angiogram, IMPLICIT, None),
    "deflated": (_angiogram, DEFLATED, None),
    "run-length": (_run_length, RUN_LENGTH, None),
    "shuttered": (_shuttered, EXPLICIT, None),
    "modality LUT": (_tabled, EXPLICIT, None),
    "rescaled": (_rescaled, EXPLICIT, None),
    "run of images": (_run, EXPLICIT, 1),
    "digital radiograph": (lambda: _radiograph(_DX, "DX"), EXPLICIT, None),
    "computed radiograph": (lambda: _radiograph(_CR, "CR"), EXPLICIT, None),
    "enhanced angiogram": (_enhanced_angiogram, EXPLICIT, 1),
}


def ct_slices() -> list[list[Element]]:
    """The slices of a CT series, as elements."""
    made = []
    for k, values in enumerate((ct_values() + 1024).astype(np.uint16)):
        made.append(
            _with(
                _image(_CT, "CT", values),
                SOPInstanceUID=f"1.2.826.0.2.{k + 1}",
                InstanceNumber=str(k + 1),
                SeriesDescription="Small",
                FrameOfReferenceUID="1.2.826.0.1.4",
                ImagePositionPatient=["-20", "-20", str(CT_SPACING[2] * k)],
                ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
                PixelSpacing=[str(CT_SPACING[1]), str(CT_SPACING[0])],
                SliceThickness=str(CT_SPACING[2]),
                RescaleSlope="1",
                RescaleIntercept="-1024",
                RescaleType="HU",
                ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
                PatientPosition="HFS",
            )
        )
    return made


def ct_frames() -> list[Element]:
    """A CT in one multi-frame file, as elements."""
    values = (ct_values() + 1024).astype(np.uint16)
    measures = [element("PixelSpacing", ["2", "2"]), element("SliceThickness", "3")]
    rescale = [element("RescaleIntercept", "-1024"), element("RescaleSlope", "1"), element("RescaleType", "HU")]
    shared = [
        element("PlaneOrientationSequence", [[element("ImageOrientationPatient", ["1", "0", "0", "0", "1", "0"])]]),
        element("PixelMeasuresSequence", [measures]),
        element("PixelValueTransformationSequence", [rescale]),
    ]
    frames = [
        [
            element(
                "FrameContentSequence",
                [[element("StackID", "1"), element("InStackPositionNumber", k + 1)]],
            ),
            element("PlanePositionSequence", [[element("ImagePositionPatient", ["-20", "-20", str(3 * k)])]]),
        ]
        for k in range(len(values))
    ]
    return _with(
        _image(_ENHANCED_CT, "CT", values),
        NumberOfFrames=str(len(values)),
        FrameOfReferenceUID="1.2.826.0.1.4",
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def ct_nifti() -> bytes:
    """The bytes of a .nii file."""
    affine = np.diag([*CT_SPACING, 1.0])
    affine[:3, 3] = (-20, -18, 7)
    image = nibabel.Nifti1Image(ct_values().T, affine)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def ct_nifti_compressed() -> bytes:
    """The bytes of a .nii.gz file."""
    return gzip.compress(ct_nifti(), compresslevel=1, mtime=0)


def ct_nrrd() -> bytes:
    """The bytes of a .nrrd file with raw data."""
    k, j, i = CT_SHAPE
    lines = [
        "NRRD0004",
        "type: short",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {i} {j} {k}",
        "space directions: ({:g},0,0) (0,{:g},0) (0,0,{:g})".format(*CT_SPACING),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        "space origin: (-20,-20,5)",
    ]
    return "\n".join(lines).encode() + b"\n\n" + ct_values().astype("<i2").tobytes()


def ct_metaimage() -> bytes:
    """The bytes of an .mha file with raw data."""
    k, j, i = CT_SHAPE
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        "TransformMatrix = 1 0 0 0 1 0 0 0 1",
        "Offset = -20 -20 5",
        "CenterOfRotation = 0 0 0",
        "AnatomicalOrientation = RAI",
        "ElementSpacing = {:g} {:g} {:g}".format(*CT_SPACING),
        f"DimSize = {i} {j} {k}",
        "ElementType = MET_SHORT",
        "ElementDataFile = LOCAL",
    ]
    return "\n".join(lines).encode() + b"\n" + ct_values().astype("<i2").tobytes()
