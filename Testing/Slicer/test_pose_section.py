"""The Initial pose section: six sliders that say where the C-arm stands, two-way with its transform node."""

from __future__ import annotations

from itertools import product

import numpy as np
import panel_driver as user
import pytest

# The sliders show one digit after the point.
SHOWN = 0.05 + 1e-9
SLIDERS = ("primarySlider", "secondarySlider", "rollSlider", "rightSlider", "upSlider", "sourceSlider")


@pytest.fixture
def loaded(app, widget):
    """The panel with a CT, whose middle is at (72.5, 62.5, 52.5), and one X-ray."""
    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, user.add_xray())
    return widget


def values(widget):
    return [getattr(widget.ui, name).value for name in SLIDERS]


def beam_of(widget):
    """Direction of the central ray in RAS."""
    return user.pose_of(widget)[2, :3]


def middle_in_camera(widget):
    """Where the CT's middle lies in the camera's frame [mm]."""
    return (user.pose_of(widget) @ [72.5, 62.5, 52.5, 1.0])[:3]


def test_an_xray_starts_as_a_textbook_view_with_the_ct_in_the_middle(loaded):
    # AP: the tube in front, rays go backwards; source to isocentre is 0.7 of the SID.
    np.testing.assert_allclose(beam_of(loaded), [0.0, -1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(middle_in_camera(loaded), [0.0, 0.0, 700.0], atol=1e-6)
    np.testing.assert_allclose(values(loaded), [180.0, 0.0, 0.0, 0.0, 0.0, 700.0], atol=SHOWN)


# A panel is opened once for all cases of a law that says from where each of them starts.
def test_presets_point_the_beam_where_their_names_say(app, loaded):
    beams = {
        "apButton": [0, -1, 0],
        "paButton": [0, 1, 0],
        "leftLateralButton": [-1, 0, 0],
        "rightLateralButton": [1, 0, 0],
    }
    for button, beam in beams.items():
        loaded.ui.primarySlider.setValue(33.0)
        loaded.ui.upSlider.setValue(20.0)
        getattr(loaded.ui, button).click()
        user.settle(app)
        np.testing.assert_allclose(beam_of(loaded), beam, atol=1e-9, err_msg=button)
        np.testing.assert_allclose(values(loaded)[1:5], 0.0, atol=SHOWN, err_msg=button)


def test_the_labels_say_which_way_is_positive(app, loaded):
    ui = loaded.ui
    ui.paButton.click()
    assert "LAO (+)" in ui.primaryLabel.text
    ui.primarySlider.setValue(30.0)
    # LAO: the detector moves to the patient's left, which in RAS is -x.
    assert beam_of(loaded)[0] == pytest.approx(-0.5)
    ui.primarySlider.setValue(0.0)
    assert "CRAN (+)" in ui.secondaryLabel.text
    ui.secondarySlider.setValue(30.0)
    assert beam_of(loaded)[2] == pytest.approx(0.5)
    ui.secondarySlider.setValue(0.0)
    assert "Right (+)" in ui.rightLabel.text
    ui.rightSlider.setValue(12.0)
    assert "Up (+)" in ui.upLabel.text
    ui.upSlider.setValue(7.0)
    ui.sourceSlider.setValue(650.0)
    # The camera's y points down the image.
    np.testing.assert_allclose(middle_in_camera(loaded), [12.0, -7.0, 650.0], atol=1e-6)
    up_before = user.pose_of(loaded)[:3, :3] @ [0, 0, 1.0]
    np.testing.assert_allclose(up_before, [0, -1, 0], atol=1e-9)
    assert "clockwise (+)" in ui.rollLabel.text
    ui.rollSlider.setValue(90.0)
    # What was up in the image points to the right now.
    np.testing.assert_allclose(user.pose_of(loaded)[:3, :3] @ [0, 0, 1.0], [1, 0, 0], atol=1e-9)


def test_the_same_numbers_are_the_same_pose_in_whatever_order_they_are_set(app, loaded):
    numbers = dict(zip(SLIDERS, (35.0, -20.0, 12.0, 14.0, -9.0, 640.0), strict=True))
    poses = []
    for order in (SLIDERS, SLIDERS[::-1], SLIDERS[3:] + SLIDERS[:3]):
        loaded.ui.apButton.click()
        for name in order:
            getattr(loaded.ui, name).setValue(numbers[name])
            user.settle(app, 0.02)
        poses.append(user.pose_of(loaded))
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-9)
    np.testing.assert_allclose(poses[2], poses[0], atol=1e-9)


def test_the_sliders_follow_the_transform_node(app, loaded):
    moved = np.array([[0.0, 0.0, -1.0, 30.0], [-1.0, 0.0, 0.0, 20.0], [0.0, 1.0, 0.0, 600.0], [0.0, 0.0, 0.0, 1.0]])
    user.set_pose(loaded, moved)
    user.settle(app)
    x, y, z = (moved @ [72.5, 62.5, 52.5, 1.0])[:3]
    np.testing.assert_allclose(values(loaded)[3:], [x, -y, z], atol=SHOWN)
    np.testing.assert_allclose(user.pose_of(loaded), moved, atol=1e-12)


def test_touching_one_slider_keeps_the_hidden_digits_of_the_others(app, loaded):
    loaded.logic.setPlacement(
        primary_deg=12.3456, secondary_deg=-3.4567, roll_deg=1.2345, right_mm=4.5678, up_mm=-2.3456, sod_mm=701.2345
    )
    user.settle(app)
    loaded.ui.rightSlider.setValue(5.0)
    user.settle(app)
    placed = loaded.logic.placement()
    found = [placed.primary_deg, placed.secondary_deg, placed.roll_deg, placed.right_mm, placed.up_mm, placed.sod_mm]
    np.testing.assert_allclose(found, [12.3456, -3.4567, 1.2345, 5.0, -2.3456, 701.2345], atol=1e-6)


def test_rounding_alone_never_moves_the_c_arm(app, loaded):
    loaded.logic.setPlacement(primary_deg=12.3456, sod_mm=701.2345)
    before = user.pose_of(loaded)
    user.settle(app)
    loaded.panel.refresh()
    loaded.parent.exit()
    loaded.parent.enter()
    user.settle(app)
    assert (user.pose_of(loaded) == before).all()


@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_sliders_can_be_pulled_to_their_ends_and_stay_there(app, loaded, end):
    for name in SLIDERS:
        loaded.ui.paButton.click()
        user.settle(app, 0.02)
        slider = getattr(loaded.ui, name)
        limit = getattr(slider, end)
        slider.setValue(limit)
        user.settle(app)
        # Along the patient angles are ambiguous, but a slider in the user's hand does not jump.
        assert slider.value == pytest.approx(limit), name
        others = [value for each, value in zip(SLIDERS, values(loaded), strict=True) if each != name]
        expected = [value for each, value in zip(SLIDERS, (0, 0, 0, 0, 0, 700.0), strict=True) if each != name]
        np.testing.assert_allclose(others, expected, atol=SHOWN, err_msg=name)
        matrix = user.pose_of(loaded)[:3, :3]
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9, err_msg=name)


