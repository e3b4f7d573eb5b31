"""The module as a whole, driven as a user drives it: from the empty scene to a saved result, and everything that can
happen to the scene meanwhile."""

from __future__ import annotations

import numpy as np
import panel_driver as user
import pytest


@pytest.fixture
def loaded(app, widget, case):
    """The panel with the phantom; the least effort, and no search."""
    user.import_case(app, widget, case)
    widget.ui.effortSelector.setCurrentIndex(0)
    widget.ui.startSelector.setCurrentIndex(1)
    return widget


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, app):
    """The phantom with a label map of ten bones."""
    from xrayreg.simulation.phantom_case import write_phantom_case

    return write_phantom_case(tmp_path_factory.mktemp("labelled"), labelled=True)


def title(widget):
    return widget.ui.verdictTitleLabel.text.removeprefix("<b>").removesuffix("</b>")


def test_a_fresh_panel_says_what_to_do(widget):
    ui = widget.ui
    assert not user.without_reason(widget)
    assert not ui.sampleButton.isHidden()
    assert ui.importCaseButton.enabled
    assert not ui.registerButton.enabled
    assert ui.registerButton.toolTip == "Select a CT first."
    assert ui.effortSelector.currentText == "Standard"
    assert ui.geometryCollapsibleButton.collapsed
    assert ui.resultsCollapsibleButton.collapsed


def test_at_every_stage_what_is_disabled_says_why(app, widget, case):
    ct, xray = user.add_ct(), user.add_xray()
    user.settle(app)
    assert not user.without_reason(widget)
    widget.ui.volumeSelector.setCurrentNode(ct)
    assert not user.without_reason(widget)
    user.choose_xray(app, widget, xray)
    assert not user.without_reason(widget)
    user.import_case(app, widget, case)
    assert not user.without_reason(widget)
    user.until_refining(app, widget)
    assert not user.without_reason(widget)
    widget.ui.cancelButton.click()
    assert not user.without_reason(widget)


@pytest.mark.parametrize("stage", ["empty", "assumed geometry", "registered"])
def test_a_panel_of_400_pixels_shows_everything(app, widget, case, stage):
    if stage == "assumed geometry":
        widget.ui.volumeSelector.setCurrentNode(user.add_ct("CT with a long name that nobody wants to read in full"))
        user.choose_xray(app, widget, user.add_xray("Fluoroscopy with a long name that nobody wants to read in full"))
        widget.ui.segmentationSelector.setCurrentNode(user.add_segmentation(20))
    elif stage == "registered":
        user.import_case(app, widget, case)
        user.register(app, widget)
    for section in ("geometry", "train", "landmarks", "results"):
        getattr(widget.ui, f"{section}CollapsibleButton").setProperty("collapsed", False)
    user.settle(app)
    assert widget.parent.layout().minimumSize().width() <= 400


def test_a_user_goes_through_everything_with_the_phantom(app, widget, case, tmp_path, screenshot):
    ui = widget.ui
    user.import_case(app, widget, case)
    initial = user.pose_of(widget)
    ui.upSlider.setValue(ui.upSlider.value + 5.0)
    user.settle(app)
    slid = user.pose_of(widget)
    assert not np.allclose(slid, initial)
    user.register(app, widget)
    found, verdict = user.pose_of(widget), ui.verdictLabel.text
    assert title(widget) == "Accepted"
    user.until(app, lambda: widget.panel.live.settled)
    screenshot("registered.png", lambda path: app.picture(widget, path))
    ui.undoButton.click()
    np.testing.assert_allclose(user.pose_of(widget), slid, atol=1e-9)
    user.register(app, widget)
    np.testing.assert_allclose(user.pose_of(widget), found, atol=0.5)
    found, verdict = user.pose_of(widget), ui.verdictLabel.text
    ui.drrOpacitySlider.setValue(0.4)
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    user.settle(app)
    assert title(widget) == "No verdict"
    assert ui.viewsTable.isHidden()
    assert ui.showLayoutButton.text == "Show X-ray layout"
    app.load_scene(tmp_path / "scene.mrb")
    user.settle(app)
    np.testing.assert_allclose(user.pose_of(widget), found, atol=1e-4)
    assert title(widget) == "Accepted"
    assert ui.verdictLabel.text == verdict
    assert ui.volumeSelector.currentNode().GetName() == "ct"
    assert ui.viewsTable.item(0, 1).text() == "xray"
    assert ui.drrOpacitySlider.value == 0.4
    assert ui.showLayoutButton.text == "Back to the previous layout"
    user.until(app, lambda: widget.panel.live.ready and widget.panel.live.settled)
    user.register(app, widget)
    assert title(widget) == "Accepted"
    ui.undoButton.click()
    user.settle(app)
    np.testing.assert_allclose(user.pose_of(widget), found, atol=1e-4)


