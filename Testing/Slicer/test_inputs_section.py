"""The Inputs section: choosing CT and X-rays, structures, and importing files."""

from __future__ import annotations

import numpy as np
import panel_driver as user
import pytest


@pytest.fixture
def loaded(app, widget):
    """The panel with a CT and one X-ray of which only the size is known."""
    ct, xray = user.add_ct(), user.add_xray()
    widget.ui.volumeSelector.setCurrentNode(ct)
    user.choose_xray(app, widget, xray)
    return widget


def test_the_only_ct_of_the_scene_is_chosen_on_entering(app, widget):
    widget.parent.exit()
    ct = user.add_ct()
    user.add_xray()
    widget.parent.enter()
    assert widget.logic.getParameterNode().volume is ct
    assert widget.ui.volumeSelector.currentNode() is ct


def test_with_two_volumes_the_user_has_to_choose(app, widget):
    widget.parent.exit()
    user.add_ct("CT before"), user.add_ct("CT after")
    widget.parent.enter()
    assert widget.logic.getParameterNode().volume is None


def test_choosing_an_xray_adds_it_and_the_selector_asks_for_the_next(app, loaded):
    import slicer

    assert loaded.ui.xraySelector.currentNode() is None
    assert [view.source.GetName() for view in loaded.logic.rig().views] == ["X-ray"]
    table = loaded.ui.viewsTable
    assert table.rowCount == 1
    assert table.item(0, 1).text() == "X-ray"
    assert table.item(0, 2).text() == "assumed: SID, pixel pitch"
    source = slicer.util.getNode("X-ray")
    assert source.GetParentTransformNode() is None


def test_the_xray_is_shown_at_once(app, loaded):
    from XRayRegistrationLib.display import layout

    assert layout.isShown()
    assert loaded.ui.showLayoutButton.text == "Back to the previous layout"
    loaded.ui.showLayoutButton.click()
    assert not layout.isShown()
    assert loaded.ui.showLayoutButton.text == "Show X-ray layout"


def test_a_volume_is_refused_as_xray_in_a_line(app, loaded):
    user.choose_xray(app, loaded, user.add_ct("Other CT"))
    assert "expected one image, found 22 slices" in loaded.ui.inputsMessageLabel.text
    assert loaded.ui.viewsTable.rowCount == 1
    assert loaded.ui.xraySelector.currentNode() is None


def test_an_xray_is_listed_once(app, loaded):
    import slicer

    user.choose_xray(app, loaded, slicer.util.getNode("X-ray"))
    assert loaded.ui.viewsTable.rowCount == 1
    assert "not in the list yet" in loaded.ui.inputsMessageLabel.text


def test_a_fifth_xray_is_refused(app, loaded):
    for number in range(2, 6):
        user.choose_xray(app, loaded, user.add_xray(f"X-ray {number}"))
    assert loaded.ui.viewsTable.rowCount == 4
    assert "at most 4" in loaded.ui.inputsMessageLabel.text


def test_removing_an_xray_leaves_its_image(app, loaded):
    import slicer

    user.choose_xray(app, loaded, user.add_xray("Second"))
    assert loaded.logic.getParameterNode().activeView == 1
    loaded.ui.viewsTable.cellWidget(0, 3).click()
    user.settle(app)
    assert [view.name for view in loaded.logic.rig().views] == ["Second"]
    assert loaded.ui.viewsTable.rowCount == 1
    assert loaded.ui.viewsTable.item(0, 1).text() == "Second"
    assert slicer.util.getNode("X-ray")
    loaded.ui.viewsTable.cellWidget(0, 3).click()
    user.settle(app)
    assert loaded.ui.viewsTable.isHidden()
    assert loaded.ui.registerButton.toolTip == "Add an X-ray first."


def test_the_tick_decides_whether_an_xray_is_shown(app, loaded):
    import qt

    item = loaded.ui.viewsTable.item(0, 0)
    assert item.checkState() == qt.Qt.Checked
    item.setCheckState(qt.Qt.Unchecked)
    user.settle(app)
    assert not loaded.logic.rig().views[0].shown
    loaded.ui.viewsTable.item(0, 0).setCheckState(qt.Qt.Checked)
    user.settle(app)
    assert loaded.logic.rig().views[0].shown


def test_the_selected_row_is_the_view_that_the_other_sections_show(app, loaded):
    user.choose_xray(app, loaded, user.add_xray("Second"))
    ui = loaded.ui
    assert ui.poseViewSelector.currentText == ui.geometryViewSelector.currentText == "Second"
    ui.viewsTable.setCurrentCell(0, 1)
    user.settle(app)
    assert loaded.logic.getParameterNode().activeView == 0
    assert ui.poseViewSelector.currentText == ui.geometryViewSelector.currentText == "X-ray"
    ui.poseViewSelector.setCurrentIndex(1)
    user.settle(app)
    assert ui.viewsTable.currentRow() == 1
    assert ui.geometryViewSelector.currentText == "Second"


