"""The Review section: what is laid over the X-rays, switched by a user and seen in the views' pictures."""

from __future__ import annotations

import numpy as np
import panel_driver as user
import pytest

# More by this than another colour channel counts as coloured.
CLEARLY = 60


@pytest.fixture
def loaded(app, widget, case):
    """The panel with the phantom, everything drawn."""
    user.import_case(app, widget, case)
    user.until(app, lambda: widget.panel.live.ready and widget.panel.live.settled)
    return widget


@pytest.fixture
def registered(app, loaded):
    """The same after a registration."""
    loaded.ui.effortSelector.setCurrentIndex(0)
    loaded.ui.startSelector.setCurrentIndex(1)
    user.register(app, loaded)
    user.until(app, lambda: loaded.panel.live.settled)
    return loaded


def drawn(app, widget):
    """Wait until the overlay is drawn as everything is set now."""
    user.settle(app)
    user.until(app, lambda: widget.panel.live.settled)


def picture(app):
    """What the first X-ray's view shows."""
    import slicer

    node = slicer.mrmlScene.GetSingletonNode("XRay1", "vtkMRMLSliceNode")
    return app.layouts.view_of(node).picture().astype(int)


def green(image):
    """Which pixels are clearly green."""
    red, green_, blue = (image[..., channel] for channel in range(3))
    return green_ - np.maximum(red, blue) > CLEARLY


def test_controls_say_what_is_missing(app, widget):
    ui = widget.ui
    for control in (ui.drrOpacitySlider, ui.showEdgesCheckBox, ui.showCarmCheckBox, ui.showLayoutButton):
        assert control.toolTip == "Add an X-ray first."
    user.choose_xray(app, widget, user.add_xray())
    assert ui.drrOpacitySlider.toolTip == "Select a CT first."
    assert ui.showCarmCheckBox.enabled
    ui.volumeSelector.setCurrentNode(user.add_ct())
    user.settle(app)
    assert ui.drrOpacitySlider.enabled
    assert ui.segmentFillSlider.toolTip == "Select a segmentation first."
    assert ui.beforeButton.toolTip == "Nothing has been registered yet."
    assert ui.epipolarButton.toolTip == "Epipolar lines need two X-rays or more."


def test_edges_are_hidden_and_recoloured_at_a_click(app, loaded):
    import qt

    ui, edged = loaded.ui, picture(app)
    assert 0.005 < green(edged).mean() < 0.3
    ui.showEdgesCheckBox.click()
    user.settle(app)
    bare = picture(app)
    assert green(bare).mean() == 0
    ui.showEdgesCheckBox.click()
    ui.edgeColorButton.setColor(qt.QColor(255, 0, 0))
    user.settle(app)
    recoloured = picture(app)
    assert green(recoloured).mean() == 0
    # Where it was green it is red; the borders of lines may be clearly red and were not clearly green.
    was, became = green(edged), green(recoloured[..., [1, 0, 2]])
    assert (was & became).sum() > 0.95 * was.sum()
    assert became.sum() < 2 * was.sum()


def test_wider_edges_cover_more(app, loaded):
    thin = green(picture(app)).mean()
    loaded.ui.edgeWidthSlider.setValue(5.0)
    drawn(app, loaded)
    assert green(picture(app)).mean() > 1.3 * thin


def test_the_drr_covers_the_xray_as_far_as_its_slider_says(app, loaded):
    ui = loaded.ui
    ui.showEdgesCheckBox.click()
    images = []
    for opacity in (0.0, 0.5, 1.0):
        ui.drrOpacitySlider.setValue(opacity)
        drawn(app, loaded)
        images.append(picture(app))
    bare, half, full = images
    assert np.abs(full - bare).max() > CLEARLY
    # Half-way between the two, but for rounding.
    assert np.abs(half - (bare + full) / 2).max() < 4
    assert loaded.logic.getParameterNode().drrOpacity == 1.0


