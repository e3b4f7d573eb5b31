"""Landmarks marked in the panel: guided clicking, solving, and how well it fits."""

from __future__ import annotations

import numpy as np
import panel_driver as user
import pytest

POINTS = {"L-1": (40, 40, 30), "L-2": (110, 45, 35), "L-3": (60, 90, 80), "L-4": (100, 95, 25), "L-5": (75, 60, 60)}


@pytest.fixture
def loaded(app, widget):
    """The panel with a CT, an X-ray of measured geometry, and five landmarks on the CT."""
    import slicer

    from XRayRegistrationLib.mrml import importing

    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, user.add_xray(size=(300, 260)))
    rig = widget.logic.rig()
    importing.setGeometry(
        rig, rig.views[0], rig.views[0].projection.changed("test", sid_mm=1000.0, pixel_mm=(1.0, 1.0))
    )
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks")
    for name, place in POINTS.items():
        node.AddControlPoint(place, name)
    widget.ui.landmarksSelector.setCurrentNode(node)
    user.settle(app)
    return widget


def pixels_at(widget, world_from_volume):
    """Where the landmarks appear (column, row) when the patient stands at a pose."""
    camera = widget.logic.rig().views[0].camera
    places = np.array(list(POINTS.values()), float) @ world_from_volume[:3, :3].T + world_from_volume[:3, 3]
    # The only view's camera is the world.
    return (places @ camera.matrix.T)[:, :2] / places[:, 2:]


def click(app, widget, pixel):
    """Place a point of the list that is being marked, as a click in the X-ray's view does."""
    import slicer

    from XRayRegistrationLib.mrml import detector

    node = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID())
    place = detector.rasFromPixels(widget.logic.rig().views[0].picture) @ (*pixel, 0.0, 1.0)
    node.AddControlPointWorld(*place[:3])
    user.settle(app)
    return node


def is_placing():
    import slicer

    interaction = slicer.app.applicationLogic().GetInteractionNode()
    return interaction.GetCurrentInteractionMode() == interaction.Place


def test_each_button_says_what_it_waits_for(app, widget):
    ui = widget.ui
    assert ui.markVolumeButton.toolTip == "Choose or create a point list first."
    assert ui.markXrayButton.toolTip == "Select a CT first."
    ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, user.add_xray())
    assert ui.markXrayButton.toolTip == "Choose or create a point list first."
    ui.landmarksSelector.addNode()
    user.settle(app)
    assert ui.markVolumeButton.enabled
    assert ui.solveButton.toolTip == "Mark landmarks on the CT first."


def test_clicks_on_the_ct_go_into_the_chosen_list(app, loaded):
    import slicer

    loaded.ui.markVolumeButton.click()
    assert is_placing()
    node = loaded.logic.getParameterNode().landmarks
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID() == node.GetID()


def test_clicks_on_the_xray_are_named_after_the_landmarks_one_by_one(app, loaded):
    true = user.pose_of(loaded)
    loaded.ui.markXrayButton.click()
    assert is_placing()
    for name, pixel in zip(POINTS, pixels_at(loaded, true), strict=True):
        assert loaded.ui.poseMessageLabel.text == f"Click {name} in X-ray."
        node = click(app, loaded, pixel)
    names = [node.GetNthControlPointLabel(n) for n in range(node.GetNumberOfControlPoints())]
    assert names == list(POINTS)
    assert loaded.ui.poseMessageLabel.text == "All landmarks are marked in X-ray."
    assert not is_placing()


def test_a_point_that_was_deleted_is_asked_for_again(app, loaded):
    true = user.pose_of(loaded)
    loaded.ui.markXrayButton.click()
    pixels = pixels_at(loaded, true)
    for pixel in pixels[:3]:
        node = click(app, loaded, pixel)
    node.RemoveNthControlPoint(1)
    loaded.ui.markXrayButton.click()
    assert loaded.ui.poseMessageLabel.text == "Click L-2 in X-ray."
    click(app, loaded, pixels[1])
    assert node.GetNthControlPointLabel(node.GetNumberOfControlPoints() - 1) == "L-2"


