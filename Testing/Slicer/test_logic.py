"""The logic as scripts use it, without the panel."""

from __future__ import annotations

import numpy as np
import panel_driver as user
import pytest


@pytest.fixture
def logic(app):
    """A logic over an empty scene."""
    app.modules.load(user.MODULE)
    app.scene.Clear(0)
    import XRayRegistration

    return XRayRegistration.XRayRegistrationLogic()


def test_a_script_places_an_xray_and_reads_where_the_c_arm_stands(logic):
    logic.getParameterNode().volume = user.add_ct()
    view = logic.addXray(user.add_xray(), name="AP")
    assert view.name == "AP"
    assert logic.placement().primary_deg == pytest.approx(180.0)
    logic.setPlacement(primary_deg=10.0, up_mm=4.0)
    placed = logic.placement()
    np.testing.assert_allclose(
        [placed.primary_deg, placed.secondary_deg, placed.up_mm, placed.sod_mm], [10.0, 0.0, 4.0, 700.0], atol=1e-9
    )


def test_an_xray_before_the_ct_is_placed_when_there_is_one(logic):
    view = logic.addXray(user.add_xray())
    logic.placeUnposed()
    logic.getParameterNode().volume = user.add_ct()
    logic.placeUnposed()
    assert logic.placement().sod_mm == pytest.approx(700.0)
    logic.setPlacement(sod_mm=600.0)
    # Somebody has chosen a pose now.
    logic.placeUnposed()
    assert logic.placement().sod_mm == pytest.approx(600.0)
    logic.removeXray(view)
    assert not logic.rig().views


def test_a_script_registers_and_takes_it_back(logic, case):
    from XRayRegistrationLib.parameters import Effort, Start

    logic.importCase(case)
    parameters = logic.getParameterNode()
    parameters.effort, parameters.start = Effort.fast, Start.case
    before = logic.placement()
    found = logic.register()
    assert found.accepted
    assert found.errorMm < 1.0
    assert logic.placement() != before
    assert logic.undo()
    assert logic.placement().sod_mm == pytest.approx(before.sod_mm)
    assert not logic.undo()


def test_a_script_places_the_c_arm_by_landmarks(logic):
    import slicer

    from XRayRegistrationLib.mrml import landmarks, rig

    parameters = logic.getParameterNode()
    parameters.volume = user.add_ct()
    view = logic.addXray(user.add_xray())
    pose = rig.cameraFromVolume(logic.rig(), view)
    parameters.landmarks = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    for number, place in enumerate([(40, 40, 30), (110, 45, 35), (60, 90, 80), (100, 95, 25), (75, 60, 60)]):
        parameters.landmarks.AddControlPoint(*place, f"L-{number}")
        landmarks.addLandmark(
            logic.rig(), view, f"L-{number}", *view.camera.project(pose[:3, :3] @ place + pose[:3, 3])
        )
    logic.setPlacement(primary_deg=150.0, up_mm=30.0)
    fit = logic.poseFromLandmarks()
    assert fit.unpaired == () and fit.reason
    np.testing.assert_allclose(rig.cameraFromVolume(logic.rig(), view), pose, atol=1e-3)


def test_an_xray_that_cannot_be_used_leaves_no_rig(logic, app):
    ct = user.add_ct()
    # The parameter node is made when it is first asked for.
    logic.getParameterNode()
    count = app.scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="found 22 slices"):
        logic.addXray(ct)
    assert logic.rig() is None
    assert app.scene.GetNumberOfNodes() == count


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda logic: logic.placement(), "X-ray: expected one or more"),
        (lambda logic: logic.importCalibration("nothing.txt"), "X-ray: expected one or more"),
        (lambda logic: logic.poseFromLandmarks(), "X-ray: expected one or more"),
        (lambda logic: logic.register(), "CT|X-ray"),
    ],
    ids=["placement", "calibration", "landmarks", "registration"],
)
def test_what_is_missing_is_said(logic, use, said):
    with pytest.raises(ValueError, match=said):
        use(logic)


def test_everything_is_kept_in_the_scene_and_not_in_the_logic(logic, case):
    import XRayRegistration

    logic.importCase(case)
    logic.setPlacement(primary_deg=33.0)
    other = XRayRegistration.XRayRegistrationLogic()
    assert other.placement().primary_deg == pytest.approx(33.0)
