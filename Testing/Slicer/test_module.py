"""The module's panel driven as a user drives it, on a headless Slicer."""

from __future__ import annotations

import json
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

GREEN_OVER_RED = 60
MARK_PX = 3.0


def choose(widget: Any, case: Path, effort: int = 0, start: int = 1) -> None:
    """Choose a case, the least effort, and to start at the case's initial pose: quick, and all that is needed."""
    widget.ui.caseSelector.setCurrentPath(str(case))
    widget.ui.effortSelector.setCurrentIndex(effort)
    widget.ui.startSelector.setCurrentIndex(start)


def register(app: Any, widget: Any) -> None:
    """Click Register and wait for the end."""
    widget.ui.registerButton.click()
    app.wait_until(lambda: not widget.panel.running)


def until_refining(app: Any, widget: Any) -> None:
    """Click Register and wait until poses are being found."""
    widget.ui.registerButton.click()
    app.wait_until(lambda: widget.ui.statusLabel.text.startswith("refining"))


def reference_of(case: Path) -> NDArray[np.float64]:
    return np.array(json.loads(case.read_text())["reference"]["world_from_volume"])


def green_share(picture: NDArray[np.uint8]) -> float:
    """Share of a picture's pixels that are green."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return float((green - np.maximum(red, blue) > GREEN_OVER_RED).mean())


@pytest.fixture
def registered(app: Any, widget: Any, case: Path) -> Any:
    """The panel after a registration of the phantom."""
    choose(widget, case)
    register(app, widget)
    return widget


def test_a_fresh_panel_says_what_to_do(widget):
    assert not widget.ui.registerButton.enabled
    assert widget.ui.registerButton.toolTip == "Choose a case file (case.json) first."
    assert not widget.ui.cancelButton.enabled
    assert widget.ui.cancelButton.toolTip == "Nothing is running."
    assert widget.ui.statusLabel.text == "Choose a case, then register."
    assert widget.ui.effortSelector.currentText == "Standard"


def test_a_case_that_is_not_there_cannot_be_registered(widget, case, tmp_path):
    choose(widget, tmp_path / "nothing.json")
    assert not widget.ui.registerButton.enabled
    assert str(tmp_path / "nothing.json") in widget.ui.registerButton.toolTip
    choose(widget, case)
    assert widget.ui.registerButton.enabled


def test_a_user_registers_a_case(app, widget, case, screenshot):
    import slicer

    choose(widget, case)
    said = []
    widget.ui.registerButton.click()
    assert not widget.ui.registerButton.enabled
    assert "cancel it first" in widget.ui.registerButton.toolTip
    assert not widget.ui.caseSelector.enabled

    def ended() -> bool:
        if widget.ui.statusLabel.text not in said:
            said.append(widget.ui.statusLabel.text)
        return not widget.panel.running

    app.wait_until(ended)
    assert any(line.startswith("refining") for line in said)
    assert said[-1].startswith("Done in ")
    assert widget.ui.progressBar.value == 100
    assert widget.ui.verdictLabel.text.startswith(("Accepted: ", "Not trusted: "))
    assert widget.ui.registerButton.enabled
    assert not widget.ui.cancelButton.enabled
    parameters = widget.logic.getParameterNode()
    found = np.linalg.inv(slicer.util.arrayFromTransformMatrix(parameters.pose))
    corners = np.array([[x, y, z, 1.0] for x in (-200, 200) for y in (-146, 134) for z in (-130, 280)])
    errors = np.linalg.norm(corners @ (found - reference_of(case))[:3].T, axis=1)
    # Pixels are 3 mm at the patient, voxels 5 mm, and the X-ray has noise and scatter: a third of a pixel.
    assert errors.mean() < 1.0
    assert f"{errors.mean():.2f} mm" in widget.ui.verdictLabel.text
    screenshot("panel.png", lambda path: widget.parent.grab().save(str(path)))
    screenshot("xray_with_edges.png", lambda path: app.layouts.slices["XRay"].picture(path))
    screenshot("carm_in_3d.png", lambda path: app.layouts.views[0].picture(path))


def test_the_xray_is_seen_from_the_source_at_any_pose(app, registered):
    import slicer

    from XRayRegistrationLib.bridge import CaseNodes

    nodes = CaseNodes.of(registered.logic.getParameterNode().pose)
    registered.ui.showEdgesCheckBox.click()
    xray = slicer.util.arrayFromVolume(nodes.views[0].xray)[0].copy()
    # Three bright marks at unequal places tell apart every turn and mirror image.
    xray[:] = 0
    marks = [(20, 12), (80, 25), (33, 70)]
    for column, row in marks:
        xray[row, column] = 255
    slicer.util.updateVolumeFromArray(nodes.views[0].xray, xray[None])
    view = app.layouts.slices["XRay"]
    picture = view.picture()[..., 0].astype(float)
    side = picture.shape[0] / xray.shape[0]
    for column, row in marks:
        # The view is fitted to the square image: picture pixels follow from image pixels by their sizes alone.
        x, y = (column + 0.5) * side - 0.5, (row + 0.5) * side - 0.5
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
        near = picture * (np.hypot(columns - x, rows - y) < 2 * side)
        assert near.max() > 100
        centre = np.array([(near * columns).sum(), (near * rows).sum()]) / near.sum()
        assert np.abs(centre - [x, y]).max() < MARK_PX


def test_edges_lie_on_the_xray_and_can_be_hidden_and_recoloured(app, registered):
    import qt

    view = app.layouts.slices["XRay"]
    shown = green_share(view.picture())
    assert 0.01 < shown < 0.3
    registered.ui.showEdgesCheckBox.click()
    assert green_share(view.picture()) == 0
    registered.ui.showEdgesCheckBox.click()
    assert green_share(view.picture()) == shown
    registered.ui.edgeColorButton.setColor(qt.QColor(255, 0, 0))
    picture = view.picture()
    assert green_share(picture) == 0
    # The same pixels, as red as they were green.
    assert green_share(picture[..., [1, 0, 2]]) == pytest.approx(shown, rel=0.1)


def test_scrolling_a_little_does_not_lose_the_xray(app, registered):
    view = app.layouts.slices["XRay"]
    before = view.picture().mean()
    view.logic.SetSliceOffset(view.node.GetSliceOffset() + 2.0)
    assert view.picture().mean() == pytest.approx(before, rel=0.02)


def test_cancel_keeps_the_best_pose_without_a_verdict(app, widget, case):
    import slicer

    choose(widget, case)
    until_refining(app, widget)
    assert widget.ui.cancelButton.enabled
    widget.ui.cancelButton.click()
    assert widget.ui.statusLabel.text == "Cancelled"
    assert widget.ui.verdictLabel.text.startswith("No verdict: ")
    assert widget.ui.registerButton.enabled
    pose = widget.logic.getParameterNode().pose
    before = slicer.util.arrayFromTransformMatrix(pose)
    for _ in range(20):
        app.processEvents()
    assert (slicer.util.arrayFromTransformMatrix(pose) == before).all()
    nodes = app.scene.GetNumberOfNodes()
    register(app, widget)
    assert widget.ui.statusLabel.text.startswith("Done in ")
    assert app.scene.GetNumberOfNodes() == nodes


def test_closing_the_scene_ends_the_registration(app, widget, case):
    choose(widget, case)
    until_refining(app, widget)
    app.scene.Clear(0)
    assert not widget.panel.running
    for _ in range(20):
        app.processEvents()
    assert widget.ui.statusLabel.text == "Choose a case, then register."
    assert widget.ui.caseSelector.currentPath == ""
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    choose(widget, case)
    register(app, widget)
    assert widget.ui.statusLabel.text.startswith("Done in ")


def test_removing_a_node_ends_the_registration_with_a_sentence(app, widget, case):
    choose(widget, case)
    until_refining(app, widget)
    app.scene.RemoveNode(widget.logic.getParameterNode().pose)
    app.wait_until(lambda: not widget.panel.running)
    assert widget.ui.statusLabel.text == "The pose, the volume or an image was removed from the scene."
    assert widget.ui.registerButton.enabled


def test_leaving_the_panel_lets_the_registration_go_on(app, widget, case):
    choose(widget, case)
    until_refining(app, widget)
    widget.exit()
    app.wait_until(lambda: not widget.panel.running)
    widget.enter()
    assert widget.ui.statusLabel.text.startswith("Done in ")
    assert widget.ui.caseSelector.currentPath == str(case)
    assert widget.ui.registerButton.enabled


BAD_CASES: dict[str, tuple[Callable[[dict], str], str]] = {
    "not JSON": (lambda content: "{volume: ct}", "expected JSON"),
    "no views": (lambda content: json.dumps({**content, "views": []}), "views: expected at least one X-ray"),
    "no volume": (lambda content: json.dumps({**content, "volume": "lost.nrrd"}), "nothing at"),
    "no start": (lambda content: json.dumps({**content, "initial": None}), 'expected an "initial" pose'),
}


@pytest.mark.parametrize(("written", "said"), BAD_CASES.values(), ids=BAD_CASES)
def test_a_bad_case_becomes_one_line_in_the_panel(app, widget, case, tmp_path, written, said):
    content = json.loads(case.read_text())
    for name in ("ct.nrrd", "xray.tif"):
        (tmp_path / name).symlink_to(case.parent / name)
    bad = tmp_path / "case.json"
    bad.write_text(written(content))
    choose(widget, bad)
    register(app, widget)
    assert said in widget.ui.statusLabel.text
    assert "\n" not in widget.ui.statusLabel.text
    assert widget.ui.verdictLabel.text == ""
    assert widget.ui.registerButton.enabled


def test_missing_packages_become_one_line_in_the_panel(app, widget, case, monkeypatch):
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "_isInstalled", lambda name: name not in ("torch", "nibabel"))
    choose(widget, case)
    register(app, widget)
    assert "Install the extension PyTorch" in widget.ui.statusLabel.text
    assert widget.ui.registerButton.enabled


def test_an_unforeseen_error_is_told_and_logged(app, widget, case, monkeypatch, caplog):
    from XRayRegistrationLib import bridge

    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(bridge, "loadCase", fail)
    choose(widget, case)
    register(app, widget)
    assert "ZeroDivisionError: division by zero" in widget.ui.statusLabel.text
    assert caplog.records[-1].exc_info


def test_the_modules_self_test_passes(app, widget):
    import XRayRegistration

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(XRayRegistration.XRayRegistrationTest)
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == 1
    assert not result.skipped
    assert result.wasSuccessful(), result.failures + result.errors
