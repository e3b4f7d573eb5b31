"""Where the geometry of an X-ray comes from: its DICOM file, a calibration, its spacing, or nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicoms import ANGIOGRAPHY, load_frames, write_xray
from inline_worker import new_worker
from nodes import add_xray, blob, run

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection, camera_from_carm
from xrayreg.io import CaseFile, CaseView, camera_of, geometry_of, read_dataset, write_case

COUNTS = np.clip(blob(), 0, 4095).astype(np.uint16)


@pytest.fixture
def projections(app: Any) -> Any:
    from XRayRegistrationLib.mrml import projections

    app.scene.Clear(0)
    return projections


def test_an_image_that_tells_nothing_gets_assumed_numbers_which_say_so(projections):
    found = run(projections.projectionSteps(new_worker(), add_xray()))
    assert found == Projection.assumed(120, 90)
    assert found.assumptions == ("SID", "pixel pitch")


@pytest.mark.parametrize("dpi", [72, 300])
def test_the_resolution_for_printing_is_not_taken_for_a_pixel_pitch(projections, dpi):
    node = add_xray()
    # ITK's reader makes this of a TIFF's dots per inch.
    node.SetSpacing(25.4 / dpi, 25.4 / dpi, 1.0)
    found = run(projections.projectionSteps(new_worker(), node))
    assert found.pixel_mm == Projection.assumed(120, 90).pixel_mm
    assert f"{dpi} dots per inch" in found.origins["doubts"]


def test_a_spacing_is_proposed_as_pitch_and_has_to_be_confirmed(projections):
    from XRayRegistrationLib.mrml.geometryTable import setRow

    node = add_xray()
    node.SetSpacing(0.388, 0.39, 1.0)
    found = run(projections.projectionSteps(new_worker(), node))
    assert found.pixel_mm == pytest.approx((0.388, 0.39))
    assert "pixel pitch" in found.assumptions
    assert "pixel pitch" not in setRow(found, "pitch", "0.388 x 0.39").assumptions


def test_a_dicom_file_tells_its_geometry(projections, app, tmp_path):
    uid = write_xray(tmp_path / "xa.dcm", COUNTS, **ANGIOGRAPHY)
    node, _browser = load_frames(app, tmp_path / "xa.dcm", uid)
    found = run(projections.projectionSteps(new_worker(), node))
    geometry = geometry_of(read_dataset(tmp_path / "xa.dcm"))
    expected, camera = camera_of(geometry), found.camera()
    np.testing.assert_allclose(camera.matrix, expected.matrix, rtol=1e-12)
    assert (camera.width, camera.height, camera.pixel_mm) == (120, 90, pytest.approx(0.3))
    assert (found.primary_deg, found.secondary_deg, found.sod_mm, found.mirrored) == (-30.0, 12.0, 800.0, True)
    assert found.origins["SID"] == "DICOM (0018,1110)"
    assert found.assumptions == ()


def test_a_dicom_file_that_was_opened_without_the_database_is_found_too(projections, tmp_path):
    import slicer

    write_xray(tmp_path / "xa.dcm", COUNTS, **ANGIOGRAPHY)
    found = run(projections.projectionSteps(new_worker(), slicer.util.loadVolume(str(tmp_path / "xa.dcm"))))
    assert found.sid_mm == 1200.0


def test_what_a_dicom_file_lacks_is_assumed_and_named(projections, app, tmp_path):
    told = {name: value for name, value in ANGIOGRAPHY.items() if name != "DistanceSourceToDetector"}
    uid = write_xray(tmp_path / "xa.dcm", COUNTS, **told)
    node, _browser = load_frames(app, tmp_path / "xa.dcm", uid)
    found = run(projections.projectionSteps(new_worker(), node))
    assert found.assumptions == ("SID",)
    assert "(0018,1110)" in found.origins["SID"]
    assert found.pixel_mm == pytest.approx((0.3, 0.4))


def test_a_dicom_file_that_is_not_the_images_is_not_used(projections, app, tmp_path):
    uid = write_xray(tmp_path / "xa.dcm", COUNTS, **ANGIOGRAPHY)
    app.dicom.files[uid] = str(tmp_path / "xa.dcm")
    node = add_xray(blob(60, 45))
    node.SetAttribute("DICOM.instanceUIDs", uid)
    found = run(projections.projectionSteps(new_worker(), node))
    assert found.size == (60, 45) and found.assumptions == ("SID", "pixel pitch")
    assert "120 x 90" in found.origins["doubts"]


def test_a_database_that_lost_its_file_leaves_assumed_numbers(projections):
    node = add_xray()
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert run(projections.projectionSteps(new_worker(), node)).assumptions == ("SID", "pixel pitch")


def test_each_frame_of_a_run_has_its_own_angles(projections, app, tmp_path):
    import slicer

    from XRayRegistrationLib.mrml import importing, rig

    increments = {"PositionerPrimaryAngleIncrement": [0, 5, 10], "PositionerSecondaryAngleIncrement": [0, 0, 1]}
    uid = write_xray(tmp_path / "run.dcm", np.stack([COUNTS, COUNTS // 2, COUNTS // 3]), **ANGIOGRAPHY, **increments)
    node, browser = load_frames(app, tmp_path / "run.dcm", uid)
    shown = run(importing.addXraySteps(new_worker(), rig.createRig(), node))
    for number, angles in enumerate([(-30.0, 12.0), (-25.0, 12.0), (-20.0, 13.0)]):
        browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        found = run(projections.projectionSteps(new_worker(), node))
        assert (found.primary_deg, found.secondary_deg) == angles
        run(projections.followFrameSteps(new_worker(), shown, shown.views[0]))
        assert (shown.views[0].projection.primary_deg, shown.views[0].projection.secondary_deg) == angles


@pytest.mark.parametrize("what", ["several slices", "nothing"])
def test_what_is_not_one_image_is_refused(projections, what):
    import slicer

    if what == "nothing":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "X")
    else:
        node = slicer.util.addVolumeFromArray(np.zeros((3, 8, 8), np.uint8), name="X")
    with pytest.raises(InputError, match="X-ray X: expected"):
        run(projections.projectionSteps(new_worker(), node))


CALIBRATION = """image size
120,90

