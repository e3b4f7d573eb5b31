"""The Register section: progress, similarity, verdict, cancel and undo."""

from __future__ import annotations

import re

import numpy as np
import panel_driver as user
import pytest


@pytest.fixture
def loaded(app, widget, case):
    """The panel with the phantom, at a pose some 15 mm off; the least effort, and no search."""
    user.import_case(app, widget, case)
    widget.ui.effortSelector.setCurrentIndex(0)
    widget.ui.startSelector.setCurrentIndex(1)
    return widget


def title(widget):
    return widget.ui.verdictTitleLabel.text.removeprefix("<b>").removesuffix("</b>")


def errors_mm(widget, case):
    """How far each corner of the phantom's box lies from where it should."""
    off = user.pose_of(widget) - user.reference_of(case)
    corners = np.array([[x, y, z, 1.0] for x in (-200, 200) for y in (-146, 134) for z in (-130, 280)])
    return np.linalg.norm(corners @ off[:3].T, axis=1)


def test_nothing_has_been_registered_at_first(loaded):
    assert title(loaded) == "No verdict"
    assert loaded.ui.uncertaintyLabel.isHidden()
    assert loaded.ui.undoButton.toolTip == "Nothing has been registered yet."
    assert loaded.ui.cancelButton.toolTip == "Nothing is running."


def test_a_user_registers_the_phantom(app, loaded, case, screenshot):
    said, fractions = [], []
    loaded.ui.registerButton.click()
    assert not loaded.ui.registerButton.enabled
    assert loaded.ui.registerButton.toolTip == "A registration is running; cancel it first."
    assert loaded.ui.cancelButton.enabled
    assert title(loaded) == "No verdict yet"

    def ended():
        fractions.append(loaded.ui.progressBar.value)
        if loaded.ui.statusLabel.text not in said:
            said.append(loaded.ui.statusLabel.text)
        return not loaded.panel.running

    user.until(app, ended)
    user.settle(app)
    assert any(line.startswith("Refining") for line in said)
    assert said[-1].startswith("Done in ")
    assert fractions == sorted(fractions)
    assert loaded.ui.progressBar.value == 100
    assert title(loaded) == "Accepted"
    assert "SD above" in loaded.ui.verdictLabel.text
    assert loaded.ui.uncertaintyLabel.text.startswith("Uncertainty: ")
    assert "mm" in loaded.ui.uncertaintyLabel.text
    # Pixels are 3 mm at the patient, voxels 5 mm, and the X-ray has noise and scatter: a third of a pixel.
    errors = errors_mm(loaded, case)
    assert errors.mean() < 1.0
    # What is said is measured at the corners of the body's box, a little inside those of the phantom's.
    said = float(re.search(r"the error is ([0-9.]+) mm", loaded.ui.verdictLabel.text)[1])
    assert 0 < said <= errors.mean() + 0.005
    screenshot("panel.png", lambda path: loaded.parent.grab().save(str(path)))


def test_what_comes_again_while_there_is_no_news_is_drawn_once(app, loaded):
    from XRayRegistrationLib.jobs.registration import RegistrationProgress

    section = loaded.panel.register
    first, second = (RegistrationProgress(0.1 * n, "refining", "refine", 0.5 * n) for n in (1, 2))
    for progress in (first, first, first, second, second):
        section._onStep(progress)
    assert section.curve.points == [0.5, 1.0]


def test_the_similarity_rises_in_a_curve(app, loaded):
    curve = loaded.panel.register.curve
    assert not curve.points
    user.register(app, loaded)
    assert len(curve.points) > 5
    assert curve.points[-1] > curve.points[0]
    # Drawn in its colour, up to the label's right part, and at the label's size whatever that is.
    for width in (420, 600):
        loaded.parent.resize(width, 1500)
        user.settle(app)
        image = loaded.ui.curveLabel.grab().toImage()
        blue = [
            column
            for column in range(image.width())
            for row in range(image.height())
            if image.pixelColor(column, row).blue() - image.pixelColor(column, row).red() > 60
        ]
        assert min(blue) < 0.1 * image.width()
        assert max(blue) > image.width() - 60
    user.register(app, loaded)
    assert len(curve.points) > 5


def test_inputs_and_pose_cannot_be_changed_meanwhile(app, loaded):
    user.until_refining(app, loaded)
    ui = loaded.ui
    locked = (ui.volumeSelector, ui.xraySelector, ui.segmentationSelector, ui.importCaseButton, ui.geometryTable)
    locked += (ui.primarySlider, ui.apButton, ui.resetButton, ui.searchButton, ui.undoButton, ui.effortSelector)
    for control in locked:
        assert not control.enabled, control.objectName
        assert control.toolTip == "A registration is running; cancel it first."
    for control in (ui.drrOpacitySlider, ui.showEdgesCheckBox, ui.poseViewSelector, ui.cancelButton):
        assert control.enabled, control.objectName
    ui.cancelButton.click()
    for control in locked:
        if control is not ui.undoButton:
            assert control.enabled, control.objectName


def test_the_sliders_follow_while_it_registers(app, loaded):
    before = loaded.ui.rightSlider.value
    user.until_refining(app, loaded)
    user.until(app, lambda: loaded.ui.rightSlider.value != before)
    loaded.ui.cancelButton.click()


