"""Landmarks and plans are drawn where the X-ray would show them, and do not disturb what the user does with markups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stage as stages

DISPLAYED = np.array([[8.0, -4.0, 10.0], [-30.0, 12.0, -20.0], [25.0, 20.0, 15.0]])


@pytest.fixture
def points(app: Any) -> Any:
    """The module under test."""
    from XRayRegistrationLib.display import points

    return points


def markups(kind: str, places: np.ndarray, name: str = "plan", colour: tuple[float, ...] = (0.0, 1.0, 1.0)) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*colour)
    for number, place in enumerate(places, 1):
        node.AddControlPointWorld(*place, f"{name} {number}")
    return node


def draw(points: Any, stage: stages.Stage, landmarks: Any = None) -> None:
    from XRayRegistrationLib.display import layout

    plans = points.plans(stage.rig.pose, landmarks)
    for index, (view, pose) in enumerate(zip(stage.rig.views, stage.poses, strict=True)):
        points.draw(view, layout.sliceViewID(index), landmarks, plans, pose)


def pixels_of(node: Any, view: Any) -> np.ndarray:
    """Columns and rows at which the control points of a node lie on a detector; they lie on it."""
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    view.picture.GetIJKToRASMatrix(matrix)
    to_index = np.linalg.inv(slicer.util.arrayFromVTKMatrix(matrix))
    count = node.GetNumberOfControlPoints()
    places = np.array([[*node.GetNthControlPointPosition(n), 1.0] for n in range(count)]).reshape(-1, 4)
    index = places @ to_index.T
    # Positions of a metre in double precision, times a matrix.
    np.testing.assert_allclose(index[:, 2], 0, atol=1e-6)
    return index[:, :2]


@pytest.mark.parametrize("name", stages.POSES)
def test_landmarks_lie_where_they_are_seen_however_the_c_arm_stands(app, points, name):
    stage = stages.build(app, name, name)
    landmarks = markups("Fiducial", stages.ISOCENTRE + DISPLAYED, "hip")
    draw(points, stage, landmarks)
    for view, arm, pose in zip(stage.rig.views, stage.arms, stage.poses, strict=True):
        expected = [arm.pixel(pose, place) for place in stages.ISOCENTRE + DISPLAYED]
        np.testing.assert_allclose(pixels_of(view.points, view), expected, atol=1e-6)
        assert [view.points.GetNthControlPointLabel(n) for n in range(3)] == ["hip 1", "hip 2", "hip 3"]
        assert view.points.GetLocked()


def test_a_landmark_is_seen_at_its_place_in_its_colour(app, points):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "oblique", "lateral")
    landmarks = markups("Fiducial", stage.ball[None], "ball", (1.0, 0.0, 0.0))
    landmarks.GetDisplayNode().SetPointLabelsVisibility(False)
    layout.showLayout(stage.rig, stage.parameters)
    before = [stage.view(index).picture() for index in range(2)]
    draw(points, stage, landmarks)
    for index in range(2):
        drawn = stages.changed(before[index], stage.view(index).picture(), 60)
        # A glyph is drawn to whole pixels of the screen.
        found = stages.centre_of(drawn)
        np.testing.assert_allclose(found, stage.on_screen(index, stage.ball_pixel(index)), atol=1.0)


def test_points_that_nobody_can_see_in_the_image_are_left_out(app, points):
    stage = stages.build(app, "frontal")
    behind = np.linalg.inv(stage.poses[0]) @ (10.0, 20.0, -50.0, 1.0)
    beside = stages.ISOCENTRE + np.array([400.0, 0.0, 0.0])
    landmarks = markups("Fiducial", np.array([behind[:3], stage.ball, beside]), "hip")
    draw(points, stage, landmarks)
    view = stage.rig.views[0]
    assert [view.points.GetNthControlPointLabel(n) for n in range(view.points.GetNumberOfControlPoints())] == ["hip 2"]
    landmarks.SetNthControlPointVisibility(1, False)
    draw(points, stage, landmarks)
    assert view.points.GetNumberOfControlPoints() == 0
    landmarks.SetNthControlPointVisibility(1, True)
    landmarks.GetDisplayNode().SetVisibility(False)
    draw(points, stage, landmarks)
    assert view.points.GetNumberOfControlPoints() == 0


def test_a_line_is_drawn_between_the_images_of_its_ends(app, points):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "oblique")
    ends = stages.ISOCENTRE + DISPLAYED[:2]
    layout.showLayout(stage.rig, stage.parameters)
    before = stage.view(0).picture()
    markups("Line", ends, "screw")
    draw(points, stage)
    rows, columns = np.nonzero(stages.changed(before, stage.view(0).picture(), 60))
    first, last = (stage.on_screen(0, stage.arms[0].pixel(stage.poses[0], place)) for place in ends)
    along = (last - first) / np.linalg.norm(last - first)
    away = np.stack([columns, rows], -1) - first
    # A line of some three pixels, and nothing at its ends.
    assert np.abs(away @ [-along[1], along[0]]).max() < 3
    assert abs((away @ along).min()) < 3
    assert abs((away @ along).max() - np.linalg.norm(last - first)) < 3


@pytest.mark.parametrize("kind", ["Curve", "ClosedCurve"])
def test_a_curve_is_drawn_along_its_own_course(app, points, kind):
    import slicer

    stage = stages.build(app, "oblique")
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    circle = stages.ISOCENTRE + 25 * np.stack([np.cos(angles), 0 * angles, np.sin(angles)], -1)
    curve = markups(kind, circle)
    draw(points, stage)
    view = stage.rig.views[0]
    (copy,) = view.plans
    seen = pixels_of(copy, view)
    course = np.array([stage.arms[0].pixel(stage.poses[0], p) for p in slicer.util.arrayFromMarkupsCurvePoints(curve)])
    distances = np.linalg.norm(seen[:, None] - course[None], axis=-1)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-6)
    closed = kind == "ClosedCurve"
    assert np.allclose(seen[0], seen[-1]) == closed
    # No part of the course is far from what is drawn.
    assert distances.min(axis=0).max() < 4


def test_every_plan_has_one_copy_in_each_view_as_long_as_it_is_seen(app, points):
    stage = stages.build(app, "frontal", "lateral")
    nodes = [markups("Line", stages.ISOCENTRE + DISPLAYED[:2], "a"), markups("Fiducial", stage.ball[None], "b")]
    draw(points, stage)
    draw(points, stage)
    assert [len(view.plans) for view in stage.rig.views] == [2, 2]
    nodes[0].GetDisplayNode().SetVisibility(False)
    draw(points, stage)
    assert [len(view.plans) for view in stage.rig.views] == [1, 1]
    app.scene.RemoveNode(nodes[1])
    draw(points, stage)
    assert [len(view.plans) for view in stage.rig.views] == [0, 0]


def test_copies_go_with_their_view(app, points):
    from XRayRegistrationLib.mrml import rig

    stage = stages.build(app, "frontal", "lateral")
    markups("Line", stages.ISOCENTRE + DISPLAYED[:2])
    draw(points, stage)
    copies = [view.plans[0] for view in stage.rig.views]
    rig.removeView(stage.rig, stage.rig.views[0])
    assert copies[0].GetScene() is None
    assert copies[1].GetScene() is not None


def test_what_belongs_to_the_c_arm_is_no_plan(app, points):
    from XRayRegistrationLib.mrml import landmarks

    stage = stages.build(app, "frontal")
    landmarks.addLandmark(stage.rig, stage.rig.views[0], "hip", 20, 30)
    markups("Plane", stages.ISOCENTRE + DISPLAYED)
    draw(points, stage)
    assert points.candidates(stage.rig.pose) == []
    assert stage.rig.views[0].plans == []


def test_what_the_user_is_placing_stays_what_it_is(app, points):
    stage = stages.build(app, "frontal")
    selection = app.applicationLogic().GetSelectionNode()
    theirs = markups("Curve", stages.ISOCENTRE + DISPLAYED)
    assert selection.GetActivePlaceNodeID() == theirs.GetID()
    draw(points, stage)
    assert len(stage.rig.views[0].plans) == 1
    assert selection.GetActivePlaceNodeID() == theirs.GetID()
    assert selection.GetActivePlaceNodeClassName() == theirs.GetClassName()