def test_the_sample_is_loaded_and_registered_at_three_clicks(app, widget, monkeypatch, tmp_path):
    from XRayRegistrationLib import sampleData

    monkeypatch.setattr(sampleData, "_SPACING_MM", 5.0)
    monkeypatch.setattr(sampleData, "_IMAGE_PX", 96)
    monkeypatch.setattr(sampleData, "cacheFolder", lambda lateral: tmp_path / str(lateral))
    widget.ui.sampleButton.click()
    user.finish(app, widget)
    assert widget.ui.structuresList.count == 10
    user.register(app, widget)
    assert title(widget) == "Accepted"


def test_the_wrist_is_registered_in_both_views(app, widget):
    case = user.shared_data("wrist/case.json")
    user.import_case(app, widget, case)
    assert widget.ui.viewsTable.rowCount == 2
    user.register(app, widget)
    assert title(widget) == "Accepted"
    assert "(mTRE)" in widget.ui.verdictLabel.text
    off = user.pose_of(widget) - user.reference_of(case)
    bounds = np.zeros(6)
    widget.logic.getParameterNode().volume.GetRASBounds(bounds)
    centre = [*((bounds[::2] + bounds[1::2]) / 2), 1.0]
    # A fifth of a pixel at the detector and half a voxel.
    assert np.linalg.norm((off @ centre)[:3]) < 0.5


def test_closing_the_scene_ends_the_registration(app, loaded, case):
    user.until_refining(app, loaded)
    app.scene.Clear(0)
    assert not loaded.panel.running
    user.settle(app, 0.2)
    assert loaded.ui.statusLabel.text == ""
    assert not loaded.panel.register.curve.points
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    user.import_case(app, loaded, case)
    user.register(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("Done in ")


@pytest.mark.parametrize("what", ["volume", "source", "picture", "pose"])
def test_removing_a_node_ends_the_registration_with_a_sentence(app, loaded, what):
    user.until_refining(app, loaded)
    parameters, (view,) = loaded.logic.getParameterNode(), loaded.logic.rig().views
    app.scene.RemoveNode(getattr(parameters, what) if what in ("volume", "pose") else getattr(view, what))
    user.finish(app, loaded)
    assert "removed from the scene" in loaded.ui.statusLabel.text
    assert "\n" not in loaded.ui.statusLabel.text
    assert not user.without_reason(loaded)


def test_removing_the_segmentation_ends_the_registration_with_a_sentence(app, widget, labelled):
    user.import_case(app, widget, labelled)
    assert widget.ui.structuresList.count == 10
    user.until_refining(app, widget)
    app.scene.RemoveNode(widget.logic.getParameterNode().segmentation)
    user.finish(app, widget)
    assert "removed from the scene" in widget.ui.statusLabel.text
    assert widget.ui.structuresContainer.isHidden()
    user.register(app, widget)
    assert widget.ui.statusLabel.text.startswith("Done in ")


@pytest.mark.parametrize("what", ["volume", "source", "picture", "pose", "drr", "edges"])
def test_nodes_may_go_in_any_order_and_the_panel_goes_on(app, loaded, case, what):
    parameters, (view,) = loaded.logic.getParameterNode(), loaded.logic.rig().views
    user.until(app, lambda: loaded.panel.live.settled)
    app.scene.RemoveNode(getattr(parameters, what) if what in ("volume", "pose") else getattr(view, what))
    user.settle(app, 0.3)
    assert not user.without_reason(loaded)
    if what in ("drr", "edges"):
        # They are made again.
        assert all(node is not None for node in loaded.logic.rig().views[0].companions())
        assert loaded.ui.registerButton.enabled
    else:
        assert not loaded.ui.registerButton.enabled
    user.import_case(app, loaded, case)
    assert loaded.ui.registerButton.enabled


def test_leaving_the_panel_lets_the_registration_go_on(app, loaded):
    user.until_refining(app, loaded)
    loaded.parent.exit()
    user.finish(app, loaded)
    loaded.parent.enter()
    user.settle(app)
    assert loaded.ui.statusLabel.text.startswith("Done in ")
    assert title(loaded) == "Accepted"
    assert loaded.ui.registerButton.enabled
    assert loaded.ui.primarySlider.enabled


def test_the_overlay_follows_while_another_module_moves_the_c_arm(app, loaded):
    import slicer

    user.until(app, lambda: loaded.panel.live.ready and loaded.panel.live.settled)
    loaded.parent.exit()
    before = slicer.util.arrayFromVolume(loaded.logic.rig().views[0].edges).copy()
    moved = user.pose_of(loaded)
    moved[0, 3] += 20.0
    user.set_pose(loaded, moved)
    user.settle(app)
    user.until(app, lambda: loaded.panel.live.settled)
    after = slicer.util.arrayFromVolume(loaded.logic.rig().views[0].edges)
    assert after.shape != before.shape or (after != before).any()
    right = loaded.ui.rightSlider.value
    loaded.parent.enter()
    assert loaded.ui.rightSlider.value == pytest.approx(right + 20.0, abs=0.11)


def test_the_panel_left_alone_changes_nothing(app, loaded):
    loaded.parent.exit()
    before = loaded.logic.getParameterNode().drrOpacity
    loaded.ui.drrOpacitySlider.setValue(0.9)
    loaded.ui.primarySlider.setValue(0.0)
    user.settle(app)
    assert loaded.logic.getParameterNode().drrOpacity == before


def test_reloading_the_module_ends_the_registration(app, loaded):
    user.until_refining(app, loaded)
    reloaded = app.reload_module(loaded)
    assert not loaded.panel.running
    user.settle(app, 0.2)
    assert reloaded.ui.volumeSelector.currentNode().GetName() == "ct"
    assert reloaded.ui.viewsTable.item(0, 1).text() == "xray"
    user.register(app, reloaded)
    assert reloaded.ui.statusLabel.text.startswith("Done in ")
    app.closeModule(reloaded)


def test_an_import_can_be_cancelled_and_leaves_nothing(app, widget, case):
    count = app.scene.GetNumberOfNodes()
    steps = widget.logic.importCaseSteps(str(case))
    widget.panel.run("An import", steps, widget.panel.inputs.say, widget.panel.inputs.say)
    user.until(app, lambda: app.scene.GetNumberOfNodes() > count)
    widget.ui.cancelButton.click()
    user.settle(app)
    assert app.scene.GetNumberOfNodes() == count
    assert widget.ui.inputsMessageLabel.text == "Cancelled."


def test_another_case_replaces_the_first_whatever_is_being_drawn(app, widget, labelled, caplog):
    import slicer

    for pause in (0.0, 0.15, 0.3, 0.5):
        user.import_case(app, widget, labelled)
        user.settle(app, pause)
    user.until(app, lambda: widget.panel.live.ready and widget.panel.live.settled)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert widget.ui.viewsTable.rowCount == 1
    transforms = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
    assert len([node for node in transforms if not node.GetHideFromEditors()]) == 1
    assert widget.panel.live.obstacle == ""


def test_missing_packages_are_told_and_offered(app, widget, case, monkeypatch):
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "_isInstalled", lambda requirement: not requirement.startswith(("torch", "nib")))
    widget.panel.inputs.packages._missing, widget.panel.inputs.packages._lines = True, None
    widget.panel.refresh()
    ui = widget.ui
    assert not ui.packagesFrame.isHidden()
    assert "PyTorch is missing" in ui.packagesLabel.text
    assert ui.packagesButton.text == "Install"
    user.choose_xray(app, widget, user.add_xray())
    assert "PyTorch is missing" in ui.inputsMessageLabel.text
    ui.packagesButton.click()
    assert "PyTorch" in ui.packagesLabel.text
    monkeypatch.undo()
    ui.packagesButton.click()
    assert "PyTorch" not in ui.packagesLabel.text
    user.import_case(app, widget, case)
    assert ui.registerButton.enabled