def test_a_checkerboard_shows_both(app, loaded):
    ui = loaded.ui
    ui.showEdgesCheckBox.click()
    drawn(app, loaded)
    bare = picture(app)
    ui.comparisonSelector.setCurrentIndex(1)
    drawn(app, loaded)
    # The X-ray fills the view, and there are eight tiles along each side.
    changed = np.abs(picture(app) - bare).max(axis=-1)
    tiles = changed[: len(changed) // 8 * 8, : len(changed) // 8 * 8].reshape(8, len(changed) // 8, 8, -1)
    inside = tiles[:, 5:-5, :, 5:-5].mean(axis=(1, 3))
    odd = np.add.outer(np.arange(8), np.arange(8)) % 2 == 1
    kept, covered = sorted((inside[odd], inside[~odd]), key=np.max)
    assert kept.max() < 0.5
    assert np.median(covered) > 5


def test_blinking_alternates(app, loaded):
    ui = loaded.ui
    ui.showEdgesCheckBox.click()
    ui.comparisonSelector.setCurrentIndex(2)
    seen = []

    def both_seen():
        seen.append(picture(app).mean())
        return max(seen) - min(seen) > 0.5

    user.until(app, both_seen)


def test_the_pose_before_can_be_compared(app, registered):
    ui = registered.ui
    after, pose = green(picture(app)), user.pose_of(registered)
    ui.beforeButton.click()
    drawn(app, registered)
    before = green(picture(app))
    # The overlay moves, the C-arm does not.
    assert (before ^ after).mean() > 0.25 * after.mean()
    assert (user.pose_of(registered) == pose).all()
    ui.beforeButton.click()
    drawn(app, registered)
    assert (green(picture(app)) ^ after).mean() < 0.02 * after.mean()


def test_the_pose_before_is_put_away_when_the_c_arm_moves(app, registered):
    ui = registered.ui
    ui.beforeButton.click()
    user.settle(app)
    ui.rightSlider.setValue(ui.rightSlider.value + 5.0)
    user.settle(app)
    assert not ui.beforeButton.checked
    ui.undoButton.click()
    user.settle(app)
    assert not ui.beforeButton.enabled


def test_the_view_from_the_source_is_one_more_3d_view(app, loaded):
    import slicer

    def eye_is_shown():
        layouts = app.layouts.layoutLogic().GetLayoutNode()
        return "XRayEye" in layouts.GetCurrentLayoutDescription()

    assert not eye_is_shown()
    loaded.ui.showXrayEyeCheckBox.click()
    user.settle(app)
    assert eye_is_shown()
    assert slicer.mrmlScene.GetSingletonNode("XRayEye", "vtkMRMLViewNode")
    loaded.ui.showXrayEyeCheckBox.click()
    user.settle(app)
    assert not eye_is_shown()


def test_the_layout_before_comes_back(app, widget, case):
    from XRayRegistrationLib.display import layout

    layouts = app.layouts.layoutLogic().GetLayoutNode()
    before = layouts.SlicerLayoutFourUpView
    app.layouts.setLayout(before)
    assert not layout.isShown()
    user.import_case(app, widget, case)
    assert layout.isShown()
    widget.ui.showLayoutButton.click()
    assert layouts.GetViewArrangement() == before
    widget.ui.showXrayEyeCheckBox.click()
    user.settle(app)
    # What concerns only the layout does not force it upon anybody.
    assert layouts.GetViewArrangement() == before


def test_epipolar_lines_need_two_xrays_and_follow_a_click(app, widget):
    import slicer

    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    for name in ("First", "Second"):
        user.choose_xray(app, widget, user.add_xray(name))
    ui = widget.ui
    assert ui.epipolarButton.enabled
    ui.epipolarButton.click()
    assert "Click a point" in ui.reviewMessageLabel.text
    node = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID())
    from XRayRegistrationLib.mrml import detector

    first = widget.logic.rig().views[0]
    node.AddControlPointWorld(*(detector.rasFromPixels(first.picture) @ (30.0, 20.0, 0.0, 1.0))[:3])
    user.settle(app)
    assert "another X-ray" in ui.reviewMessageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode") == 1
    ui.viewsTable.cellWidget(1, 3).click()
    user.settle(app)
    assert not ui.epipolarButton.checked
    assert not ui.epipolarButton.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode") == 0


def test_a_ct_that_cannot_be_drawn_is_told(app, loaded):
    import slicer

    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Bent")
    loaded.logic.getParameterNode().volume.SetAndObserveTransformNodeID(bent.GetID())
    user.until(app, lambda: bool(loaded.panel.live.obstacle))
    user.settle(app)
    assert "harden that transform" in loaded.ui.reviewMessageLabel.text
    loaded.logic.getParameterNode().volume.SetAndObserveTransformNodeID(None)
    user.until(app, lambda: not loaded.panel.live.obstacle)
    user.settle(app)
    assert loaded.ui.reviewMessageLabel.text == ""