def test_solving_moves_the_c_arm_to_where_the_marks_say(app, loaded):
    ui = loaded.ui
    loaded.logic.setPlacement(primary_deg=150.0, secondary_deg=12.0, roll_deg=-8.0, right_mm=10.0, sod_mm=680.0)
    true = user.pose_of(loaded)
    ui.markXrayButton.click()
    for pixel in pixels_at(loaded, true):
        click(app, loaded, pixel)
    ui.apButton.click()
    user.settle(app)
    table = ui.landmarksTable
    assert table.rowCount == 5
    residuals = [float(table.item(row, 2).text().split()[0]) for row in range(5)]
    assert max(residuals) > 5.0
    user.press(app, loaded, ui.solveButton)
    np.testing.assert_allclose(user.pose_of(loaded), true, atol=1e-3)
    assert [table.item(row, 2).text() for row in range(5)] == ["0.0 mm"] * 5
    assert [table.item(row, 0).text() for row in range(5)] == list(POINTS)
    assert ui.poseMessageLabel.text
    # The residuals are those of the pose that is shown, whatever moved it.
    ui.rightSlider.setValue(ui.rightSlider.value + 10.0)
    user.settle(app)
    residuals = [float(table.item(row, 2).text().split()[0]) for row in range(5)]
    np.testing.assert_allclose(residuals, 10.0, atol=0.06)


def test_too_few_landmarks_become_a_line_and_move_nothing(app, loaded):
    before = user.pose_of(loaded)
    loaded.ui.markXrayButton.click()
    for pixel in pixels_at(loaded, before)[:3]:
        click(app, loaded, pixel)
    loaded.ui.apButton.click()
    before = user.pose_of(loaded)
    user.press(app, loaded, loaded.ui.solveButton)
    assert "four" in loaded.ui.poseMessageLabel.text or "4" in loaded.ui.poseMessageLabel.text
    assert (user.pose_of(loaded) == before).all()


def test_two_landmarks_of_one_name_are_told_and_do_not_stop_the_panel(app, loaded):
    loaded.ui.markXrayButton.click()
    pixels = pixels_at(loaded, user.pose_of(loaded))
    for pixel in pixels:
        node = click(app, loaded, pixel)
    node.SetNthControlPointLabel(1, "L-1")
    user.settle(app)
    loaded.ui.apButton.click()
    user.press(app, loaded, loaded.ui.solveButton)
    assert "L-1" in loaded.ui.poseMessageLabel.text
    loaded.panel.refresh()
    assert loaded.ui.registerButton.enabled


def test_removing_the_lists_is_safe(app, loaded):
    import slicer

    loaded.ui.markXrayButton.click()
    node = click(app, loaded, (100.0, 100.0))
    slicer.mrmlScene.RemoveNode(loaded.logic.getParameterNode().landmarks)
    user.settle(app)
    assert loaded.ui.landmarksTable.isHidden()
    slicer.mrmlScene.RemoveNode(node)
    user.settle(app)
    assert not loaded.ui.solveButton.enabled


@pytest.mark.parametrize("marked", [5, 20])
def test_the_table_shows_its_rows_whole_once_it_is_unfolded(app, loaded, marked):
    ui, node = loaded.ui, loaded.logic.getParameterNode().landmarks
    for number in range(len(POINTS), marked):
        node.AddControlPoint((50 + number, 60, 40), f"L-{number + 1}")
    ui.landmarksCollapsibleButton.setProperty("collapsed", True)
    ui.markXrayButton.click()
    for pixel in range(marked):
        click(app, loaded, (20.0 + 10 * pixel, 130.0))
    loaded.parent.show()
    for section in (ui.poseCollapsibleButton, ui.landmarksCollapsibleButton):
        section.setProperty("collapsed", False)
    user.settle(app)
    table = ui.landmarksTable
    assert table.rowCount == marked
    last = min(marked, 12) - 1
    bottom = table.rowViewportPosition(last) + table.rowHeight(last)
    room = table.viewport().height
    # The frame and the header leave a pixel or two, never a row.
    assert bottom <= room < bottom + table.rowHeight(last)
