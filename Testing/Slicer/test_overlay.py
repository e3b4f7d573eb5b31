"""How X-ray, DRR, edges and segments are laid over each other: colours, opacities, tiles and blinking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stage as stages


@pytest.fixture
def overlay(app: Any) -> Any:
    """The module under test."""
    from XRayRegistrationLib.display import overlay

    return overlay


@pytest.fixture
def stage(app: Any) -> stages.Stage:
    """One X-ray of a single grey in the layout, with an even DRR over its left half and edges on a row of blocks."""
    from XRayRegistrationLib.display import drawing, layout
    from XRayRegistrationLib.mrml import detector, rig

    made = stages.build(app, "oblique")
    arm, view = made.arms[0], made.rig.views[0]
    rig.showPixels(view, np.full((arm.height, arm.width), 100, np.uint8))
    drr = np.zeros((arm.height, arm.width), np.int32)
    drr[:, : arm.width // 2] = drawing.BLACK + 200
    detector.fillImage(view.drr, drr, view.camera)
    edges = np.zeros((arm.height, arm.width), np.uint8)
    for number, covered in enumerate((255, 128, 0)):
        edges[70:80, 40 + 40 * number : 50 + 40 * number] = covered
    detector.fillImage(view.edges, edges, view.camera)
    made.parameters.showSegments = False
    layout.showLayout(made.rig, made.parameters)
    return made


def colour_at(stage: stages.Stage, pixel: tuple[float, float]) -> tuple[int, ...]:
    """What the view shows at an X-ray pixel."""
    column, row = np.rint(stage.on_screen(0, np.array(pixel))).astype(int)
    return tuple(stage.view(0).picture()[row, column].tolist())


def test_the_drr_covers_the_xray_as_far_as_its_opacity_says_and_only_where_it_is(stage, overlay):
    on_drr, beside = (30, 30), (130, 30)
    for opacity, seen in ((0.0, 100), (0.25, 125), (0.5, 150), (1.0, 200)):
        stage.parameters.drrOpacity = opacity
        overlay.applyAppearance(stage.parameters, stage.rig)
        # Blending works in bytes.
        assert abs(colour_at(stage, on_drr)[0] - seen) <= 1
        assert colour_at(stage, beside) == (100, 100, 100)


def test_the_drr_ends_without_a_rim(stage, overlay):
    stage.parameters.drrOpacity = 1.0
    stage.parameters.showEdges = False
    overlay.applyAppearance(stage.parameters, stage.rig)
    # Of the view's outermost pixels less than half lies on the X-ray.
    row = stage.view(0).picture()[60, 1:-1, 0]
    assert set(row.tolist()) == {100, 200}


def test_edges_have_the_chosen_colour_at_once_and_cover_as_far_as_they_do(stage, overlay):
    import qt

    for red, green, blue in ((255, 0, 0), (20, 200, 255)):
        stage.parameters.edgeColor = qt.QColor(red, green, blue)
        overlay.applyAppearance(stage.parameters, stage.rig)
        assert np.abs(np.subtract(colour_at(stage, (45, 75)), (red, green, blue))).max() <= 1
        half = colour_at(stage, (85, 75))
        assert half not in ((100, 100, 100), (red, green, blue))
        assert colour_at(stage, (125, 75)) == (100, 100, 100)
    stage.parameters.showEdges = False
    overlay.applyAppearance(stage.parameters, stage.rig)
    assert colour_at(stage, (45, 75)) == (100, 100, 100)


def test_nothing_else_is_drawn_in_the_colour_of_edges_when_a_scene_comes_back(app, stage, overlay, tmp_path):
    import qt
    from nodes import reopen

    stage.parameters.edgeColor = qt.QColor(20, 200, 255)
    overlay.applyAppearance(stage.parameters, stage.rig)
    before = stage.view(0).picture()
    reopen(app, tmp_path)
    assert stages.changed(before, stage.view(0).picture(), 3).mean() < 0.005


def test_blinking_shows_the_drr_and_the_xray_in_turn(app, stage, overlay):
    from XRayRegistrationLib.parameters import Comparison

    stage.parameters.comparison = Comparison.blink
    overlay.applyAppearance(stage.parameters, stage.rig)
    blinker = overlay.Blinker()
    blinker.follow(stage.rig)
    seen = []
    for expected in (200, 100, 200):
        app.wait_until(lambda expected=expected: colour_at(stage, (30, 30))[0] == expected, 5)
        seen.append(expected)
        # Other changes of appearance do not stop it.
        overlay.applyAppearance(stage.parameters, stage.rig)
        assert colour_at(stage, (30, 30))[0] == expected
    blinker.follow(None)
    stage.parameters.comparison = Comparison.blend
    overlay.applyAppearance(stage.parameters, stage.rig)
    assert colour_at(stage, (30, 30))[0] == 100


def test_blinking_outlives_the_views(app, stage, overlay):
    blinker = overlay.Blinker()
    blinker.follow(stage.rig)
    app.scene.Clear(0)
    from panel_driver import settle

    import slicer_harness.pythonqt as pythonqt

    pythonqt.slot_errors.clear()
    settle(app, 0.8)
    blinker.follow(None)
    assert not pythonqt.slot_errors


def test_what_is_drawn_in_a_view_is_drawn_in_no_other(app):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "frontal", "lateral")
    layout.showLayout(stage.rig, stage.parameters)
    for index, view in enumerate(stage.rig.views):
        for node in (view.segments, view.points):
            assert list(node.GetDisplayNode().GetViewNodeIDs()) == [layout.sliceViewID(index)]
        assert list(view.beam.GetDisplayNode().GetViewNodeIDs()) == [layout.threeDViewID()]
        assert layout.sliceViewID(index) == stage.view(index).node.GetID()


def test_views_are_not_linked_and_take_no_volume_that_is_chosen_elsewhere(app, stage):
    composite = stage.view(0).logic.GetSliceCompositeNode()
    assert not composite.GetLinkedControl()
    before = composite.GetBackgroundVolumeID()
    selection = app.applicationLogic().GetSelectionNode()
    selection.SetActiveVolumeID(stage.parameters.volume.GetID())
    app.applicationLogic().PropagateVolumeSelection()
    assert composite.GetBackgroundVolumeID() == before