camera matrix
2500,0,60.5
0,2480,44.25
0,0,1

rotation
1,0,0
0,1,0
0,0,1

translation
10
20
30
"""


def test_a_mayacam_calibration_replaces_the_numbers_and_says_where_they_are_from(projections, tmp_path):
    (tmp_path / "cal.txt").write_text(CALIBRATION)
    before = Projection.assumed(120, 90).changed("entered by hand", primary_deg=12.0, intensity="attenuation")
    found = run(projections.calibrationSteps(new_worker(), tmp_path / "cal.txt", before, "X"))
    assert found.camera().matrix.tolist() == [[2500, 0, 60.5], [0, 2480, 44.25], [0, 0, 1]]
    assert found.origins["central ray"] == "cal.txt" and found.assumptions == ()
    assert (found.primary_deg, found.intensity) == (12.0, "attenuation")


def test_a_calibration_for_another_size_or_a_broken_one_is_refused(projections, tmp_path):
    (tmp_path / "cal.txt").write_text(CALIBRATION)
    with pytest.raises(InputError, match="120 x 90"):
        run(projections.calibrationSteps(new_worker(), tmp_path / "cal.txt", Projection.assumed(64, 64), "X"))
    (tmp_path / "cal.txt").write_text(CALIBRATION[:60])
    with pytest.raises(InputError, match=r"cal.txt"):
        run(projections.calibrationSteps(new_worker(), tmp_path / "cal.txt", Projection.assumed(120, 90), "X"))


def test_the_view_of_a_case_is_found_by_its_images_name(projections, tmp_path):
    views = tuple(
        CaseView(Path(tmp_path, f"{name}.tif"), Camera.from_sid(sid, 0.3, 120, 90), "attenuation", mirrored=sid > 1000)
        for name, sid in (("front", 1000.0), ("side", 1100.0))
    )
    write_case(tmp_path / "case.json", CaseFile(Path(tmp_path, "ct.nrrd"), views))
    found = run(projections.calibrationSteps(new_worker(), tmp_path / "case.json", Projection.assumed(120, 90), "side"))
    assert found.sid_mm == pytest.approx(1100.0) and found.mirrored and found.intensity == "attenuation"
    with pytest.raises(InputError, match="front, side"):
        run(projections.calibrationSteps(new_worker(), tmp_path / "case.json", Projection.assumed(120, 90), "other"))


def test_a_calibration_with_the_pixel_pitch_closes_what_one_without_it_left_open(projections, tmp_path):
    open_scale = Camera(Camera.from_sid(1000.0, 0.3, 120, 90).matrix, 120, 90, np.eye(4))
    given = Projection.assumed(120, 90)
    for name, camera, isOpen in (("a", open_scale, True), ("b", Camera.from_sid(1200.0, 0.3, 120, 90), False)):
        write_case(
            tmp_path / f"{name}.json", CaseFile(tmp_path / "ct.nrrd", (CaseView(tmp_path / "front.tif", camera),))
        )
        given = run(projections.calibrationSteps(new_worker(), tmp_path / f"{name}.json", given, "front"))
        assert given.scale_is_open == isOpen and given.assumptions == ()
    assert given.sid_mm == pytest.approx(1200.0)


def rig_of(*given: Projection) -> Any:
    from XRayRegistrationLib.mrml import rig

    made = rig.createRig()
    for projection in given:
        made = rig.addView(made, add_xray(), projection)
    return made


KNOWN = replace(
    Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90), "DICOM"), origins={"SID": "x", "pixel pitch": "x"}
)


def test_views_stand_to_each_other_by_their_angles_about_one_isocentre(projections):
    angles = [(-30.0, 12.0, 800.0), (60.0, -5.0, 760.0)]
    shown = rig_of(*(replace(KNOWN, primary_deg=a, secondary_deg=b, sod_mm=sod) for a, b, sod in angles))
    projections.relate(shown)
    isocentre = np.array([5.0, -7.0, 11.0])
    poses = [camera_from_carm(*each, isocentre) for each in angles]
    place = [view.camera.camera_from_world for view in shown.views]
    np.testing.assert_array_equal(place[0], np.eye(4))
    # Whatever the isocentre: the way from one camera's frame to the other's is the same.
    np.testing.assert_allclose(place[1], poses[1] @ np.linalg.inv(poses[0]), atol=1e-10)
    assert projections.assumptions(shown) == ()


def test_views_whose_angles_nobody_knows_are_never_taken_for_known(projections):
    shown = rig_of(KNOWN, KNOWN)
    projections.relate(shown)
    first, second = (view.camera.camera_from_world for view in shown.views)
    assert np.linalg.inv(first)[:3, 2] @ np.linalg.inv(second)[:3, 2] == pytest.approx(0.0, abs=1e-12)
    assert projections.assumptions(shown) == ("how the views stand to each other",)


def test_a_calibrated_rig_is_left_alone_and_mixing_is_told(projections):
    place = np.eye(4)
    place[:3, 3] = 100.0, 0.0, 0.0
    calibrated = Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90, place), "case.json")
    both = rig_of(calibrated, calibrated)
    projections.relate(both)
    assert [view.projection for view in both.views] == [calibrated, calibrated]
    assert projections.assumptions(both) == ()
    mixed = rig_of(calibrated, replace(KNOWN, primary_deg=0.0, secondary_deg=0.0))
    projections.relate(mixed)
    assert projections.assumptions(mixed) == ("how the views stand to each other",)


def test_assumed_numbers_are_told_by_view(projections):
    shown = rig_of(Projection.assumed(120, 90))
    assert projections.assumptions(shown) == ("the SID of X-ray", "the pixel pitch of X-ray")
    shown = rig_of(Projection.assumed(120, 90).changed("entered by hand", sid_mm=1000.0))
    assert projections.assumptions(shown) == ("the pixel pitch of X-ray_1",)