def turned_about_the_patient(degrees):
    """An AP pose, as `loaded` has it, with the C-arm turned towards LAO about the CT's middle."""
    angle = np.deg2rad(180.0 + degrees)
    # Detector to the patient's left (RAS -x), rows downwards along the patient.
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), np.sin(angle), 0], [0, 0, -1], [-np.sin(angle), np.cos(angle), 0]]
    pose[:3, 3] = [0, 0, 700.0] - pose[:3, :3] @ [72.5, 62.5, 52.5]
    return pose


def test_a_slider_goes_on_beyond_a_half_turn_and_comes_back(app, loaded):
    for name, way in product(("primarySlider", "rollSlider"), (1, -1)):
        loaded.ui.paButton.click()
        user.settle(app)
        start, slider = user.pose_of(loaded), getattr(loaded.ui, name)
        for value in (170, 175, 180, 185, 190, 220, 190, 182.5, 180, 177.5, 170):
            slider.setValue(way * value)
            user.settle(app, 0.02)
            shown = dict(zip(SLIDERS, values(loaded), strict=True))
            expected = {**dict.fromkeys(SLIDERS, 0.0), "sourceSlider": 700.0, name: way * value}
            assert shown == pytest.approx(expected, abs=SHOWN)
            # A degree is a degree on either side of the half turn.
            turned = user.pose_of(loaded)[:3, :3] @ start[:3, :3].T
            turn = np.rad2deg(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
            assert turn == pytest.approx(min(value, 360 - value), abs=1e-4)


@pytest.mark.parametrize("way", [1, -1])
def test_the_sliders_do_not_leap_while_the_transform_is_dragged_across_ap(app, loaded, way):
    slider, seen = loaded.ui.primarySlider, []
    for degrees in np.arange(-60.0, 61.0, 7.5) * way:
        user.set_pose(loaded, turned_about_the_patient(degrees))
        user.settle(app, 0.02)
        seen.append(slider.value)
        np.testing.assert_allclose(values(loaded)[1:], [0, 0, 0, 0, 700.0], atol=SHOWN)
    np.testing.assert_allclose(np.diff(seen), 7.5 * way, atol=2 * SHOWN)
    # Touching a slider now moves nothing but what it says.
    loaded.ui.upSlider.setValue(12.0)
    user.settle(app)
    np.testing.assert_allclose(user.pose_of(loaded)[:3, :3], turned_about_the_patient(60.0 * way)[:3, :3], atol=1e-9)
    assert slider.value == seen[-1]


def test_dragged_on_and_on_the_sliders_stay_within_their_range(app, loaded):
    slider = loaded.ui.primarySlider
    for degrees in range(0, 900, 20):
        user.set_pose(loaded, turned_about_the_patient(degrees))
        user.settle(app, 0.01)
        assert slider.minimum <= slider.value <= slider.maximum
        assert (slider.value - 180.0 - degrees + 180.0) % 360.0 == pytest.approx(180.0, abs=SHOWN)


@pytest.mark.parametrize(
    ("button", "primary"),
    [("apButton", 180.0), ("paButton", 0.0), ("leftLateralButton", 90.0), ("rightLateralButton", -90.0)],
)
def test_a_preset_has_its_textbook_angles_wherever_the_sliders_stood(app, loaded, button, primary):
    for before in (-260.0, -185.0, 20.0, 185.0, 260.0):
        loaded.ui.primarySlider.setValue(before)
        loaded.ui.rollSlider.setValue(before)
        np.testing.assert_allclose(values(loaded)[:3:2], before, atol=SHOWN)
        getattr(loaded.ui, button).click()
        user.settle(app)
        np.testing.assert_allclose(values(loaded), [primary, 0, 0, 0, 0, 700.0], atol=SHOWN, err_msg=f"{before}")


@pytest.mark.parametrize("end", [90.0, -90.0])
def test_along_the_patient_a_dragged_transform_is_told_once_and_no_slider_wanders(app, loaded, end):
    loaded.ui.primarySlider.setValue(200.0)
    loaded.ui.secondarySlider.setValue(end)
    user.settle(app)
    np.testing.assert_allclose(values(loaded)[:3], [200.0, end, 0.0], atol=SHOWN)
    moved = user.pose_of(loaded)
    moved[:3, 3] += [3.0, 0.0, 0.0]
    user.set_pose(loaded, moved)
    user.settle(app)
    shown = values(loaded)
    assert shown[1] == pytest.approx(end) and shown[3] == pytest.approx(3.0, abs=SHOWN)
    loaded.panel.refresh()
    user.settle(app)
    assert values(loaded) == shown
    np.testing.assert_allclose(user.pose_of(loaded), moved, atol=1e-12)


def test_a_reopened_scene_shows_the_same_pose_in_its_usual_angles(app, loaded, tmp_path):
    ui = loaded.ui
    ui.primarySlider.setValue(200.0)
    ui.rollSlider.setValue(-190.0)
    user.settle(app)
    before = user.pose_of(loaded)
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    user.settle(app)
    app.load_scene(tmp_path / "scene.mrb")
    user.settle(app)
    np.testing.assert_allclose(user.pose_of(loaded), before, atol=1e-4)
    np.testing.assert_allclose(values(loaded)[:3], [-160.0, 0.0, 170.0], atol=SHOWN)


def test_a_c_arm_far_away_makes_the_sliders_longer(app, loaded):
    loaded.logic.setPlacement(right_mm=1234.0, sod_mm=40.0)
    user.settle(app)
    ui = loaded.ui
    assert (ui.rightSlider.value, ui.sourceSlider.value) == (1234.0, 40.0)
    assert ui.rightSlider.maximum == 1300.0
    assert ui.sourceSlider.minimum == 0.0
    placed = loaded.logic.placement()
    assert placed.right_mm == pytest.approx(1234.0)


def test_a_ct_behind_the_source_is_told(app, loaded):
    behind = user.pose_of(loaded)
    behind[2, 3] -= 1000.0
    user.set_pose(loaded, behind)
    user.settle(app)
    assert "in front of the X-ray source" in loaded.ui.poseMessageLabel.text
    loaded.ui.apButton.click()
    user.settle(app)
    assert loaded.ui.poseMessageLabel.text == ""
    np.testing.assert_allclose(middle_in_camera(loaded), [0.0, 0.0, 700.0], atol=1e-6)


def test_reset_goes_back_to_the_first_place(app, loaded):
    before = user.pose_of(loaded)
    for name in SLIDERS:
        slider = getattr(loaded.ui, name)
        slider.setValue(slider.value / 2 + 3)
    assert not np.allclose(user.pose_of(loaded), before)
    loaded.ui.resetButton.click()
    np.testing.assert_allclose(user.pose_of(loaded), before, atol=1e-9)


def test_reset_goes_back_to_the_pose_that_a_case_brought(app, widget, case):
    user.import_case(app, widget, case)
    before = user.pose_of(widget)
    widget.ui.leftLateralButton.click()
    widget.ui.resetButton.click()
    np.testing.assert_allclose(user.pose_of(widget), before, atol=1e-9)


def test_dicom_angles_are_offered_once_they_are_known(app, loaded):
    ui = loaded.ui
    assert not ui.dicomAnglesButton.enabled
    assert "The angles of X-ray are not known" in ui.dicomAnglesButton.toolTip
    table = ui.geometryTable
    for row in range(table.rowCount):
        if table.item(row, 0).text() in ("Primary angle", "Secondary angle"):
            table.item(row, 1).setText("30")
            user.settle(app)
    assert ui.dicomAnglesButton.enabled
    ui.dicomAnglesButton.click()
    user.settle(app)
    np.testing.assert_allclose(values(loaded)[:3], [30.0, 30.0, 0.0], atol=SHOWN)


def test_the_sliders_speak_for_the_active_view(app, loaded):
    user.choose_xray(app, loaded, user.add_xray("Second"))
    ui = loaded.ui
    ui.poseViewSelector.setCurrentIndex(0)
    user.settle(app)
    ui.paButton.click()
    user.settle(app)
    first = values(loaded)
    before = user.pose_of(loaded)
    ui.poseViewSelector.setCurrentIndex(1)
    user.settle(app)
    # Looking at the other view moves nothing; it stands at right angles to the first.
    np.testing.assert_allclose(user.pose_of(loaded), before)
    assert abs(ui.primarySlider.value - first[0]) == pytest.approx(90.0, abs=SHOWN)
    ui.upSlider.setValue(15.0)
    user.settle(app)
    ui.poseViewSelector.setCurrentIndex(0)
    user.settle(app)
    # Both views see the patient upright, so what goes up in the one does in the other.
    assert ui.upSlider.value == pytest.approx(15.0, abs=SHOWN)


def test_without_a_ct_the_sliders_say_what_is_missing(app, widget):
    user.choose_xray(app, widget, user.add_xray())
    for name in SLIDERS:
        assert not getattr(widget.ui, name).enabled
        assert getattr(widget.ui, name).toolTip == "Select a CT first."
    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.settle(app)
    assert widget.ui.primarySlider.enabled
    assert "detector to the patient's left" in widget.ui.primarySlider.toolTip
    np.testing.assert_allclose(middle_in_camera(widget), [0.0, 0.0, 700.0], atol=1e-6)


def test_the_ct_may_lie_under_a_transform(app, loaded):
    import slicer

    turned = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Patient")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = 5.0, -80.0, 30.0
    slicer.util.updateTransformMatrixFromArray(turned, matrix)
    volume = loaded.logic.getParameterNode().volume
    volume.SetAndObserveTransformNodeID(turned.GetID())
    user.settle(app)
    # The C-arm stays; the patient has moved in front of it, which the sliders tell.
    x, y, z = (user.pose_of(loaded) @ matrix @ [72.5, 62.5, 52.5, 1.0])[:3]
    np.testing.assert_allclose(values(loaded)[3:], [x, -y, z], atol=SHOWN)
    loaded.ui.paButton.click()
    middle = user.pose_of(loaded) @ matrix @ [72.5, 62.5, 52.5, 1.0]
    np.testing.assert_allclose(middle[:3], [0.0, 0.0, 700.0], atol=1e-6)