def test_a_removed_image_is_told_and_the_view_can_be_taken_out(app, loaded):
    import slicer

    slicer.mrmlScene.RemoveNode(slicer.util.getNode("X-ray"))
    # Something that takes long may be at work just now.
    user.until(app, lambda: loaded.ui.viewsTable.item(0, 2).text() == "image removed")
    assert "was removed from the scene" in loaded.ui.registerButton.toolTip
    loaded.ui.viewsTable.cellWidget(0, 3).click()
    user.settle(app)
    assert not loaded.logic.rig().views


def test_structures_are_those_of_the_segmentation(app, loaded):
    import qt
    import slicer

    ui, segmentation = loaded.ui, user.add_segmentation(20)
    assert ui.structuresContainer.isHidden()
    ui.segmentationSelector.setCurrentNode(segmentation)
    user.settle(app)
    assert ui.structuresList.count == 20
    assert ui.structuresMeaningLabel.text == "None is ticked: the whole CT is compared with the X-ray."
    for row in (3, 7):
        ui.structuresList.item(row).setCheckState(qt.Qt.Checked)
    user.settle(app)
    assert list(loaded.logic.getParameterNode().structures) == ["segment3", "segment7"]
    assert ui.structuresMeaningLabel.text == "Only 2 of 20 are compared with the X-ray."
    segmentation.GetSegmentation().RemoveSegment("segment3")
    segmentation.GetSegmentation().GetSegment("segment7").SetName("Sacrum")
    user.settle(app)
    assert ui.structuresList.count == 19
    assert "Sacrum" in [ui.structuresList.item(row).text() for row in range(19)]
    assert ui.structuresMeaningLabel.text == "Only 1 of 19 are compared with the X-ray."
    slicer.mrmlScene.RemoveNode(segmentation)
    user.settle(app)
    assert ui.structuresContainer.isHidden()


def test_twenty_structures_scroll_instead_of_filling_the_panel(app, loaded):
    heights = []
    for count in (2, 20):
        loaded.ui.segmentationSelector.setCurrentNode(user.add_segmentation(count))
        user.settle(app)
        heights.append(loaded.ui.structuresList.height / count)
    assert heights[1] * 20 < 120
    assert heights[0] > 10


def test_a_calibration_is_read_for_the_selected_xray(app, loaded, case):
    user.choose_xray(app, loaded, user.add_xray("xray", size=(96, 96)))
    loaded.ui.importCalibrationButton.click()
    user.choose_file(app, case)
    user.finish(app, loaded)
    assert "has the geometry of" in loaded.ui.inputsMessageLabel.text
    first, second = loaded.logic.rig().views
    assert first.projection.assumptions
    assert not second.projection.assumptions
    assert second.projection.sid_mm == pytest.approx(1000.0)


def test_a_calibration_of_another_image_is_refused_in_a_line(app, loaded, case, tmp_path):
    before = loaded.logic.rig().views[0].projection
    for path in (case, tmp_path / "nothing.txt"):
        loaded.panel.inputs.importCalibration(str(path))
        user.finish(app, loaded)
        assert loaded.ui.inputsMessageLabel.text
        assert "\n" not in loaded.ui.inputsMessageLabel.text
        assert loaded.logic.rig().views[0].projection == before


def test_an_imported_case_fills_the_panel(app, widget, case):
    user.import_case(app, widget, case)
    ui, parameters = widget.ui, widget.logic.getParameterNode()
    assert ui.inputsMessageLabel.text == ""
    assert parameters.volume.GetName() == ui.volumeSelector.currentNode().GetName() == "ct"
    assert ui.viewsTable.item(0, 1).text() == "xray"
    assert "1000" in ui.viewsTable.item(0, 2).text()
    initial = np.array(user.content_of(case)["initial"]["world_from_volume"])
    np.testing.assert_allclose(user.pose_of(widget), initial, atol=1e-9)
    assert ui.registerButton.enabled


def test_a_bad_case_becomes_one_line_and_leaves_the_scene(app, widget, tmp_path):
    (tmp_path / "case.json").write_text("{volume: ct}")
    count = app.scene.GetNumberOfNodes()
    user.import_case(app, widget, tmp_path / "case.json")
    assert "expected JSON" in widget.ui.inputsMessageLabel.text
    assert "\n" not in widget.ui.inputsMessageLabel.text
    assert app.scene.GetNumberOfNodes() == count


def test_the_phantom_is_offered_only_to_an_empty_scene(app, widget):
    assert not widget.ui.sampleButton.isHidden()
    user.add_xray()
    user.settle(app)
    assert widget.ui.sampleButton.isHidden()
