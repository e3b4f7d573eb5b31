"""The overlay says what stands in its way, and lets go of what is gone."""

from __future__ import annotations

import economy
import pytest
import stage as stages
from nodes import reopen

from slicer_harness import pythonqt

show = pytest.fixture(name="show")(stages.shows)


@pytest.fixture(autouse=True)
def _coarsely(app, monkeypatch):
    economy.draw_coarsely(monkeypatch)


def test_without_a_ct_only_the_xray_is_shown(app, show):
    import slicer

    stage = stages.build(app, "frontal")
    live = show(stage)
    view = stage.rig.views[0]
    app.scene.RemoveNode(stage.parameters.volume)
    stages.settle(app, live)
    assert not live.ready
    assert live.obstacle == ""
    assert not stages.edges_of(view).any()
    assert view.segments.GetSegmentation().GetNumberOfSegments() == 0
    assert slicer.util.arrayFromVolume(view.picture).any()


def test_what_stands_in_the_way_is_told_in_a_sentence_and_goes_when_it_is_mended(app, show):
    from nodes import bend

    stage = stages.build(app, "frontal")
    live = show(stage)
    above = bend(stage.parameters.volume)
    stages.settle(app, live)
    assert not live.ready
    assert "harden" in live.obstacle
    assert not stages.edges_of(stage.rig.views[0]).any()
    app.scene.RemoveNode(above)
    stages.settle(app, live)
    assert live.ready
    stages.assert_ball_is_outlined(stage)


def test_an_xray_that_was_removed_leaves_the_others_alone(app, show):
    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    app.scene.RemoveNode(stage.rig.views[0].source)
    stages.settle(app, live)
    assert "frontal" in live.obstacle
    stage.turn(stages.POSES["oblique"])
    stages.settle(app, live)
    stages.assert_ball_is_outlined(stage)


def test_one_who_is_told_hears_of_changes_only(app):
    from XRayRegistrationLib.display.live import LiveOverlay
    from XRayRegistrationLib.mrml.backend import Inputs

    stage = stages.build(app, "frontal")
    told = []
    live = LiveOverlay(Inputs(), lambda: told.append((live.ready, live.obstacle)))
    live.follow(stage.parameters)
    stages.settle(app, live)
    assert told[-1] == (True, "")
    assert told[0][1]
    count = len(told)
    stage.parameters.segmentFill = 0.5
    stage.turn(stages.POSES["oblique"])
    stages.settle(app, live)
    assert len(told) == count
    live.stop()


@pytest.mark.parametrize("moment", ["preparing", "drawing", "at rest"])
def test_closing_the_scene_at_any_moment_ends_it(app, show, moment):
    from XRayRegistrationLib.display.live import LiveOverlay
    from XRayRegistrationLib.mrml.backend import Inputs

    stage = stages.build(app, "frontal", "lateral")
    if moment == "preparing":
        live = LiveOverlay(Inputs())
        live.follow(stage.parameters)
        app.wait_until(lambda: bool(live.obstacle))
    else:
        live = show(stage)
        stage.turn(stages.POSES["oblique"])
        display = stage.rig.views[0].segments.GetDisplayNode()
        app.wait_until(lambda: not display.GetVisibility2D())
        if moment == "at rest":
            app.wait_until(lambda: bool(live._finishing and live._finishing.running))
    app.scene.Clear(0)
    app.settle(0.4)
    assert live.settled
    assert not live.ready
    assert not pythonqt.slot_errors


@pytest.mark.parametrize("role", ["pose", "picture", "drr", "edges", "segments", "points", "beam"])
def test_removing_a_node_does_no_harm(app, show, role):
    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    view = stage.rig.views[1]
    app.scene.RemoveNode(stage.rig.pose if role == "pose" else getattr(view, role))
    stages.settle(app, live)
    if role == "pose":
        return
    if role == "picture":
        stage.arms, stage.poses = stage.arms[:1], stage.poses[:1]
    stage.turn(stages.POSES["oblique"])
    stages.settle(app, live)
    stages.assert_ball_is_outlined(stage)


def test_one_that_is_stopped_draws_and_observes_no_more(app, show):
    stage = stages.build(app, "frontal")
    live = show(stage)
    live.stop()
    before = stages.edges_of(stage.rig.views[0]).copy()
    stage.turn(stages.POSES["oblique"])
    stages.settle(app, live)
    assert (stages.edges_of(stage.rig.views[0]) == before).all()
    assert not live.ready
    live.follow(stage.parameters)
    stages.settle(app, live)
    stages.assert_ball_is_outlined(stage)


def test_a_scene_that_was_read_is_followed_with_everything_in_place(app, show, tmp_path):
    import slicer

    from XRayRegistrationLib.parameters import Parameters

    stage = stages.build(app, "oblique", "lateral")
    live = show(stage)
    before = [stage.view(index).picture() for index in range(2)]
    live.stop()
    reopen(app, tmp_path)
    # The module's own parameter node, of the same name, may be there too.
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    stage.parameters = Parameters(next(node for node in nodes if node.GetNodeReference("pose")))
    for index in range(2):
        # As Slicer's windows do when they are laid out; until then its views of segments wait.
        stage.view(index).node.Modified()
        assert stages.changed(before[index], stage.view(index).picture()).mean() < 0.01
    live.follow(stage.parameters)
    stages.settle(app, live)
    stages.assert_ball_is_outlined(stage)
    for index in range(2):
        # Drawn anew at a pose with fewer digits, lines shift by parts of a pixel.
        assert stages.changed(before[index], stage.view(index).picture()).mean() < 0.03


@pytest.mark.parametrize("steps_done", [0, 1, 3, 6])
def test_a_view_that_is_removed_while_it_is_drawn_is_let_go_of_without_a_word(app, show, caplog, steps_done):
    from XRayRegistrationLib.mrml import rig

    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    stage.turn(stages.POSES["oblique"])
    app.wait_until(lambda: bool(live._finishing and live._finishing.running))
    for _step in range(steps_done):
        live._finishing._advance()
    told = live.obstacle
    rig.removeView(stage.rig, stage.rig.views[0])
    stages.settle(app, live)
    assert told == live.obstacle == ""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    # The first view's camera was the rig's world and still is.
    stage.arms, stage.poses = stage.arms[1:], stage.poses[1:]
    stages.assert_ball_is_outlined(stage)
