"""The overlay follows the C-arm, the patient and the parameters."""

from __future__ import annotations

import numpy as np
import pytest
import stage as stages
from nodes import transform
from scipy import ndimage

show = pytest.fixture(name="show")(stages.shows)


@pytest.mark.parametrize("name", stages.POSES)
def test_edges_lie_on_the_shadow_however_the_c_arm_stands(app, show, name):
    stage = stages.build(app, name, name)
    live = show(stage)
    assert live.ready
    assert live.obstacle == ""
    stages.assert_ball_is_outlined(stage)


def test_edges_follow_the_c_arm_at_once_and_segments_when_it_rests(app, show):
    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    segments = [view.segments.GetDisplayNode() for view in stage.rig.views]
    assert all(display.GetVisibility2D() for display in segments)
    stage.turn(stages.POSES["oblique"])
    app.wait_until(lambda: not segments[0].GetVisibility2D())
    assert not live.settled
    stages.settle(app, live)
    stages.assert_ball_is_outlined(stage)
    assert all(display.GetVisibility2D() for display in segments)
    drawn = stage.rig.views[0].segments.GetSegmentation().GetSegment("bone_1").GetRepresentation("Binary labelmap")
    left, right, top, bottom, _first, _last = drawn.GetExtent()
    grid = 720 / max(stage.arms[0].width, stage.arms[0].height)
    middle = (np.array([left + right, top + bottom]) / 2 + 0.5) / grid - 0.5
    np.testing.assert_allclose(middle, stage.ball_pixel(0), atol=0.8)


def test_of_many_movements_only_the_last_is_drawn(app, show, monkeypatch):
    from XRayRegistrationLib.display import drawing

    stage = stages.build(app, "frontal")
    live = show(stage)
    drawn = []
    original = drawing.drawSteps

    def remembered(*args, finely=False):
        drawn.append((args[3], finely))
        return original(*args, finely=finely)

    monkeypatch.setattr(drawing, "drawSteps", remembered)
    for turn in range(30):
        stage.turn(stages.standing(turn, 5, 0))
    stages.settle(app, live)
    # Once at the pace of a hand and once finely.
    assert [finely for _pose, finely in drawn] == [False, True]
    for pose, _finely in drawn:
        np.testing.assert_allclose(pose, stages.standing(29, 5, 0), atol=1e-9)


def test_every_view_gets_its_turn_while_the_c_arm_keeps_moving(app, show, monkeypatch):
    from XRayRegistrationLib.display import drawing

    arms = (stages.Arm(), stages.WIDE, stages.Arm())
    stage = stages.build(app, "frontal", "lateral", "oblique", arms=arms)
    shown = show(stage)
    drawn = []

    def noted(_worker, view, *_others, **_how):
        drawn.append(view.name)
        # Each takes a while, in which the C-arm goes on.
        for _ in range(3):
            yield

    monkeypatch.setattr(drawing, "drawSteps", noted)
    for turn in range(12):
        stage.turn(stages.standing(turn + 0.5, 0, 0))
        before = len(drawn)
        app.wait_until(lambda before=before: len(drawn) > before)
    assert min(drawn.count(view.name) for view in stage.rig.views) >= 3
    monkeypatch.undo()
    shown.refresh()
    stages.settle(app, shown)


