"""Numbers that no X-ray machine has are refused at the door; contradictions keep a pose from being accepted."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import dicom_projection, geometry_of, read_dataset, read_radiograph

pytestmark = pytest.mark.usefixtures("plain_intensities")

# (SID, pitch, rows and columns) of machines that exist.
MACHINES = {
    "mini C-arm": ("RF", 364.0, 0.1, 1000),
    "angiography": ("XA", 1200.0, 0.154, 1024),
    "zoomed to 11 cm": ("XA", 1200.0, 0.11, 1024),
    "image intensifier": ("XA", 1000.0, 0.4, 1024),
    "chest": ("DX", 1800.0, 0.143, 3000),
    "long leg": ("DX", 3000.0, 0.3, 4000),
    "stereoscopic in the room": ("DX", 3620.0, 0.4, 512),
    "portal image": ("RTIMAGE", 1500.0, 0.784, 512),
    "portal image, binned": ("RTIMAGE", 1000.0, 1.6, 256),
    "dental": ("IO", 320.0, 0.02, 1500),
    "mammography": ("MG", 650.0, 0.05, 3000),
    "a cut-out": ("XA", 1000.0, 0.2, 100),
}


@pytest.fixture
def geometry(write_xray):
    """The geometry that a file of one machine tells, with other attributes; the pixels are not needed."""

    def read(machine: str = "angiography", **attributes):
        modality, sid, pitch, size = MACHINES[machine]
        usual = {
            "Modality": modality,
            "DistanceSourceToDetector": sid,
            "DistanceSourceToPatient": 0.7 * sid,
            "ImagerPixelSpacing": [pitch, pitch],
            "Rows": size,
            "Columns": size,
        }
        return geometry_of(read_dataset(write_xray(np.zeros((2, 2)), **(usual | attributes))))

    return read


@pytest.mark.parametrize("machine", MACHINES)
def test_machines_that_exist_have_nothing_assumed(geometry, machine) -> None:
    found = geometry(machine)
    assert found.assumed == () and found.warnings == ()
    assert (found.sid_mm, found.pixel_mm[0]) == MACHINES[machine][1:3]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"DistanceSourceToDetector": 1.2}, r"DistanceSourceToDetector \(0018,1110\).*1\.2 mm \(metres\?\)"),
        ({"DistanceSourceToDetector": 120.0}, r"DistanceSourceToDetector.*120 mm \(centimetres\?\)"),
        ({"DistanceSourceToDetector": 1.2e6}, r"DistanceSourceToDetector.*micrometres"),
        ({"DistanceSourceToDetector": -1200.0}, r"DistanceSourceToDetector.*above 0"),
        ({"DistanceSourceToPatient": -700.0}, r"DistanceSourceToPatient.*above 0"),
        ({"ImagerPixelSpacing": [1e-9, 1e-9]}, r"pixel pitch.*1e-09 mm"),
        ({"ImagerPixelSpacing": [154.0, 154.0]}, r"pixel pitch.*154 mm \(micrometres\?\)"),
        ({"ImagerPixelSpacing": [-0.154, 0.154]}, r"ImagerPixelSpacing \(0018,1164\).*above 0"),
        ({"ImagerPixelSpacing": [0.0, 0.154]}, r"ImagerPixelSpacing \(0018,1164\).*above 0"),
        ({"ImagerPixelSpacing": [0.154, 1.54]}, r"pixel pitch.*differ by at most"),
        ({"ImagerPixelSpacing": [4.0, 4.0]}, r"pixel pitch.*at most 2500 mm, found 4096 mm"),
    ],
)
def test_what_no_machine_has_is_refused(geometry, attributes, words) -> None:
    with pytest.raises(InputError, match=words):
        geometry(**attributes)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"DistanceSourceToPatient": 1200.0}, "not below the SID"),
        ({"DistanceSourceToPatient": 7000.0}, "not below the SID"),
        ({"DistanceSourceToPatient": 0.7}, "too short for a patient (metres?)"),
        ({"DistanceSourceToPatient": 70.0}, "too short for a patient (centimetres?)"),
        ({"ImagerPixelSpacing": [0.0154, 0.0154]}, "only 15.8 mm wide (centimetres?)"),
        ({"PixelSpacing": [1.0, 1.0]}, "contradict each other"),
        ({"PixelSpacing": [0.01, 0.01]}, "contradict each other"),
        ({"FieldOfViewDimensions": [20]}, "one of the two is wrong"),
        ({"FieldOfViewDimensions": [2000, 2000]}, "one of the two is wrong"),
        ({"PhysicalDetectorSize": [30.0, 40.0]}, "but the detector has 40 mm"),
        ({"IntensifierSize": 23.0}, "but the image intensifier has 23 mm"),
        ({"EstimatedRadiographicMagnificationFactor": 3.0}, "contradicts SID / SOD"),
        ({"EstimatedRadiographicMagnificationFactor": 0.5}, "below 1"),
        (
            {
                "DetectorElementSpacing": [0.154, 0.154],
                "PhysicalDetectorSize": [300.0, 400.0],
                "FieldOfViewOrigin": [9000.0, 0.0],
            },
            "from the image's middle",
        ),
    ],
)
def test_contradictions_are_assumptions(geometry, attributes, words) -> None:
    found = geometry(**attributes)
    (sentence,) = found.assumed
    assert words in sentence and found.warnings == (sentence,)


def test_assumptions_reach_the_view_once_and_the_panel(write_xray) -> None:
    path = write_xray(np.arange(2400).reshape(40, 60), DistanceSourceToPatient=1200.0)
    view = read_radiograph(path, camera=None)
    (sentence,) = view.assumed
    assert "not below the SID" in sentence and sentence not in view.notes
    assert dicom_projection(read_dataset(path)).assumptions == ("SID",)


def test_with_a_camera_of_the_case_no_number_of_the_file_is_needed(write_xray) -> None:
    path = write_xray(
        np.arange(2400).reshape(40, 60), DistanceSourceToDetector=1.2, ImagerPixelSpacing=None, FieldOfViewRotation=33
    )
    view = read_radiograph(path, camera=Camera.from_sid(1000.0, 0.5, 60, 40))
    assert view.assumed == ()


@pytest.mark.parametrize("angle", [1e9, -1000.0])
def test_angles_that_no_c_arm_has_are_not_used(geometry, angle) -> None:
    found = geometry(PositionerPrimaryAngle=angle, PositionerSecondaryAngle=0.0)
    assert found.primary_deg is None and "no positions of a C-arm" in found.warnings[0]
