"""Cases and calibrations brought into the scene: what xrayreg reads from the file comes back from the nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_files import POSE, cameras, same, write
from dicoms import ANGIOGRAPHY, write_xray
from inline_worker import new_inputs, new_worker, scene_of
from nodes import RAS_FROM_INDEX, SHAPE, add_xray, blob, count, new_parameters, run

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import CaseView, read_case

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def importing(app: Any) -> Any:
    from XRayRegistrationLib.mrml import importing

    app.scene.Clear(0)
    return importing


def imported(importing: Any, path: Path) -> tuple[Any, Any, Any]:
    """Parameters, rig and the scene that the nodes give."""
    from XRayRegistrationLib.mrml import backend

    parameters = new_parameters()
    run(importing.importCaseSteps(new_inputs(), parameters, path))
    shown = backend.requireRig(parameters)
    return parameters, shown, scene_of(backend.Inputs(), parameters)


def test_the_nodes_of_a_case_give_the_scene_that_its_file_gives(importing, tmp_path):
    path = write(tmp_path)
    parameters, shown, scene = imported(importing, path)
    same(scene, read_case(path))
    assert scene.volume.label_names == {1: "radius", 2: "ulna"} and scene.structures == (2,)
    assert parameters.volume.GetName() == "ct" and parameters.segmentation.GetName() == "bones"
    assert [view.source.GetName() for view in shown.views] == ["front", "side"]
    assert parameters.activeView == 0


def test_the_images_are_kept_as_they_are_stored(importing, tmp_path):
    import slicer

    _parameters, shown, _scene = imported(importing, write(tmp_path))
    front, side = (slicer.util.arrayFromVolume(view.source)[0] for view in shown.views)
    np.testing.assert_array_equal(front, np.clip(blob(), 0, None).astype(np.uint16))
    assert front.dtype == np.uint16
    np.testing.assert_array_equal(side, blob() / 1000)
    assert shown.views[1].projection.mirrored and shown.views[1].projection.intensity == "transmission"
    assert shown.views[0].projection.origins["SID"] == "case.json"


def test_the_c_arm_stands_where_the_case_says(importing, tmp_path):
    from XRayRegistrationLib.mrml import posing, projections, rig

    parameters, shown, _scene = imported(importing, write(tmp_path))
    np.testing.assert_allclose(rig.worldFromVolume(shown), POSE, atol=1e-12)
    assert posing.isPosed(shown) and projections.assumptions(shown) == ()
    parameters, shown, scene = imported(importing, write(tmp_path, initial=None, reference=None, targets=None))
    assert not posing.isPosed(shown) and scene.reference is None
    # A textbook view of the CT's middle.
    assert posing.placement(shown, shown.views[0], parameters.volume).primary_deg == pytest.approx(180.0)


def without_pitch() -> tuple[CaseView, ...]:
    """The views of `write`, the second one mirrored, calibrated but for the distance of their detectors."""
    bare = [Camera(each.matrix, each.width, each.height, each.camera_from_world) for each in cameras()]
    return tuple(
        CaseView(Path(f"{name}.tif"), camera, "transmission", mirrored=name == "side")
        for name, camera in zip(("front", "side"), bare, strict=True)
    )


def corners_in(shown: Any, view: Any) -> np.ndarray:
    """The outer corners of a CT's voxels in a view's camera frame [mm], (8, 3)."""
    from XRayRegistrationLib.mrml import rig

    k, j, i = SHAPE
    corners = np.array([(*corner, 1.0) for corner in product((-0.5, i - 0.5), (-0.5, j - 0.5), (-0.5, k - 0.5))])
    return (corners @ RAS_FROM_INDEX.T @ rig.cameraFromVolume(shown, view).T)[:, :3]


@pytest.mark.parametrize("depth", [350.0, 700.0, 1050.0, 1900.0, None])
def test_a_detector_at_an_unknown_distance_is_drawn_behind_the_patient(importing, tmp_path, depth):
    initial = None
    if depth is not None:
        initial = POSE.copy()
        initial[2, 3] = depth
    views = tuple(replace(view, image=tmp_path / view.image) for view in without_pitch())
    path = write(tmp_path, views=views, initial=initial)
    _parameters, shown, scene = imported(importing, path)
    # All that the overlay and a registration take is as the file says.
    same(scene, read_case(path))
    for view in shown.views:
        projection = view.projection
        depths = corners_in(shown, view)[:, 2]
        assert depths.min() > 0 and depths.max() < projection.sid_mm
        assert projection.sid_mm % 50 == 0
        assert projection.origins["SID"] == projection.origins["pixel pitch"] == "assumed: detector behind the patient"
        assert projection.assumptions == ()


def test_a_distance_typed_by_an_operator_is_left_alone(importing, tmp_path):
    from XRayRegistrationLib.mrml import geometryTable, posing

    views = tuple(replace(view, image=tmp_path / view.image) for view in without_pitch())
    parameters, shown, _scene = imported(importing, write(tmp_path, views=views))
    view = shown.views[0]
    importing.setGeometry(shown, view, geometryTable.setRow(view.projection, "sid", "640"))
    posing.putDetectorsBehind(shown, parameters.volume)
    assert (view.projection.sid_mm, view.projection.origins["SID"]) == (640.0, "entered by hand")
    np.testing.assert_allclose(view.camera.matrix, cameras()[0].matrix, rtol=1e-12)


def test_a_case_without_labels_has_no_segmentation(importing, tmp_path):
    parameters, _shown, scene = imported(importing, write(tmp_path, labels=None, structures=()))
    assert parameters.segmentation is None and list(parameters.structures) == [] and scene.volume.labels is None


def dicom_case(folder: Path) -> Path:
    """Two angiograms of a biplane device, turned and mirrored as DICOM tells, with nothing else known of them."""
    write(folder)
    pixels = np.clip(blob(), 0, 4095).astype(np.uint16)
    write_xray(folder / "a.dcm", np.stack([pixels // 2, pixels]), **ANGIOGRAPHY, FieldOfViewRotation="90")
    other = {**ANGIOGRAPHY, "PositionerPrimaryAngle": "60", "DistanceSourceToPatient": "790"}
    write_xray(folder / "b.dcm", pixels, "MONOCHROME1", **other, FieldOfViewHorizontalFlip="YES")
    views = [{"image": "a.dcm", "frame": 1}, {"image": "b.dcm"}]
    (folder / "dicom.json").write_text(json.dumps({"volume": "ct.nii.gz", "views": views}))
    return folder / "dicom.json"


def test_dicom_views_keep_their_geometry_their_frame_and_their_place(importing, tmp_path):
    from XRayRegistrationLib.mrml import posing, projections

    path = dicom_case(tmp_path)
    parameters, shown, scene = imported(importing, path)
    same(scene, read_case(path))
    assert shown.views[0].projection.quarter_turns == 1
    assert [view.projection.mirrored for view in shown.views] == [True, False]
    assert projections.assumptions(shown) == () and posing.isPosed(shown)
    placed = posing.placement(shown, shown.views[1], parameters.volume)
    assert (placed.primary_deg, placed.secondary_deg, placed.sod_mm) == pytest.approx((60.0, 12.0, 790.0), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("case.json", None, "an existing file"),
        ("case.json", "{", "expected JSON"),
        ("case.json", '{"volume": "ct.nii.gz", "views": []}', "at least one X-ray"),
        ("case.json", '{"volume": "gone.nii.gz", "views": [{"image": "front.tif"}]}', "gone.nii.gz"),
        ("case.json", '{"volume": "ct.nii.gz", "views": [{"image": "front.tif"}]}', "camera of front"),
    ],
    ids=["no file", "no JSON", "no views", "no CT", "no camera"],
)
def test_a_case_that_cannot_be_read_leaves_the_scene_as_it_was(importing, app, tmp_path, name, content, sentence):
    path = write(tmp_path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    parameters = new_parameters()
    before = count(app)
    with pytest.raises(InputError, match=sentence):
        run(importing.importCaseSteps(new_inputs(), parameters, tmp_path / name))
    assert count(app) == before and parameters.volume is None and parameters.pose is None


def test_wherever_it_is_cancelled_nothing_stays(importing, app, tmp_path):
    path, parameters = write(tmp_path), new_parameters()
    before, taken = count(app), 0
    while True:
        steps = importing.importCaseSteps(new_inputs(), parameters, path)
        finished = False
        for _ in range(taken):
            finished = next(steps, "end") == "end"
        steps.close()
        if finished:
            break
        assert count(app) == before and parameters.pose is None
        taken += 1
    assert taken > 6 and parameters.pose is not None


def test_another_case_takes_the_place_of_the_first_one_and_removes_only_what_was_ours(importing, app, tmp_path):
    from XRayRegistrationLib.mrml import rig

    parameters, first, _scene = imported(importing, write(tmp_path))
    images = [view.source for view in first.views]
    hidden = [node for view in first.views for node in (view.picture, *view.companions())]
    nodes_of_one = count(app)
    run(importing.importCaseSteps(new_inputs(), parameters, write(tmp_path)))
    assert all(node.GetScene() is None for node in (first.pose, *hidden))
    assert all(node.GetScene() is not None for node in images)
    assert len(rig.rigOf(parameters.pose).views) == 2
    run(importing.importCaseSteps(new_inputs(), parameters, write(tmp_path)))
    # Each import leaves its images, the CT and the segmentation behind, and nothing else grows.
    kept = [count(app)]
    run(importing.importCaseSteps(new_inputs(), parameters, write(tmp_path)))
    assert count(app) - kept[0] < nodes_of_one / 2


def test_the_rig_of_a_registration_stays_where_it_found_the_patient(importing, tmp_path):
    from XRayRegistrationLib.mrml import outcome, rig

    parameters, first, _scene = imported(importing, write(tmp_path))
    content = {"world_from_volume": POSE.tolist(), "accepted": True, "reason": "Yes."}
    outcome.store(first, outcome.Outcome(content, POSE), parameters.volume, True)
    run(importing.importCaseSteps(new_inputs(), parameters, write(tmp_path)))
    assert first.pose.GetScene() is not None and rig.rigOf(first.pose).views == ()


def test_a_calibration_goes_to_the_view_of_its_image(importing, tmp_path):
    from XRayRegistrationLib.mrml import projections, rig

    path = write(tmp_path)
    shown = run(importing.addXraySteps(new_worker(), rig.createRig(), add_xray(name="front")))
    shown = run(importing.addXraySteps(new_worker(), shown, add_xray(name="side")))
    assert len(projections.assumptions(shown)) == 5
    for view, camera in zip(shown.views, cameras(), strict=True):
        run(importing.importCalibrationSteps(new_worker(), shown, view, path))
        np.testing.assert_allclose(view.camera.camera_from_world, camera.camera_from_world, atol=1e-12)
    np.testing.assert_allclose(shown.views[0].camera.matrix, cameras()[0].matrix, rtol=1e-12)
    # The second one is stored mirrored, so its upright image has the mirrored camera.
    np.testing.assert_allclose(shown.views[1].camera.matrix, cameras()[1].mirrored_columns().matrix, rtol=1e-12)
    assert projections.assumptions(shown) == ()


def test_an_xray_is_added_with_what_is_known_and_refused_whole(importing, app):
    import slicer

    from XRayRegistrationLib.mrml import rig

    shown = run(importing.addXraySteps(new_worker(), rig.createRig(), add_xray(name="front")))
    assert shown.views[0].projection.assumptions == ("SID", "pixel pitch")
    run_of_images = slicer.util.addVolumeFromArray(np.zeros((4, 9, 9), np.uint8), name="run")
    before = count(app)
    with pytest.raises(InputError, match="X-ray run: expected one image, found 4 slices"):
        run(importing.addXraySteps(new_worker(), shown, run_of_images))
    assert count(app) == before and len(rig.rigOf(shown.pose).views) == 1


def test_angles_typed_for_both_views_place_them_and_removing_one_leaves_the_other(importing):
    from XRayRegistrationLib.mrml import geometryTable, projections, rig

    shown = run(importing.addXraySteps(new_worker(), rig.createRig(), add_xray(name="front")))
    shown = run(importing.addXraySteps(new_worker(), shown, add_xray(name="side")))
    for view, text in zip(shown.views, ("LAO 0", "RAO 90"), strict=True):
        for key, typed in (("sid", "1000"), ("pitch", "0.5"), ("primary", text), ("secondary", "0"), ("sod", "700")):
            importing.setGeometry(shown, view, geometryTable.setRow(view.projection, key, typed))
    assert projections.assumptions(shown) == ()
    rays = [np.linalg.inv(view.camera.camera_from_world)[:3, 2] for view in shown.views]
    # RAO 90 turns the beam from the first one's to its left or right, about an axis along the patient.
    assert rays[0] @ rays[1] == pytest.approx(0.0, abs=1e-12) and abs(rays[1][0]) == pytest.approx(1.0)
    left = importing.removeXray(shown, shown.views[0])
    np.testing.assert_array_equal(left.views[0].camera.camera_from_world, np.eye(4))


@pytest.mark.parametrize("name", ["wrist/case.json", "simulated/local_000.json"])
def test_real_cases_come_back_from_the_scene(importing, name):
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here")
    from XRayRegistrationLib.mrml import posing

    parameters, shown, scene = imported(importing, SHARED / name)
    same(scene, read_case(SHARED / name))
    assert all(view.projection.assumptions == () for view in shown.views)
    for view in shown.views:
        assert posing.placement(shown, view, parameters.volume).sod_mm < view.projection.sid_mm