def test_the_drr_is_drawn_when_it_is_seen(app, show):
    import slicer

    from XRayRegistrationLib.display import drawing
    from XRayRegistrationLib.parameters import Comparison

    stage = stages.build(app, "oblique")
    live = show(stage)
    view = stage.rig.views[0]
    assert not slicer.util.arrayFromVolume(view.drr).any()
    stage.parameters.drrOpacity = 0.5
    stages.settle(app, live)
    drr = slicer.util.arrayFromVolume(view.drr)[0].astype(int)
    assert set(np.unique(drr)) <= {0, *range(drawing.BLACK, drawing.WHITE + 1)}
    # Bone is dark in this X-ray: the ball is the darkest there is.
    grid = drr.shape[1] / stage.arms[0].width
    column, row = np.rint((stage.ball_pixel(0) + 0.5) * grid - 0.5).astype(int)
    assert drr[row, column] < drawing.BLACK + 100
    assert np.median(drr[drr > 0]) > drawing.BLACK + 150
    stage.parameters.comparison = Comparison.checkerboard
    stages.settle(app, live)
    tiles = slicer.util.arrayFromVolume(view.drr)[0].reshape(8, drr.shape[0] // 8, 8, drr.shape[1] // 8) > 0
    filled = tiles.mean(axis=(1, 3))
    rows, columns = np.indices((8, 8))
    assert not filled[(rows + columns) % 2 == 0].any()
    assert filled[(rows + columns) % 2 == 1].any()


def test_another_pose_can_be_shown_without_moving_the_c_arm(app, show):
    import slicer

    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    before, moved = stage.poses, []
    event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    stage.rig.pose.AddObserver(event, lambda *_: moved.append(True))
    other = stages.standing(20, 10, 5)
    live.showPose(other)
    stages.settle(app, live)
    stage.poses = tuple(pose @ np.linalg.inv(before[0]) @ other for pose in before)
    stages.assert_ball_is_outlined(stage)
    live.showPose(None)
    stages.settle(app, live)
    stage.poses = before
    stages.assert_ball_is_outlined(stage)
    assert not moved


def test_a_ct_under_a_transform_is_followed(app, show):
    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    shift = np.eye(4)
    shift[:3, 3] = 15.0, 0.0, -10.0
    transform(shift, stage.parameters.volume, stage.parameters.segmentation)
    stages.settle(app, live)
    stage.ball = stage.ball + shift[:3, 3]
    stages.assert_ball_is_outlined(stage)


def test_changes_of_patient_geometry_and_xray_are_drawn(app, show):
    import slicer

    stage = stages.build(app, "frontal")
    live = show(stage)
    view = stage.rig.views[0]
    assert len(stages.ball_outline(stage, 0)) > 20
    # The ball is taken out of the CT.
    slicer.util.arrayFromVolume(stage.parameters.volume)[stages.ball_mask()] = 30
    slicer.util.arrayFromVolumeModified(stage.parameters.volume)
    stages.settle(app, live)
    assert len(stages.ball_outline(stage, 0)) < 10
    # Another frame in the X-ray's node.
    slicer.util.arrayFromVolume(view.source)[:] = stage.arms[0].picture()[None, ::-1]
    before = slicer.util.arrayFromVolume(view.picture)[0].copy()
    slicer.util.arrayFromVolumeModified(view.source)
    stages.settle(app, live)
    after = slicer.util.arrayFromVolume(view.picture)[0].astype(int)
    # What counts as border is found anew.
    assert (np.abs(after - before[::-1]) > 5).mean() < 0.02
    dots = np.abs(after - before) > 5
    height, width = before.shape
    # The dot of four pixels, and where it was.
    assert dots.sum() == pytest.approx(2 * np.pi * 4**2, rel=0.2)
    middle = stages.centre_of(dots)
    np.testing.assert_allclose(middle, (stages.DOT[0] * width, (height - 1) / 2), atol=0.7)
    # Half the segments.
    stage.parameters.segmentation.GetDisplayNode().SetSegmentVisibility("bone_1", False)
    stages.settle(app, live)
    assert list(view.segments.GetSegmentation().GetSegmentIDs()) == ["bone_2"]


def test_another_geometry_is_drawn(app, show):
    from dataclasses import replace

    from XRayRegistrationLib.mrml import rig

    stage = stages.build(app, "frontal")
    live = show(stage)
    view = stage.rig.views[0]
    rig.setProjection(view, view.projection.changed("test", sid_mm=1300.0, principal_px=(70.0, 88.0)))
    stages.settle(app, live)
    stage.arms = (replace(stage.arms[0], sid_mm=1300.0, central=(70.0, 88.0)),)
    stages.assert_ball_is_outlined(stage)


def test_landmarks_and_plans_follow(app, show):
    from test_points import markups, pixels_of

    stage = stages.build(app, "frontal", "lateral")
    live = show(stage)
    landmarks = markups("Fiducial", stage.ball[None], "ball")
    plan = markups("Line", np.array([stage.ball, stages.ISOCENTRE]), "screw")
    stage.parameters.landmarks = landmarks
    stages.settle(app, live)
    stage.turn(stages.POSES["oblique"])
    stages.settle(app, live)
    plan.SetNthControlPointPositionWorld(1, *(stages.ISOCENTRE + [10.0, 5.0, 0.0]))
    stages.settle(app, live)
    for view, arm, pose in zip(stage.rig.views, stage.arms, stage.poses, strict=True):
        np.testing.assert_allclose(pixels_of(view.points, view), [arm.pixel(pose, stage.ball)], atol=1e-6)
        (copy,) = view.plans
        ends = [arm.pixel(pose, stage.ball), arm.pixel(pose, stages.ISOCENTRE + [10.0, 5.0, 0.0])]
        np.testing.assert_allclose(pixels_of(copy, view), ends, atol=1e-6)
    stage.parameters.showLandmarks = False
    stages.settle(app, live)
    assert not any(view.plans or view.points.GetDisplayNode().GetVisibility() for view in stage.rig.views)


def test_an_xrays_view_cannot_be_scrolled_or_turned_away(app, show):
    stage = stages.build(app, "oblique")
    live = show(stage)
    view = stage.view(0)
    before = view.picture()
    for act in (
        lambda: view.logic.SetSliceOffset(view.node.GetSliceOffset() + 40),
        lambda: view.node.RotateToVolumePlane(stage.parameters.volume),
        lambda: view.node.SetOrientation("Sagittal"),
    ):
        act()
        assert stages.changed(before, view.picture()).any()
        stages.settle(app, live)
        # Where pixels of X-ray and screen coincide, rounding decides which is taken.
        assert stages.changed(before, view.picture()).mean() < 0.002


def test_edges_are_as_wide_as_chosen(app, show):
    stage = stages.build(app, "frontal")
    live = show(stage)
    widths = []
    for width in (2.0, 5.0):
        stage.parameters.edgeWidth = width
        stages.settle(app, live)
        covered = stages.edges_of(stage.rig.views[0]) > 0.5
        skeleton = ndimage.distance_transform_edt(covered)
        # Half the width, in the middle of the line; in pixels of the screen, on which the view has 480 of them.
        widths.append(2 * np.quantile(skeleton[covered], 0.95) * 480 / max(covered.shape))
    assert widths[1] - widths[0] == pytest.approx(3, abs=0.5)
