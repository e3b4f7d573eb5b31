"""X-rays from pictures, medical formats and DICOM: the stored numbers, masked and refused as told."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import read_radiograph

# The field and the tone curve are other files' business; here every pixel is image and its own integral.
pytestmark = pytest.mark.usefixtures("plain_intensities")

ROWS, COLUMNS = 40, 60
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
CAMERA = Camera.from_sid(1000.0, 0.5, COLUMNS, ROWS)


def write(path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    return path


@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.nrrd", "x.mha", "x.nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_format_gives_rows_and_columns_as_stored(tmp_path, name, dtype):
    pixels = (RAMP % 251).astype(dtype)
    view = read_radiograph(write(tmp_path / name, pixels), camera=CAMERA)
    assert view.recorded.dtype == np.float32
    np.testing.assert_array_equal(view.recorded, pixels)
    assert (view.name, view.reflected, view.camera) == ("x", False, CAMERA)
    assert view.notes == ("field", "used as auto")


def test_a_compressed_tiff_is_read(tmp_path):
    pixels = (RAMP % 251).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "x.tif", camera=CAMERA).recorded, pixels)


@pytest.mark.parametrize("name", ["x.nrrd", "x.nii"])
def test_one_slice_is_an_image_and_of_several_one_is_chosen(tmp_path, name):
    run = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]]).astype(np.uint16)
    single = read_radiograph(write(tmp_path / f"one-{name}", run[:1]), camera=CAMERA)
    np.testing.assert_array_equal(single.recorded, run[0])
    path = write(tmp_path / name, run)
    np.testing.assert_array_equal(read_radiograph(path, camera=CAMERA, frame=2).recorded, run[2])
    with pytest.raises(InputError, match=r'a "frame" for a run of images, found 3 frames .*; choose one from 0 to 2'):
        read_radiograph(path, camera=CAMERA)
    with pytest.raises(InputError, match=r"a number from 0 to 2, found 3"):
        read_radiograph(path, camera=CAMERA, frame=3)


def test_a_mirrored_image_is_reflected_once_and_its_camera_with_it(tmp_path):
    matrix = np.array([[2000.0, 0, 20.0], [0, 2000.0, 18.0], [0, 0, 1]])
    camera = Camera(matrix, COLUMNS, ROWS, np.eye(4))
    view = read_radiograph(write(tmp_path / "x.tif", RAMP.astype(np.uint16)), camera=camera, mirrored=True)
    np.testing.assert_array_equal(view.recorded, RAMP[:, ::-1])
    assert view.reflected and view.camera.matrix[0, 2] == COLUMNS - 1 - 20.0


def test_equal_channels_are_grey_and_others_are_refused(tmp_path):
    grey = (RAMP % 251).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "grey.png")
    view = read_radiograph(tmp_path / "grey.png", camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, grey)
    assert "A colour image with equal channels was read as grey." in view.notes
    Image.fromarray(np.stack([grey, grey, grey // 2], -1)).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match=r"X-ray colour: expected a grey image"):
        read_radiograph(tmp_path / "colour.png", camera=CAMERA)


def _with(value):
    pixels = RAMP.astype(np.float32)
    pixels[3, 4] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((ROWS, COLUMNS), 65535, np.uint16), "the constant value 65535"),
        (np.where(RAMP < 900, 0, 255).astype(np.uint8), "100.0% of the pixels black or white"),
        (_with(np.nan), "finite values"),
        (_with(np.inf), "finite values"),
    ],
    ids=["constant", "saturated", "NaN", "infinity"],
)
@pytest.mark.parametrize("name", ["x.nrrd", "x.nii", "x.tif"])
def test_pixels_that_show_nothing_are_refused(tmp_path, name, pixels, words):
    with pytest.raises(InputError, match=words):
        read_radiograph(write(tmp_path / name, pixels), camera=CAMERA)


def test_a_size_other_than_the_cameras_is_refused(tmp_path):
    path = write(tmp_path / "x.tif", RAMP.T.astype(np.uint16))
    with pytest.raises(InputError, match=r"the camera's size 60 x 40, found 40 x 60 pixels"):
        read_radiograph(path, camera=CAMERA)


def test_an_image_without_a_camera_says_what_to_add(tmp_path):
    with pytest.raises(InputError, match=r'camera of x: .*add "camera" with matrix, size and camera_from_world'):
        read_radiograph(write(tmp_path / "x.tif", RAMP.astype(np.uint16)), camera=None)


@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.dcm", "x.nii", "x"])
def test_a_file_that_is_no_image_is_one_clear_line(tmp_path, capfd, name):
    (tmp_path / name).write_bytes(b"not an image, but long enough to look at" * 20)
    with pytest.raises(InputError, match=r"^X-ray: ") as caught:
        read_radiograph(tmp_path / name, camera=CAMERA)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_unknown_intensity_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected auto, transmission, attenuation, found 'bright'"):
        read_radiograph(write(tmp_path / "x.tif", RAMP.astype(np.uint16)), camera=CAMERA, intensity="bright")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_photometric_interpretation_is_for_display_only(write_xray, photometric):
    path = write_xray(RAMP, PhotometricInterpretation=photometric)
    view = read_radiograph(path, camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, RAMP)
    assert not view.reflected and view.origins == {"camera": "given with the view"}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("frame", [None, 1])
def test_pixels_only_itk_can_decompress_are_the_same(write_xray, tmp_path, photometric, frame):
    stored = RAMP[None] if frame is None else np.stack([RAMP[::-1], RAMP])
    image = sitk.ReadImage(str(write_xray(stored)))
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(tmp_path / "jpeg.dcm"))
    writer.Execute(image)
    dataset = pydicom.dcmread(tmp_path / "jpeg.dcm")
    assert dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.PhotometricInterpretation = photometric
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -7
    dataset.save_as(tmp_path / "jpeg.dcm")
    view = read_radiograph(tmp_path / "jpeg.dcm", camera=CAMERA, frame=frame)
    np.testing.assert_array_equal(view.recorded, 2 * RAMP - 7)


@pytest.mark.parametrize(
    ("attributes", "kind", "negated"),
    [
        ({"PixelIntensityRelationship": "LIN"}, "transmission", False),
        ({"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}, "transmission", False),
        ({"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": -1}, "transmission", True),
        ({"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1}, "attenuation", False),
        ({"PixelIntensityRelationship": "LOG"}, "attenuation", True),
        ({"PixelIntensityRelationship": "DISP", "PixelIntensityRelationshipSign": 1}, "attenuation", True),
        ({"PixelIntensityRelationship": "DISP"}, "auto", False),
        ({}, "auto", False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "auto", False),
    ],
)
def test_the_intensity_relationship_decides_what_values_mean(write_xray, attributes, kind, negated):
    view = read_radiograph(write_xray(RAMP, **attributes), camera=CAMERA)
    assert f"used as {kind}" in view.notes
    np.testing.assert_array_equal(view.recorded, RAMP)
    np.testing.assert_array_equal(view.attenuation, RAMP.max() - RAMP if negated else RAMP)


def test_a_given_intensity_is_followed_whatever_dicom_says(write_xray):
    path = write_xray(RAMP, PixelIntensityRelationship="LOG")
    view = read_radiograph(path, camera=CAMERA, intensity="transmission")
    assert "used as transmission" in view.notes
    np.testing.assert_array_equal(view.attenuation, RAMP)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Camera.from_sid(1195.0, 0.5, COLUMNS, ROWS), "SID 1195 mm (the file: 1000)"),
        (Camera.from_sid(1000.0, 0.3, COLUMNS, ROWS), "pixel pitch 0.3 mm (the file: 0.5)"),
        (
            Camera(np.array([[1200.0, 0, 30], [0, 1200.0, 20], [0, 0, 1]]), COLUMNS, ROWS, np.eye(4)),
            "focal length 1200",
        ),
        (CAMERA, None),
        (Camera.from_sid(1004.0, 0.5, COLUMNS, ROWS), None),
    ],
    ids=["another SID", "another pitch", "another focal length", "the same", "rounded"],
)
def test_a_given_camera_that_the_file_contradicts_is_used_and_noted(write_xray, camera, words):
    view = read_radiograph(write_xray(RAMP), camera=camera)
    assert view.camera is camera
    noted = [note for note in view.notes if "contradicts" in note]
    assert len(noted) == (words is not None)
    assert words is None or words in noted[0]


def test_a_given_camera_stands_beside_a_file_that_has_no_geometry(write_xray):
    view = read_radiograph(write_xray(RAMP, DistanceSourceToDetector=None, ImagerPixelSpacing=None), camera=CAMERA)
    assert not any("contradicts" in note for note in view.notes)


def _rectangle(prefix):
    return {
        f"{prefix}Shape": "RECTANGULAR",
        f"{prefix}LeftVerticalEdge": 11,
        f"{prefix}RightVerticalEdge": 50,
        f"{prefix}UpperHorizontalEdge": 6,
        f"{prefix}LowerHorizontalEdge": 35,
    }


ROW, COLUMN = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]  # DICOM counts from 1
RECTANGLE = (COLUMN >= 11) & (COLUMN <= 50) & (ROW >= 6) & (ROW <= 35)
CIRCLE = (ROW - 20) ** 2 + (COLUMN - 25) ** 2 <= 15**2


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        (_rectangle("Shutter"), RECTANGLE),
        (_rectangle("Collimator"), RECTANGLE),
        (
            {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [20, 25], "RadiusOfCircularShutter": 15},
            CIRCLE,
        ),
        (
            {
                **_rectangle("Shutter"),
                "ShutterShape": ["RECTANGULAR", "CIRCULAR"],
                "CenterOfCircularShutter": [20, 25],
                "RadiusOfCircularShutter": 15,
            },
            RECTANGLE & CIRCLE,
        ),
        # A right triangle with its vertices between pixels.
        (
            {"CollimatorShape": "POLYGONAL", "VerticesOfThePolygonalCollimator": [1, 1, 41, 1, 41, 41]},
            (COLUMN - 1 < ROW - 1) & (ROW < 41),
        ),
    ],
    ids=["shutter", "collimator", "circle", "both", "polygon"],
)
def test_what_lies_behind_blades_is_masked_out_and_mirrored_with_the_image(write_xray, attributes, inside):
    as_stored = read_radiograph(write_xray(RAMP, **attributes), camera=CAMERA)
    np.testing.assert_array_equal(as_stored.valid, inside)
    assert any("behind shutter or collimator" in note for note in as_stored.notes)
    as_seen = read_radiograph(write_xray(RAMP, **attributes), camera=None)
    assert as_seen.reflected
    np.testing.assert_array_equal(as_seen.valid, inside[:, ::-1])


def test_blades_that_would_hide_everything_are_not_applied(write_xray):
    view = read_radiograph(
        write_xray(RAMP, ShutterShape="CIRCULAR", CenterOfCircularShutter=[900, 900], RadiusOfCircularShutter=1),
        camera=CAMERA,
    )
    assert view.valid.all() and any("not applied" in note for note in view.notes)


def test_the_case_overrides_what_dicom_says_of_mirrors(write_xray):
    path = write_xray(RAMP)
    assert read_radiograph(path, camera=None).reflected
    view = read_radiograph(path, camera=None, mirrored=False)
    assert not view.reflected and any('"mirrored": false' in note for note in view.notes)
    np.testing.assert_array_equal(view.recorded, RAMP)


def test_a_run_needs_a_frame_and_gives_that_frame(write_xray):
    path = write_xray(np.stack([RAMP, RAMP[::-1]]))
    np.testing.assert_array_equal(read_radiograph(path, camera=CAMERA, frame=1).recorded, RAMP[::-1])
    with pytest.raises(InputError, match=r"2 frames and none chosen"):
        read_radiograph(path, camera=CAMERA)


def test_dicom_with_damaged_pixels_is_refused(write_xray):
    path = write_xray(RAMP)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"X-ray: expected complete pixels"):
        read_radiograph(path, camera=CAMERA)
