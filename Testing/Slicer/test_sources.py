"""X-ray nodes as radiographs: the stored pixels, upright, with what their DICOM file says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import ANGIOGRAPHY, load_frames, write_xray
from inline_worker import radiograph_of
from nodes import add_xray, blob, run

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection

KNOWN = Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90), "test")


@pytest.fixture
def inputs(app: Any) -> Any:
    from XRayRegistrationLib.mrml.backend import Inputs

    app.scene.Clear(0)
    return Inputs()


def view_of(source: Any, projection: Projection = KNOWN) -> Any:
    from XRayRegistrationLib.mrml import rig

    return rig.addView(rig.createRig(), source, projection).views[-1]


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii", ".dcm"])
def test_slicers_readers_keep_the_first_row_at_the_top(inputs, app, tmp_path, ending):
    """Whatever a format says about directions: xrayreg reads the same picture from the file as from the scene."""
    import slicer

    from XRayRegistrationLib.mrml import sources

    picture, path = np.clip(blob(), 0, 4095).astype(np.uint16), tmp_path / f"xray{ending}"
    if ending == ".dcm":
        node, _browser = load_frames(app, path, write_xray(path, picture, **ANGIOGRAPHY))
    else:
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(path))
        node = slicer.util.loadVolume(str(path))
    np.testing.assert_array_equal(sources.storedPixels(node), picture)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_xray_is_turned_and_mirrored_as_its_geometry_tells(inputs, turns, mirrored):
    picture = blob()
    view = view_of(add_xray(picture), KNOWN.oriented(turns, mirrored, "test"))
    radiograph = radiograph_of(inputs, view)
    expected = np.rot90(picture, turns)
    np.testing.assert_array_equal(radiograph.recorded, expected[:, ::-1] if mirrored else expected)
    np.testing.assert_allclose(radiograph.camera.matrix, view.camera.matrix)
    assert radiograph.reflected == mirrored


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_every_kind_of_pixel_is_read(inputs, kind):
    picture = np.rint(blob() / 10).astype(kind)
    radiograph = radiograph_of(inputs, view_of(add_xray(picture)))
    np.testing.assert_array_equal(radiograph.recorded, picture)


def test_a_colour_picture_with_equal_channels_is_read_as_grey_and_others_are_refused(inputs):
    grey = (blob() / 6).astype(np.uint8)
    radiograph = radiograph_of(inputs, view_of(add_xray(np.stack([grey] * 3, -1))))
    np.testing.assert_array_equal(radiograph.recorded, grey)
    with pytest.raises(InputError, match="X-ray photo: expected a grey image"):
        radiograph_of(inputs, view_of(add_xray(np.stack([grey, grey, grey // 2], -1), "photo")))


@pytest.mark.parametrize(
    ("intensity", "dark"), [("transmission", False), ("attenuation", True)], ids=["bright air", "bright bone"]
)
def test_grey_values_are_read_as_the_geometry_table_says(inputs, intensity, dark):
    radiograph = radiograph_of(inputs, view_of(add_xray(blob()), replace(KNOWN, intensity=intensity)))
    relation = np.corrcoef(radiograph.attenuation.ravel(), radiograph.recorded.ravel())[0, 1]
    assert (relation > 0) == dark


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_meaning_of_dicom_grey_values_survives_slicers_reader(inputs, app, tmp_path, photometric, sign):
    """ITK turns MONOCHROME1 over for display; what the file says of its numbers is said of those in the file."""
    air_is_bright = np.clip(3 * blob(), 0, 4095).astype(np.uint16)
    stored = air_is_bright if sign > 0 else 4095 - air_is_bright
    told = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": sign, **ANGIOGRAPHY}
    path = tmp_path / "xa.dcm"
    node, _browser = load_frames(app, path, write_xray(path, stored, photometric, **told))
    view = view_of(node, replace(KNOWN, mirrored=False))
    radiograph = radiograph_of(inputs, view)
    # Bright is dense, whichever way the numbers ran.
    assert np.corrcoef(radiograph.attenuation.ravel(), air_is_bright.ravel())[0, 1] < -0.9
    np.testing.assert_array_equal(radiograph.recorded, stored)


def test_what_somebody_did_to_a_dicom_image_in_slicer_counts(inputs, app, tmp_path):
    import slicer

    picture, path = np.clip(blob(), 0, 4095).astype(np.uint16), tmp_path / "xa.dcm"
    node, _browser = load_frames(app, path, write_xray(path, picture, **ANGIOGRAPHY))
    slicer.util.arrayFromVolume(node)[0, 20:40] = 5
    slicer.util.arrayFromVolumeModified(node)
    radiograph = radiograph_of(inputs, view_of(node, KNOWN))
    assert (radiograph.recorded[20:40] == 5).all()


def test_blades_that_dicom_tells_of_are_left_out(inputs, app, tmp_path):
    picture, path = np.clip(blob(), 0, 4095).astype(np.uint16), tmp_path / "xa.dcm"
    blades = {
        "ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 20, "ShutterRightVerticalEdge": 120,
        "ShutterUpperHorizontalEdge": 1, "ShutterLowerHorizontalEdge": 90,
    }  # fmt: skip
    node, _browser = load_frames(app, path, write_xray(path, picture, **ANGIOGRAPHY, **blades))
    radiograph = radiograph_of(inputs, view_of(node, KNOWN))
    # Columns are counted from 1 in DICOM, and the edge belongs to the image.
    assert not radiograph.valid[:, :19].any() and radiograph.valid[:, 19:].all()


def test_each_frame_of_a_run_is_its_own_image(inputs, app, tmp_path):
    import slicer

    frames = np.clip(np.stack([blob(), blob()[::-1], blob()[:, ::-1]]), 0, 4095).astype(np.uint16)
    path = tmp_path / "run.dcm"
    node, browser = load_frames(app, path, write_xray(path, frames, **ANGIOGRAPHY))
    view = view_of(node, KNOWN)
    for number in (1, 0, 2):
        browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        np.testing.assert_array_equal(radiograph_of(inputs, view).recorded, frames[number])


def test_an_xray_is_converted_once_until_its_pixels_or_its_geometry_change(inputs):
    import slicer

    from XRayRegistrationLib.mrml import rig

    source = add_xray()
    view = view_of(source)
    first = radiograph_of(inputs, view)
    assert radiograph_of(inputs, view) is first
    slicer.util.arrayFromVolume(source)[0, 40, 40] += 5
    slicer.util.arrayFromVolumeModified(source)
    second = radiograph_of(inputs, view)
    assert second is not first
    rig.setProjection(view, replace(KNOWN, sid_mm=1100.0))
    third = radiograph_of(inputs, view)
    assert third.camera.matrix[0, 0] == pytest.approx(1100 / 0.3)
    # Its pixels were not sent and read once more.
    assert third.recorded is second.recorded
    rig.setProjection(view, replace(KNOWN, intensity="attenuation"))
    assert radiograph_of(inputs, view).recorded is not second.recorded


def test_the_picture_on_the_detector_shows_the_upright_image(inputs):
    import slicer

    view = view_of(add_xray(), KNOWN.oriented(1, True, "test"))
    run(inputs.pictureSteps(view))
    radiograph = radiograph_of(inputs, view)
    shown = slicer.util.arrayFromVolume(view.picture)[0]
    assert shown.shape == radiograph.recorded.shape and shown.dtype == np.uint8
    assert np.corrcoef(shown.ravel(), radiograph.recorded.ravel())[0, 1] > 0.8


def test_a_picture_that_went_black_with_another_size_is_shown_again(inputs):
    import slicer

    from XRayRegistrationLib.mrml import rig

    view = view_of(add_xray())
    run(inputs.pictureSteps(view))
    shown = slicer.util.arrayFromVolume(view.picture).copy()
    for turns in (1, 0):
        rig.setProjection(view, view.projection.oriented(turns, False, "test"))
    assert not slicer.util.arrayFromVolume(view.picture).any()
    run(inputs.pictureSteps(view))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(view.picture), shown)


def test_a_geometry_that_is_corrected_while_the_image_is_read_keeps_its_own_size(inputs):
    import slicer

    from XRayRegistrationLib.mrml import rig

    view = view_of(add_xray())
    steps = inputs.pictureSteps(view)
    next(steps)
    rig.setProjection(view, view.projection.oriented(1, False, "test"))
    run(steps)
    assert slicer.util.arrayFromVolume(view.picture).shape == (1, 120, 90)
    run(inputs.pictureSteps(view))
    assert slicer.util.arrayFromVolume(view.picture).any()


def test_an_xray_that_was_removed_is_told_from_one_that_is_wrong(inputs, app):
    source = add_xray()
    view = view_of(source)
    app.scene.RemoveNode(source)
    with pytest.raises(InputError, match="from which it was removed"):
        radiograph_of(inputs, view)
    with pytest.raises(InputError, match="expected the camera's size 120 x 90"):
        radiograph_of(inputs, view_of(add_xray(blob(60, 45))))
    with pytest.raises(InputError, match="constant value"):
        radiograph_of(inputs, view_of(add_xray(np.zeros((90, 120), np.uint8))))
