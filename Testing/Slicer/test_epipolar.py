"""Clicks in one X-ray draw the line of their ray in the others, and two of them give the point in space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import stage as stages


class Heard(list[str]):
    """What the tool said."""


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def tool(app: Any, heard: Heard) -> Iterator[Any]:
    """The module under test."""
    from XRayRegistrationLib.display.epipolar import EpipolarTool

    made = EpipolarTool(heard.append)
    yield made
    made.stop()


@pytest.fixture
def stage(app: Any) -> stages.Stage:
    """Two X-rays in the layout."""
    from XRayRegistrationLib.display import layout

    made = stages.build(app, "frontal", "lateral")
    layout.showLayout(made.rig, made.parameters)
    return made


def click(stage: stages.Stage, index: int, ras: np.ndarray) -> None:
    """Click with the mouse where a view shows a point of the patient."""
    stage.view(index).click(*stage.on_screen(index, stage.arms[index].pixel(stage.poses[index], ras)))
    stage.app.processEvents()


def lines(app: Any) -> list[Any]:
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    return [node for node in nodes if node.GetDisplayNode().GetVisibility()]


def spatial_points(app: Any) -> list[np.ndarray]:
    import slicer

    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"):
        if not node.GetHideFromEditors():
            found += [np.array(node.GetNthControlPointPositionWorld(n)) for n in range(node.GetNumberOfControlPoints())]
    return found


@pytest.mark.parametrize("names", [("frontal", "lateral"), ("oblique", "from below"), ("lateral", "oblique")])
def test_the_line_runs_through_every_image_of_the_ray(app, tool, names):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, *names)
    layout.showLayout(stage.rig, stage.parameters)
    before = stage.view(1).picture()
    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    assert len(lines(app)) == 1
    drawn = stages.changed(before, stage.view(1).picture(), 60)
    source = np.linalg.inv(stage.poses[0])[:3, 3]
    passed = 0
    for share in np.linspace(0.9, 1.1, 9):
        # Clicked to a pixel of the screen, which is less than half one of the X-ray.
        pixel = stage.arms[1].pixel(stage.poses[1], source + share * (stage.ball - source))
        column, row = np.rint(stage.on_screen(1, pixel)).astype(int)
        # The line ends at the borders of the image.
        if ((pixel > 2) & (pixel < [stage.arms[1].width - 3, stage.arms[1].height - 3])).all():
            passed += 1
            assert drawn[row - 3 : row + 4, column - 3 : column + 4].any()
    assert passed > 4
    # Only in the other view, and not in the patient's slices.
    assert list(lines(app)[0].GetDisplayNode().GetViewNodeIDs()) == [layout.sliceViewID(1)]


def test_two_clicks_give_the_point_in_space_and_how_well_they_agree(app, tool, stage, heard):
    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    assert spatial_points(app) == []
    click(stage, 1, stage.ball)
    (found,) = spatial_points(app)
    # A pixel of the screen is about 0.3 mm at the patient.
    np.testing.assert_allclose(found, stage.ball, atol=0.5)
    assert "mm" in heard[-1]
    red = app.layouts.slices["Red"].node
    assert red.GetSliceOffset() == pytest.approx(found[2])


def test_the_next_click_starts_anew_and_one_in_the_same_view_replaces_the_first(app, tool, stage):
    other = stage.ball + [-30.0, 10.0, -25.0]
    tool.start(stage.rig)
    click(stage, 0, other)
    click(stage, 0, stage.ball)
    click(stage, 1, stage.ball)
    click(stage, 1, other)
    assert len(spatial_points(app)) == 1
    assert list(lines(app)[0].GetDisplayNode().GetViewNodeIDs()) == ["vtkMRMLSliceNodeXRay1"]
    click(stage, 0, other)
    found = spatial_points(app)
    assert len(found) == 2
    np.testing.assert_allclose(found, [stage.ball, other], atol=0.5)


def test_a_script_may_give_pixels(app, tool, stage):
    tool.start(stage.rig)
    assert tool.mark(0, *stage.ball_pixel(0)) is None
    np.testing.assert_allclose(tool.mark(1, *stage.ball_pixel(1)), stage.ball, atol=1e-6)


def test_a_click_outside_the_xrays_is_told_and_leaves_nothing(app, tool, stage, heard):
    import slicer

    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    # Beside the image, which is not square, in its own view.
    stage.view(1).click(240, 10)
    app.processEvents()
    assert "not in an X-ray" in heard[-1]
    assert len(lines(app)) == 1
    click(stage, 1, stage.ball)
    assert len(spatial_points(app)) == 1
    hidden = [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") if node.GetHideFromEditors()]
    clicks = next(node for node in hidden if node.GetDisplayNode().GetNumberOfViewNodeIDs() == 4)
    defined = [clicks.GetNthControlPointPositionStatus(n) for n in range(clicks.GetNumberOfControlPoints())]
    assert defined.count(clicks.PositionDefined) == 2


def test_views_from_one_source_give_a_sentence_and_no_point(app, tool, heard):
    stage = stages.build(app, "frontal", "frontal")
    tool.start(stage.rig)
    tool.mark(0, *stage.ball_pixel(0))
    assert lines(app) == []
    assert tool.mark(1, *stage.ball_pixel(1)) is None
    assert spatial_points(app) == []
    assert heard[-1]


def test_clicks_and_lines_stay_on_the_detectors_when_the_c_arm_moves(app, tool, stage):
    from XRayRegistrationLib.display import layout

    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    before = stage.view(1).picture()
    stage.turn(stages.POSES["oblique"])
    layout.followPose(stage.rig)
    assert stages.changed(before, stage.view(1).picture(), 60).mean() < 0.002


def test_stopping_leaves_only_the_points_in_space(app, tool, stage):
    before = int(app.scene.GetNumberOfNodes())
    tool.start(stage.rig)
    interaction = app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    click(stage, 0, stage.ball)
    tool.stop()
    assert not tool.active
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert int(app.scene.GetNumberOfNodes()) == before
    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    click(stage, 1, stage.ball)
    tool.stop()
    assert len(spatial_points(app)) == 1
    assert lines(app) == []


def test_closing_the_scene_ends_it(app, tool, stage):
    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    app.scene.Clear(0)
    app.processEvents()
    assert not tool.active


def test_nothing_of_it_is_saved(app, tool, stage, tmp_path):
    from nodes import reopen

    tool.start(stage.rig)
    click(stage, 0, stage.ball)
    reopen(app, tmp_path)
    assert lines(app) == []
