"""Projections from DICOM and calibrations: the camera that reading the image gives, and nothing assumed unsaid."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection
from xrayreg.io import (
    CaseFile,
    CaseView,
    calibrated_projection,
    camera_of,
    dicom_projection,
    geometry_of,
    projection_of_view,
    read_radiograph,
    write_case,
    write_image,
)

# Everything that moves the central ray on its way from the detector into the stored pixels.
DETECTOR = {
    "DetectorElementSpacing": [0.25, 0.25],
    "PhysicalDetectorSize": [24.0, 36.0],
    "FieldOfViewOrigin": [3.0, 7.0],
}
CAMERA = Camera(np.array([[2000.0, 0.0, 25.5], [0.0, 1990.0, 21.25], [0.0, 0.0, 1.0]]), 60, 40, np.eye(4), 0.4)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["YES", "NO"])
def test_the_camera_is_that_of_the_dicom_geometry(xray_dataset, rotation, flip) -> None:
    dataset = xray_dataset(
        ImagerPixelSpacing=[0.5, 0.4], FieldOfViewRotation=rotation, FieldOfViewHorizontalFlip=flip, **DETECTOR
    )
    geometry = geometry_of(dataset)
    projection, camera = dicom_projection(dataset), camera_of(geometry)
    found = projection.camera()
    np.testing.assert_allclose(found.matrix, camera.matrix, rtol=1e-14)
    assert (found.width, found.height) == (camera.width, camera.height)
    assert (projection.quarter_turns, projection.mirrored) == (geometry.quarter_turns, geometry.mirrored)
    # The numbers of the image as it is stored: as if nothing had to be turned.
    stored = projection.oriented(0, False, "test")
    assert stored.size == geometry.size
    np.testing.assert_allclose(stored.principal_px, geometry.principal_px, atol=1e-9)
    np.testing.assert_allclose(stored.pixel_mm[::-1], geometry.pixel_mm, rtol=1e-14)


def test_what_the_file_leaves_open_is_passed_on(xray_dataset) -> None:
    projection = dicom_projection(
        xray_dataset(PatientPosition="FFS", PositionerPrimaryAngle=10, PositionerSecondaryAngle=-5)
    )
    assert "FFS" in projection.origins["doubts"] and "mirrored" in projection.origins["orientation"]
    assert (projection.primary_deg, projection.secondary_deg, projection.sod_mm) == (10.0, -5.0, 700.0)
    assert projection.assumptions == ()


@pytest.mark.parametrize(
    ("missing", "assumed"),
    [
        (("DistanceSourceToDetector",), ("SID",)),
        (("ImagerPixelSpacing",), ("pixel pitch",)),
        (("DistanceSourceToDetector", "ImagerPixelSpacing"), ("SID", "pixel pitch")),
    ],
)
def test_missing_numbers_are_assumed_and_say_which_tag_is_missing(xray_dataset, missing, assumed) -> None:
    dataset = xray_dataset(**dict.fromkeys(missing))
    projection = dicom_projection(dataset)
    assert projection.assumptions == assumed
    assert all("has no (0018,11" in projection.origins[name] for name in assumed)
    projection.camera()
    assert not any(keyword in dataset for keyword in missing), "the file's own attributes stay"


def test_a_file_that_contradicts_itself_is_refused(xray_dataset) -> None:
    with pytest.raises(InputError, match="FieldOfViewRotation"):
        dicom_projection(xray_dataset(FieldOfViewRotation=45))


def test_frames_have_their_own_angles(write_xray) -> None:
    path = write_xray(
        np.arange(4800).reshape(2, 40, 60),
        PositionerPrimaryAngle=10,
        PositionerSecondaryAngle=0,
        PositionerPrimaryAngleIncrement=[0, 4],
        PositionerSecondaryAngleIncrement=[0, 1],
    )
    dataset = pydicom.dcmread(path)
    found = [dicom_projection(dataset, frame) for frame in (0, 1)]
    assert [(each.primary_deg, each.secondary_deg) for each in found] == [(10.0, 0.0), (14.0, 1.0)]


@pytest.mark.parametrize("mirrored", [None, False, True])
def test_the_view_of_a_case_has_the_camera_that_reading_it_gives(tmp_path, mirrored) -> None:
    write_image(tmp_path / "x.tif", np.arange(2400, dtype=np.uint16).reshape(40, 60))
    view = CaseView(tmp_path / "x.tif", CAMERA, "transmission", mirrored=mirrored)
    projection = projection_of_view(view, CAMERA, "case")
    radiograph = read_radiograph(tmp_path / "x.tif", camera=CAMERA, intensity="transmission", mirrored=mirrored)
    np.testing.assert_allclose(projection.camera().matrix, radiograph.camera.matrix, rtol=1e-14)
    assert projection.mirrored == radiograph.reflected and projection.intensity == "transmission"
    write_case(tmp_path / "case.json", CaseFile(tmp_path / "ct.nrrd", (view,)))
    # A case with one view needs no name; numbers in its text come back to the last digit.
    assert calibrated_projection(tmp_path / "case.json") == projection_of_view(view, CAMERA, "case.json")


def test_a_case_without_the_view_or_without_its_camera_is_refused(tmp_path) -> None:
    views = tuple(CaseView(tmp_path / f"{name}.tif", CAMERA) for name in ("a", "b"))
    write_case(tmp_path / "case.json", CaseFile(tmp_path / "ct.nrrd", views))
    assert calibrated_projection(tmp_path / "case.json", "b") == Projection.of_camera(CAMERA, "case.json")
    with pytest.raises(InputError, match="found a, b"):
        calibrated_projection(tmp_path / "case.json", "c")
    write_case(tmp_path / "case.json", CaseFile(tmp_path / "ct.nrrd", (CaseView(tmp_path / "a.dcm"),)))
    with pytest.raises(InputError, match='"camera" or "calibration"'):
        calibrated_projection(tmp_path / "case.json")
