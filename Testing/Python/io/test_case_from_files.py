"""A CT and X-rays make the case that a case.json would, or one line that says what is missing and how to give it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.checks import InputError
from xrayreg.io import case_from_files, case_of_files, case_text, open_case, parse_case, read_radiograph

# The field and the tone curve are other files' business; here every pixel is image and its own integral.
pytestmark = pytest.mark.usefixtures("plain_intensities")

RAMP = np.arange(2400, dtype=np.uint16).reshape(40, 60)
ANGLES = {"PositionerPrimaryAngle": 10.0, "PositionerSecondaryAngle": -5.0}


@pytest.fixture
def ct(tmp_path):
    values = np.arange(-500, 500, dtype=np.int16).reshape(10, 10, 10)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "ct.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray((values > 0).astype(np.uint8) + 1), str(tmp_path / "labels.nrrd"))
    return tmp_path / "ct.nrrd"


@pytest.fixture
def picture(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(RAMP), str(tmp_path / "image.tif"))
    return tmp_path / "image.tif"


def same_view(one, other) -> None:
    np.testing.assert_array_equal(one.recorded, other.recorded)
    np.testing.assert_allclose(one.camera.matrix, other.camera.matrix, rtol=1e-14)
    np.testing.assert_array_equal(one.camera.camera_from_world, other.camera.camera_from_world)
    assert (one.camera.pixel_mm, one.reflected, one.name) == (other.camera.pixel_mm, other.reflected, other.name)


def test_a_dicom_image_that_tells_its_geometry_needs_nothing_else(ct, write_xray):
    path = write_xray(RAMP)
    scene = open_case(case_of_files(ct, path))
    same_view(scene.views[0], read_radiograph(path, camera=None))
    assert scene.views[0].reflected and scene.initial is None


@pytest.mark.parametrize(
    ("missing", "given"),
    [
        (("DistanceSourceToDetector",), {"sid_mm": 1000.0}),
        (("ImagerPixelSpacing",), {"pixel_mm": 0.5}),
        (("DistanceSourceToDetector", "ImagerPixelSpacing"), {"sid_mm": 1000.0, "pixel_mm": 0.5}),
    ],
)
@pytest.mark.parametrize("flip", ["YES", "NO"])
def test_a_number_that_is_given_does_what_the_tag_would(ct, write_xray, missing, given, flip):
    # The central ray is off the middle, and the flip decides whether the image is mirrored.
    detector = {
        "DetectorElementSpacing": [0.25, 0.25],
        "PhysicalDetectorSize": [24.0, 36.0],
        "FieldOfViewOrigin": [3.0, 7.0],
        "FieldOfViewHorizontalFlip": flip,
    }
    whole = read_radiograph(write_xray(RAMP, "x.dcm", **detector), camera=None)
    path = write_xray(RAMP, "x.dcm", **detector, **dict.fromkeys(missing))
    with pytest.raises(InputError) as caught:
        case_of_files(ct, path)
    assert all(name in caught.value.remedy for name in given)
    same_view(open_case(case_of_files(ct, path, **given)).views[0], whole)


def test_a_number_in_place_of_the_files_counts(ct, write_xray):
    view = open_case(case_of_files(ct, write_xray(RAMP), sid_mm=1100.0)).views[0]
    assert view.camera.sid_mm == pytest.approx(1100.0) and view.camera.pixel_mm == 0.5


def test_whether_the_image_is_mirrored_may_be_said(ct, write_xray):
    path = write_xray(RAMP)
    for given in ({}, {"sid_mm": 1000.0}):
        case = case_of_files(ct, path, mirrored=False, **given)
        np.testing.assert_array_equal(open_case(case).views[0].recorded, RAMP)


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        # A case cannot say that an image is turned.
        ({"FieldOfViewRotation": 90}, "turned by"),
        # A pitch that was only assumed must not become one that counts.
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.5, 0.5]}, "PixelSpacing"),
        ({"FieldOfViewDimensions": [300, 300]}, "field of view"),
    ],
)
def test_what_a_given_number_does_not_settle_is_refused(ct, write_xray, attributes, word):
    with pytest.raises(InputError, match=word) as caught:
        case_of_files(ct, write_xray(RAMP, **attributes), sid_mm=1000.0)
    assert "case.json" in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "told"),
    [({}, "--sid and --pixel-mm"), ({"sid_mm": 1000.0}, "--pixel-mm"), ({"pixel_mm": 0.5}, "--sid")],
)
def test_a_picture_needs_both_numbers_and_is_refused_by_the_names_of_those_missing(ct, picture, given, told):
    with pytest.raises(InputError) as caught:
        case_of_files(ct, picture, **given)
    assert f"give {told} (in Python" in caught.value.remedy


def test_a_pictures_central_ray_is_in_its_middle(ct, picture):
    (view,) = open_case(case_of_files(ct, picture, sid_mm=1000.0, pixel_mm=0.5, intensity="attenuation")).views
    np.testing.assert_array_equal(view.camera.matrix, [[2000, 0, 29.5], [0, 2000, 19.5], [0, 0, 1]])
    assert "used as attenuation" in view.notes


@pytest.mark.parametrize("given", [{"sid_mm": 1e9, "pixel_mm": 0.5}, {"sid_mm": 0.0, "pixel_mm": 0.5}])
def test_numbers_of_no_machine_are_refused(ct, picture, write_xray, given):
    with pytest.raises(InputError):
        case_of_files(ct, picture, **given)
    with pytest.raises(InputError):
        case_of_files(ct, write_xray(RAMP), **given)


def test_several_xrays_stand_as_dicom_says_and_are_not_taken_for_measured(ct, write_xray):
    paths = [write_xray(RAMP + n, f"{n}.dcm", **{**ANGLES, "PositionerPrimaryAngle": 80.0 * n}) for n in range(2)]
    scene = open_case(case_of_files(ct, paths))
    assert [view.name for view in scene.views] == ["0", "1"]
    assert any("nominal angles" in sentence for sentence in scene.assumed)


def test_several_xrays_whose_relation_nobody_knows_are_refused(ct, picture, write_xray):
    placed = write_xray(RAMP, "placed.dcm", **ANGLES)
    refused = {
        "image.tif, which is no DICOM file": ([placed, picture], {}),
        "bare.dcm without the C-arm's angles": ([placed, write_xray(RAMP, "bare.dcm")], {}),
        "near.dcm without the distance": (
            [placed, write_xray(RAMP, "near.dcm", DistanceSourceToPatient=None, **ANGLES)],
            {},
        ),
        "--sid": ([placed, write_xray(RAMP, "other.dcm", **ANGLES)], {"sid_mm": 1000.0}),
    }
    for found, (xrays, given) in refused.items():
        with pytest.raises(InputError, match="several X-rays") as caught:
            case_of_files(ct, xrays, **given)
        assert found in caught.value.found and 'case.json with a "camera"' in caught.value.remedy


def test_files_that_are_not_there_are_named(ct, picture, tmp_path):
    for arguments in ((tmp_path / "none.nrrd", picture), (ct, tmp_path / "none.tif")):
        with pytest.raises(InputError, match=r"none\.(nrrd|tif)"):
            case_of_files(*arguments, sid_mm=1000.0, pixel_mm=0.5)
    with pytest.raises(InputError, match="at least one"):
        case_of_files(ct, [])


@pytest.mark.parametrize("structures", [[0], [1.5], ["1"], [True]])
def test_labels_are_numbers_above_0(ct, picture, tmp_path, structures):
    with pytest.raises(InputError, match="structures"):
        case_of_files(ct, picture, labels=tmp_path / "labels.nrrd", structures=structures, sid_mm=1000.0, pixel_mm=0.5)


def test_the_case_written_for_another_folder_names_the_same_files(ct, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pose = np.eye(4)
    pose[2, 3] = 700.0
    case = case_of_files(
        "ct.nrrd",
        "image.tif",
        labels="labels.nrrd",
        structures=np.array([2, 1]),
        series="3",
        sid_mm=1000.0,
        pixel_mm=0.5,
        mirrored=True,
        initial=pose,
    )
    # A folder that is reached by a link lies elsewhere than its name says.
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "far" / "away")
    (tmp_path / "out" / "case.json").write_text(case_text(case, (tmp_path / "out").resolve()), encoding="utf-8")
    again = parse_case(tmp_path / "out" / "case.json")
    assert again.volume.samefile(ct) and again.views[0].image.samefile(picture)
    assert again.labels is not None and again.labels.samefile(tmp_path / "labels.nrrd")
    assert (again.structures, again.series, again.views[0].mirrored) == ((2, 1), "3", True)
    np.testing.assert_array_equal(again.initial, pose)
    np.testing.assert_array_equal(again.views[0].camera.matrix, case.views[0].camera.matrix)


def test_every_number_that_can_be_missing_has_an_option():
    assert set(case_from_files._OPTIONS) == {"SID", "pixel pitch"}
