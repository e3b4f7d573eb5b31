"""An asymmetric phantom, projected by hand, is found where the DICOM geometry says it is; every trap is told."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from xrayreg.checks import InputError
from xrayreg.io import camera_from_volume_of, camera_of, geometry_of, read_radiograph

# The field and the tone curve are other files' business; here every pixel is image and its own integral.
pytestmark = pytest.mark.usefixtures("plain_intensities")

SID, SOD = 1000.0, 700.0
ROWS, COLUMNS = 100, 140
PITCH = (1.5, 1.2)  # between rows, between columns [mm]
ISOCENTRE = np.array([20.0, -150.0, 400.0])
# No two of these lie symmetrically in any view: reflections and turns all show.
POINTS = ISOCENTRE + np.array([[0, 0, 0], [25, 5, 10], [-15, 30, 5], [8, -12, -25], [12, 14, 24]], dtype=float)
RIGHT, ANTERIOR, HEAD = np.eye(3)
LEFT, POSTERIOR, FEET = -np.eye(3)
# Angles, the way to the detector, and which way columns and rows of the detector run for somebody who looks towards
# the source (PS3.3 C.8.19.6.13.1.2) with the head up.
VIEWS = {
    "PA": (0.0, ANTERIOR, LEFT, FEET, "L\\F"),
    "AP": (180.0, POSTERIOR, RIGHT, FEET, "R\\F"),
    "left lateral": (90.0, LEFT, POSTERIOR, FEET, "P\\F"),
    "right lateral": (-90.0, RIGHT, ANTERIOR, FEET, "A\\F"),
}
# Markers are painted on whole pixels, so their centres are off by up to half a pixel along each axis.
PAINTED = 0.5 + 1e-6


def on_detector(points, towards, across, down, centre=((COLUMNS - 1) / 2, (ROWS - 1) / 2)):
    """Pixels (column, row) by similar triangles from the source through the points to the detector plane."""
    source = ISOCENTRE - SOD * towards
    rays = points - source
    hits = rays * (SID / (rays @ towards))[:, None]
    return np.stack([centre[0] + hits @ across / PITCH[1], centre[1] + hits @ down / PITCH[0]], axis=-1)


def painted(pixels, rows=ROWS, columns=COLUMNS):
    """A detector image with marker n, a 3 x 3 square of value 1000 (n + 2), around pixel n; 100 and 200 elsewhere."""
    image = np.full((rows, columns), 100)
    image[::2] = 200
    for n, (column, row) in enumerate(np.rint(pixels).astype(int)):
        image[row - 1 : row + 2, column - 1 : column + 2] = 1000 * (n + 2)
    return image


def markers(image):
    """Centres (column, row) of the markers in an image."""
    found = [np.argwhere(image == 1000 * (n + 2)) for n in range(len(POINTS))]
    assert all(len(pixels) == 9 for pixels in found)
    return np.array([pixels.mean(axis=0)[::-1] for pixels in found])


def projected(view, geometry):
    """Where the view's own camera sees the phantom by the C-arm's angles."""
    pose = camera_from_volume_of(geometry, ISOCENTRE)
    return view.camera.project(POINTS @ pose[:3, :3].T + pose[:3, 3])


@pytest.mark.parametrize("orientation", ["told", "not told"])
@pytest.mark.parametrize("view", VIEWS)
def test_the_phantom_lies_where_the_camera_sees_it(write_xray, view, orientation):
    primary, towards, across, down, words = VIEWS[view]
    path = write_xray(
        painted(on_detector(POINTS, towards, across, down)),
        ImagerPixelSpacing=list(PITCH),
        PositionerPrimaryAngle=primary,
        PositionerSecondaryAngle=0.0,
        PatientOrientation=words if orientation == "told" else None,
    )
    seen = read_radiograph(path, camera=None)
    expected = projected(seen, geometry_of(pydicom.dcmread(path)))
    assert np.abs(markers(seen.recorded) - expected).max() <= PAINTED
    assert seen.reflected
    assert any("mirrored" in note for note in seen.notes)


@pytest.mark.parametrize("view", VIEWS)
def test_an_image_stored_as_seen_from_the_source_is_not_reflected(write_xray, view):
    primary, towards, across, down, _ = VIEWS[view]
    words = {"PA": "R\\F", "AP": "L\\F", "left lateral": "A\\F", "right lateral": "P\\F"}[view]
    path = write_xray(
        painted(on_detector(POINTS, towards, -across, down)),
        ImagerPixelSpacing=list(PITCH),
        PositionerPrimaryAngle=primary,
        PositionerSecondaryAngle=0.0,
        PatientOrientation=words,
    )
    seen = read_radiograph(path, camera=None)
    assert not seen.reflected
    assert np.abs(markers(seen.recorded) - projected(seen, geometry_of(pydicom.dcmread(path)))).max() <= PAINTED


@pytest.mark.parametrize("orientation", ["told", "not told"])
@pytest.mark.parametrize("flip", ["NO", "YES"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_readout_turns_flips_and_crops_are_undone_for_pixels_and_central_ray(write_xray, rotation, flip, orientation):
    _, towards, across, down, _ = VIEWS["PA"]
    # A detector of 240 x 300 elements at 0.6 x 0.6 mm; the field starts at row 20, column 30; 2.5 x 2 binning.
    centre = ((300 / 2 - 30) * 0.6 / PITCH[1] - 0.5, (240 / 2 - 20) * 0.6 / PITCH[0] - 0.5)
    stored = np.rot90(painted(on_detector(POINTS, towards, across, down, centre)), -rotation // 90)
    words = ["L", "F"]
    opposite = dict(zip("LRHF", "RLFH", strict=True))
    for _ in range(rotation // 90):
        # Turned clockwise, what ran up the image runs along it, and what ran along it runs down.
        words = [opposite[words[1]], words[0]]
    if flip == "YES":
        stored, words = stored[:, ::-1], [opposite[words[0]], words[1]]
    path = write_xray(
        stored,
        ImagerPixelSpacing=list(PITCH if rotation % 180 == 0 else PITCH[::-1]),
        PositionerPrimaryAngle=0.0,
        PositionerSecondaryAngle=0.0,
        PatientOrientation=words if orientation == "told" else None,
        DetectorElementSpacing=[0.6, 0.6],
        DetectorActiveDimensions=[240 * 0.6, 300 * 0.6],
        FieldOfViewOrigin=[20, 30],
        FieldOfViewRotation=rotation,
        FieldOfViewHorizontalFlip=flip,
    )
    seen = read_radiograph(path, camera=None)
    assert seen.recorded.shape == (ROWS, COLUMNS)
    assert seen.reflected == (flip == "NO")
    assert np.abs(markers(seen.recorded) - projected(seen, geometry_of(pydicom.dcmread(path)))).max() <= PAINTED


def test_the_projected_isocentre_of_an_enhanced_image_is_the_central_ray(write_xray):
    _, towards, across, down, _ = VIEWS["PA"]
    shared, frame, other = Dataset(), Dataset(), Dataset()
    geometry, position, pixels, field = Dataset(), Dataset(), Dataset(), Dataset()
    geometry.DistanceSourceToDetector, geometry.DistanceSourceToIsocenter = SID, SOD
    shared.XRayGeometrySequence = [geometry]
    pixels.ImagerPixelSpacing, pixels.PixelIntensityRelationship = list(PITCH), "LIN"
    shared.FramePixelDataPropertiesSequence = [pixels]
    field.FieldOfViewOrigin, field.FieldOfViewRotation, field.FieldOfViewHorizontalFlip = [0, 0], 0, "NO"
    shared.FieldOfViewSequence = [field]
    position.PositionerPrimaryAngle, position.PositionerSecondaryAngle = 0.0, 0.0
    frame.PositionerPositionSequence = [position]
    wrong = Dataset()
    wrong.PositionerPrimaryAngle, wrong.PositionerSecondaryAngle = 45.0, 10.0
    other.PositionerPositionSequence = [wrong]
    image = painted(on_detector(POINTS, towards, across, down, centre=(72.0, 45.0)))
    path = write_xray(
        np.stack([image[::-1], image]),
        DistanceSourceToDetector=None,
        DistanceSourceToPatient=None,
        ImagerPixelSpacing=None,
        DetectorElementSpacing=[0.3, 0.3],
        # Counted between element centres: pixel 45 of 1.5 mm is element (45 + 0.5) * 5 - 0.5.
        PositionOfIsocenterProjection=[227.0, 289.5],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[other, frame],
    )
    seen = read_radiograph(path, camera=None, frame=1)
    told = geometry_of(pydicom.dcmread(path), 1)
    assert (told.sid_mm, told.sod_mm, told.primary_deg, told.secondary_deg) == (SID, SOD, 0.0, 0.0)
    assert told.origins["SID"] == "DICOM (0018,1110), shared by all frames"
    assert np.abs(markers(seen.recorded) - projected(seen, told)).max() <= PAINTED
    assert geometry_of(pydicom.dcmread(path), 0).primary_deg == 45.0
    assert "used as transmission" in seen.notes


@pytest.mark.parametrize(("steps", "angle"), [([2.0], 36.0), ([0.0, 1.5, 3.0, 5.5], 35.5), (None, 30.0)])
def test_a_rotation_run_has_angles_of_its_own_for_each_frame(xray_dataset, steps, angle):
    dataset = xray_dataset(
        PositionerPrimaryAngle=30.0,
        PositionerSecondaryAngle=-5.0,
        PositionerPrimaryAngleIncrement=steps,
    )
    told = geometry_of(dataset, 3)
    assert (told.primary_deg, told.secondary_deg) == (angle, -5.0)


def test_the_camera_has_its_focal_length_from_sid_and_pitch(xray_dataset):
    camera = camera_of(geometry_of(xray_dataset(ImagerPixelSpacing=[0.5, 0.4])))
    np.testing.assert_allclose(camera.matrix, [[2500, 0, 29.5], [0, 2000, 19.5], [0, 0, 1]])
    assert (camera.width, camera.height, camera.pixel_mm, camera.sid_mm) == (60, 40, 0.4, pytest.approx(SID))
    np.testing.assert_array_equal(camera.camera_from_world, np.eye(4))


def test_every_number_names_its_origin(xray_dataset):
    told = geometry_of(xray_dataset(PositionerPrimaryAngle=1.0, PositionerSecondaryAngle=2.0, PatientPosition="HFS"))
    assert told.origins == {
        "SID": "DICOM (0018,1110)",
        "SOD": "DICOM (0018,1111)",
        "pixel pitch": "DICOM (0018,1164)",
        "angles": "DICOM (0018,1510)",
        "central ray": "the image's middle",
    }
    assert told.warnings == ()
    assert (told.patient_position, told.modality, told.photometric) == ("HFS", "XA", "MONOCHROME2")


@pytest.mark.parametrize(
    ("attributes", "pitch", "words"),
    [
        ({"PixelSpacing": [0.35, 0.35]}, 0.5, "spacing at the object (1.43 times magnified)"),
        ({"PixelSpacing": [0.1, 0.1]}, 0.5, "contradict each other"),
        ({"PixelSpacing": [0.5, 0.5]}, 0.5, None),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.5, 0.5]}, 0.5, "taken as the pitch"),
        (
            {
                "ImagerPixelSpacing": None,
                "PixelSpacing": [0.35, 0.35],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            0.5,
            "calibrated at the object (GEOMETRY); times SID / SOD 1.429",
        ),
        (
            {
                "ImagerPixelSpacing": None,
                "PixelSpacing": [0.4, 0.4],
                "PixelSpacingCalibrationType": "FIDUCIAL",
                "DistanceSourceToPatient": None,
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            0.5,
            "times EstimatedRadiographicMagnificationFactor",
        ),
        ({"ImagerPixelSpacing": None, "FieldOfViewDimensions": [20, 30]}, 0.5, "guessed from the size of the field"),
        ({"ImagerPixelSpacing": None, "FieldOfViewDimensions": [30]}, 0.5, "guessed from the size of the field"),
        ({"ImagerPixelSpacing": None, "IntensifierSize": 30.0}, 0.5, "guessed from the diameter"),
        ({"ImagerPixelSpacing": [0.0, 0.0], "IntensifierSize": 30.0}, 0.5, "guessed from the diameter"),
    ],
)
def test_the_pitch_at_the_detector_is_found_and_doubts_are_told(xray_dataset, attributes, pitch, words):
    told = geometry_of(xray_dataset(**attributes))
    assert told.pixel_mm == pytest.approx((pitch, pitch))
    assert [words in warning for warning in told.warnings] == ([] if words is None else [True])


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"DistanceSourceToDetector": None}, r"DistanceSourceToDetector \(0018,1110\).*\"camera\" in case.json"),
        ({"DistanceSourceToDetector": 0.0}, r"DistanceSourceToDetector \(0018,1110\)"),
        ({"ImagerPixelSpacing": None}, r"ImagerPixelSpacing \(0018,1164\).*\"camera\" in case.json"),
        (
            {
                "ImagerPixelSpacing": None,
                "PixelSpacing": [0.4, 0.4],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "DistanceSourceToPatient": None,
            },
            r"DistanceSourceToPatient \(0018,1111\).*ImagerPixelSpacing \(0018,1164\)",
        ),
        ({"FieldOfViewRotation": 45.0}, r"FieldOfViewRotation \(0018,7032\): expected a multiple of 90 degrees"),
    ],
)
def test_what_is_missing_is_named_with_its_tag_and_the_way_out(xray_dataset, attributes, words):
    with pytest.raises(InputError, match=words):
        geometry_of(xray_dataset(**attributes))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"EstimatedRadiographicMagnificationFactor": 1.2}, "contradicts SID / SOD 1.429"),
        ({"PatientPosition": "FFP"}, "The patient lay FFP"),
        ({"DetectorPrimaryAngle": 3.0}, "The detector is tilted"),
        ({"DistanceSourceToPatient": 1200.0}, "is not below the SID"),
    ],
)
def test_contradictions_are_told(xray_dataset, attributes, words):
    (warning,) = geometry_of(xray_dataset(**attributes)).warnings
    assert words in warning


def test_angles_or_distance_that_are_missing_give_no_pose(xray_dataset):
    with pytest.raises(InputError, match=r"PositionerPrimaryAngle \(0018,1510\)"):
        camera_from_volume_of(geometry_of(xray_dataset()), ISOCENTRE)
    turned = xray_dataset(PositionerPrimaryAngle=0.0, PositionerSecondaryAngle=0.0, DistanceSourceToPatient=None)
    with pytest.raises(InputError, match=r"DistanceSourceToPatient \(0018,1111\)"):
        camera_from_volume_of(geometry_of(turned), ISOCENTRE)


@pytest.mark.parametrize(
    ("view", "words", "mirrored"),
    [("AP", "L\\F", False), ("PA", "L\\F", True), ("LL", "A\\F", False), ("LL", "P\\F", True), ("AP", None, False)],
)
def test_a_radiograph_is_judged_by_its_view_position(xray_dataset, view, words, mirrored):
    told = geometry_of(xray_dataset(Modality="DX", ViewPosition=view, PatientOrientation=words))
    assert told.mirrored == mirrored


def test_an_orientation_that_does_not_fit_the_beam_is_not_followed(xray_dataset):
    told = geometry_of(
        xray_dataset(PositionerPrimaryAngle=90.0, PositionerSecondaryAngle=0.0, PatientOrientation="L\\F")
    )
    assert told.mirrored  # DICOM's custom
    assert any("does not fit the beam" in note for note in told.notes)


@pytest.mark.parametrize("angles", [(45.0, 0.0), (-45.0, 0.0), (30.0, 30.0), (135.0, 0.0)])
def test_oblique_beams_are_judged_by_the_nearest_letters(xray_dataset, angles):
    across = "R" if abs(angles[0]) > 90 else "L"
    told = geometry_of(
        xray_dataset(
            PositionerPrimaryAngle=angles[0], PositionerSecondaryAngle=angles[1], PatientOrientation=f"{across}\\F"
        )
    )
    assert (told.mirrored, told.quarter_turns) == (True, 0)
    assert not any("does not fit" in note for note in told.notes)
