"""The Results section of the panel, used as a user uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xrayreg.io import read_pose


@pytest.fixture
def section(widget) -> Any:
    return widget.panel.results


@pytest.fixture
def loaded(app, widget, case, section, tmp_path) -> Any:
    """The section after a case was imported, saving into a folder of the test."""
    widget.panel.inputs.importCase(str(case))
    settle(app, widget)
    section.ui.folderButton.setProperty("directory", str(tmp_path))
    return section


def settle(app: Any, widget: Any) -> None:
    app.wait_until(lambda: not widget.panel.running and widget.panel.live.settled)


def buttons(section: Any) -> list[Any]:
    ui = section.ui
    return [ui.createTransformButton, ui.saveTransformButton, ui.createCopiesButton, ui.saveReportButton]


def message(section: Any) -> str:
    return str(section.ui.resultsMessageLabel.text)


def transforms() -> list[str]:
    import slicer

    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")]


def test_without_inputs_every_button_says_what_is_missing(section):
    for button in buttons(section):
        assert not button.enabled
        assert button.toolTip == "Select a CT first."


def test_with_inputs_every_button_says_what_it_does(loaded):
    tips = [button.toolTip for button in buttons(loaded)]
    assert all(button.enabled for button in buttons(loaded))
    assert len(set(tips)) == 4
    assert all(tip.endswith(".") for tip in tips)


def test_a_click_puts_the_chosen_direction_into_the_scene(loaded):
    ui = loaded.ui
    ui.directionSelector.setCurrentIndex(1)
    before = transforms()
    ui.createTransformButton.click()
    (made,) = set(transforms()) - set(before)
    assert made == "Patient to C-arm: ct (not judged)"
    assert message(loaded) == f"The pose is in the transform {made} now."


def test_the_choice_of_direction_survives_what_happens_elsewhere(loaded, widget):
    loaded.ui.directionSelector.setCurrentIndex(2)
    widget.panel.refresh()
    assert loaded.ui.directionSelector.currentText == "Patient to camera of xray"


def test_the_pose_is_saved_where_the_dialog_says(loaded, widget, tmp_path):
    from XRayRegistrationLib.mrml import rig

    loaded.ui.saveTransformButton.click()
    dialog = loaded._dialogs._dialog
    assert Path(str(dialog.selectedFiles()[0])).name == "C-arm to patient ct (not judged).tfm"
    dialog.selectFile(str(tmp_path / "found.tfm"))
    dialog.accept()
    assert message(loaded) == f"Saved as {tmp_path / 'found.tfm'}"
    pose = rig.worldFromVolume(widget.logic.rig())
    np.testing.assert_allclose(read_pose(tmp_path / "found.tfm"), np.linalg.inv(pose), atol=1e-9)


def test_the_report_is_one_click_away_and_linked(app, widget, loaded, tmp_path):
    folder = tmp_path / "X-ray registration ct (not judged)"
    loaded.ui.saveReportButton.click()
    assert widget.panel.running
    assert not loaded.ui.saveReportButton.enabled
    assert "cancel it first" in loaded.ui.saveReportButton.toolTip
    app.wait_until(lambda: loaded.ui.resultsProgressBar.value > 0 or not widget.panel.running)
    assert not loaded.ui.resultsProgressBar.isHidden()
    settle(app, widget)
    assert loaded.ui.resultsProgressBar.isHidden()
    assert f'<a href="{folder.as_uri()}">' in message(loaded)
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "result.json", "pose.tfm", "sheet_xray.png"} <= names
    # The views as they are on the screen: X-ray and C-arm.
    shots = sorted(name for name in names if name.startswith("view_"))
    assert shots == ["view_XRay3D.png", "view_xray.png"]
    for name in shots:
        assert np.asarray(Image.open(folder / name)).std() > 5


def test_without_our_layout_there_are_no_screenshots(app, widget, loaded, tmp_path):
    from XRayRegistrationLib.display import layout

    layout.restorePrevious()
    loaded.ui.saveReportButton.click()
    settle(app, widget)
    names = {path.name for path in (tmp_path / "X-ray registration ct (not judged)").iterdir()}
    assert "report.html" in names
    assert not any(name.startswith("view_") for name in names)


def test_a_folder_that_takes_nothing_becomes_a_line(app, widget, loaded, tmp_path):
    (tmp_path / "X-ray registration ct (not judged)").write_text("in the way")
    loaded.ui.saveReportButton.click()
    settle(app, widget)
    assert message(loaded).startswith("output folder: expected a folder that can be written to")
    assert "\n" not in message(loaded)
    assert loaded.ui.saveReportButton.enabled
    assert [path.name for path in tmp_path.iterdir()] == ["X-ray registration ct (not judged)"]


@pytest.mark.parametrize("button", ["saveReportButton", "createCopiesButton"])
def test_cancel_leaves_nothing_half_done(app, widget, loaded, tmp_path, button):
    before = set(transforms())
    getattr(loaded.ui, button).click()
    app.wait_until(lambda: loaded.ui.resultsProgressBar.value >= 10)
    widget.ui.cancelButton.click()
    assert message(loaded) == "Cancelled."
    # The worker hears of it at its next pause.
    widget.logic.inputs.worker.settle(60.0)
    assert not list(tmp_path.iterdir())
    assert set(transforms()) == before


def test_the_result_folder_is_made_with_a_click(app, widget, loaded):
    import slicer

    loaded.ui.createCopiesButton.click()
    settle(app, widget)
    assert message(loaded) == "The folder is in the module Data."
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByName("X-ray registration: ct (not judged)")


def test_the_folder_is_remembered_for_the_next_time(app, widget, loaded, tmp_path):
    import qt

    from XRayRegistrationLib.panel.results import ResultsSection

    widget.panel.ui.resultsContainer.deleteLater()
    widget.panel.ui.resultsContainer = qt.QWidget()
    again = ResultsSection(widget.panel)
    assert str(again.ui.folderButton.directory) == str(tmp_path)


def test_closing_the_scene_clears_what_was_said(app, loaded):
    loaded.ui.createTransformButton.click()
    app.scene.Clear(0)
    assert message(loaded) == ""
    assert not loaded.ui.createTransformButton.enabled