def test_cancel_keeps_the_best_pose_without_a_verdict(app, loaded):
    started = user.pose_of(loaded)
    user.until_refining(app, loaded)
    user.until(app, lambda: not np.allclose(user.pose_of(loaded), started))
    loaded.ui.cancelButton.click()
    assert "Cancelled" in loaded.ui.statusLabel.text
    assert title(loaded) == "No verdict"
    assert loaded.ui.verdictLabel.text == "It was cancelled; the pose shown is the best one found before."
    before = user.pose_of(loaded)
    user.settle(app, 0.3)
    assert (user.pose_of(loaded) == before).all()
    loaded.ui.undoButton.click()
    np.testing.assert_allclose(user.pose_of(loaded), started, atol=1e-9)
    user.register(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("Done in ")


def test_registering_again_adds_no_nodes(app, loaded):
    user.register(app, loaded)
    user.until(app, lambda: loaded.panel.live.settled)
    count = app.scene.GetNumberOfNodes()
    user.register(app, loaded)
    user.until(app, lambda: loaded.panel.live.settled)
    assert app.scene.GetNumberOfNodes() == count


def test_undo_goes_back_step_by_step(app, loaded):
    poses = [user.pose_of(loaded)]
    for _again in range(2):
        user.register(app, loaded)
        poses.append(user.pose_of(loaded))
        loaded.ui.upSlider.setValue(loaded.ui.upSlider.value + 6.0)
        user.settle(app)
        poses.append(user.pose_of(loaded))
    assert title(loaded) == "Out of date"
    loaded.ui.undoButton.click()
    np.testing.assert_allclose(user.pose_of(loaded), poses[2], atol=1e-9)
    loaded.ui.undoButton.click()
    np.testing.assert_allclose(user.pose_of(loaded), poses[0], atol=1e-9)
    assert title(loaded) == "No verdict"
    assert not loaded.ui.undoButton.enabled


def test_moving_the_c_arm_makes_the_verdict_out_of_date_and_moving_it_back_brings_it_back(app, loaded):
    user.register(app, loaded)
    found = user.pose_of(loaded)
    assert title(loaded) == "Accepted"
    # As high as it likes, which in Slicer a scroll area gives it.
    loaded.parent.resize(480, 2000)
    user.settle(app)
    below = loaded.ui.reviewCollapsibleButton.y
    loaded.ui.primarySlider.setValue(loaded.ui.primarySlider.value + 4.0)
    user.settle(app)
    assert title(loaded) == "Out of date"
    assert loaded.ui.verdictLabel.text == "The C-arm has been moved since the registration."
    # What lies below has not jumped.
    assert loaded.ui.reviewCollapsibleButton.y == below
    user.set_pose(loaded, found)
    user.settle(app)
    assert title(loaded) == "Accepted"


def test_another_frame_of_a_run_makes_the_verdict_out_of_date(app, loaded):
    import slicer

    (view,) = loaded.logic.rig().views
    known, still = view.projection, view.source
    run = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Run")
    for frame in ("0", "1"):
        run.SetDataNodeAtValue(still, frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.AddSynchronizedSequenceNode(run)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    loaded.ui.viewsTable.cellWidget(0, 3).click()
    user.choose_xray(app, loaded, browser.GetProxyNode(run))
    from XRayRegistrationLib.mrml import importing

    rig = loaded.logic.rig()
    importing.setGeometry(rig, rig.views[0], known)
    user.settle(app)
    user.register(app, loaded)
    assert title(loaded) == "Accepted"
    browser.SetSelectedItemNumber(1)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    user.settle(app)
    assert title(loaded) == "Out of date"
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    user.settle(app)
    assert title(loaded) == "Accepted"


def test_an_assumed_geometry_is_never_trusted(app, loaded):
    from xrayreg.geometry import Projection
    from XRayRegistrationLib.mrml import importing

    rig = loaded.logic.rig()
    (view,) = rig.views
    known = view.projection
    assumed = Projection(known.sid_mm, known.pixel_mm, known.size, known.principal_px, intensity=known.intensity)
    importing.setGeometry(rig, view, assumed)
    user.settle(app)
    user.register(app, loaded)
    assert title(loaded) == "Not trusted"
    assert loaded.ui.verdictLabel.text.startswith("Because nobody measured the SID of xray and the pixel pitch")


def test_a_wrong_pose_is_not_trusted(app, loaded):
    loaded.ui.leftLateralButton.click()
    user.register(app, loaded)
    assert title(loaded) == "Not trusted"
    assert loaded.ui.uncertaintyLabel.isHidden()
    style = loaded.ui.verdictFrame.styleSheet
    loaded.ui.undoButton.click()
    assert loaded.ui.verdictFrame.styleSheet != style


def test_search_shows_its_progress_here_too(app, loaded, case):
    loaded.ui.paButton.click()
    loaded.ui.searchButton.click()
    assert loaded.ui.registerButton.toolTip == "A search is running; cancel it first."
    user.finish(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("Done in ")
    assert errors_mm(loaded, case).mean() < 1.0


def test_what_cannot_be_registered_becomes_one_line(app, loaded):
    outside = user.pose_of(loaded)
    outside[0, 3] += 2000.0
    user.set_pose(loaded, outside)
    user.register(app, loaded)
    said = loaded.ui.statusLabel.text
    assert "outside" in said
    assert "\n" not in said
    assert loaded.ui.progressBar.value == 0
    assert loaded.ui.registerButton.enabled