def test_without_numba_the_panel_says_what_would_be_faster(app, widget, monkeypatch):
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "_isInstalled", lambda requirement: not requirement.startswith("numba"))
    widget.panel.inputs.packages._lines = None
    widget.panel.refresh()
    assert "slower" in widget.ui.packagesLabel.text
    assert widget.ui.packagesButton.text == "Install numba"
    monkeypatch.undo()
    widget.panel.inputs.packages._lines = None
    widget.panel.refresh()
    assert widget.ui.packagesFrame.isHidden()


def test_an_unforeseen_error_is_told_and_logged(app, loaded, monkeypatch, caplog):
    from XRayRegistrationLib.mrml import backend

    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(backend.Inputs, "sceneSteps", fail)
    user.register(app, loaded)
    assert "ZeroDivisionError: division by zero" in loaded.ui.statusLabel.text
    assert caplog.records[-1].exc_info


def test_colour_pictures_are_xrays_too(app, widget):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    pixels = np.zeros((1, 40, 60, 3), np.uint8)
    pixels[:] = np.linspace(20, 220, 60)[:, None]
    slicer.util.updateVolumeFromArray(node, pixels)
    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, node)
    user.until(app, lambda: widget.panel.live.settled)
    shown = slicer.util.arrayFromVolume(widget.logic.rig().views[0].picture)[0]
    assert shown.shape == (40, 60)
    assert abs(float(shown[:, :25].mean()) - float(shown[:, 35:].mean())) > 20


def test_an_xray_that_cannot_be_shown_is_told(app, widget):
    import slicer

    mask = slicer.util.addVolumeFromArray(np.eye(40, 60, dtype=np.uint8)[None] * 255, np.eye(4), "Mask")
    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, mask)
    user.until(app, lambda: bool(widget.panel.live.obstacle) and widget.panel.live.settled)
    user.settle(app)
    widget.panel.inputs.say("")
    assert "black or white" in widget.ui.inputsMessageLabel.text
    assert "black or white" in widget.ui.reviewMessageLabel.text
