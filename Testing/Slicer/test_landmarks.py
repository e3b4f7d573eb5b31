"""Landmarks on CT and X-rays: marked where they are seen, paired by name, turned into the pose that explains them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inline_worker import new_worker
from nodes import RAS_FROM_INDEX, SHAPE, add_ct, add_xray, reopen, run, some_pose, transform

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Placement, Projection, camera_from_placement

SIZE = (640, 480)
PLACE = np.eye(4)
PLACE[:3, :3] = [[0.6, 0, -0.8], [0, 1, 0], [0.8, 0, 0.6]]
PLACE[:3, 3] = 550.0, 10.0, 270.0
FRONT = Projection.of_camera(Camera.from_sid(1000.0, 0.5, *SIZE), "test")
SIDE = replace(FRONT, camera_from_world=tuple(map(tuple, PLACE.tolist())))
MIDDLE = (RAS_FROM_INDEX @ (*(np.array(SHAPE[::-1]) - 1) / 2, 1.0))[:3]
# Scattered about the CT's middle, not in a plane [mm].
POINTS = MIDDLE + np.random.default_rng(5).uniform(-40, 40, (7, 3))
NAMES = [f"mark {number}" for number in range(7)]
TRUE = camera_from_placement(Placement(-28.0, 9.0, 4.0, 6.0, -5.0, 690.0), MIDDLE)


@pytest.fixture
def landmarks(app: Any) -> Any:
    from XRayRegistrationLib.mrml import landmarks

    app.scene.Clear(0)
    return landmarks


def rig_of(*given: Projection) -> Any:
    from XRayRegistrationLib.mrml import rig

    made = rig.createRig()
    for number, projection in enumerate(given):
        made = rig.addView(made, add_xray(name=f"view {number}"), projection)
    return made


def add_points(points: np.ndarray = POINTS, names: list[str] = NAMES) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "on CT")
    for point, name in zip(points, names, strict=True):
        node.AddControlPoint(*point, name)
    return node


def seen(projection: Projection, points: np.ndarray = POINTS) -> np.ndarray:
    """Pixels of points at the true pose, which is that of the first camera."""
    camera = projection.camera()
    pose = camera.camera_from_world @ TRUE
    return camera.project(points @ pose[:3, :3].T + pose[:3, 3])


def solved(shown: Any, volume: Any, points: Any) -> Any:
    """The LandmarkFit of the points on the CT and their marks."""
    from XRayRegistrationLib.mrml import landmarks

    return run(landmarks.poseSteps(new_worker(), shown, volume, points))


def mark(landmarks: Any, shown: Any, which: slice = slice(None), noise: float = 0.0) -> None:
    generator = np.random.default_rng(0)
    for view in shown.views:
        pixels = seen(view.projection) + noise * generator.normal(size=(7, 2))
        for name, (column, row) in list(zip(NAMES, pixels, strict=True))[which]:
            landmarks.addLandmark(shown, view, name, column, row)


@pytest.mark.parametrize("given", [(FRONT,), (FRONT, SIDE)], ids=["one view", "two views"])
def test_the_pose_that_explains_the_clicks_is_found(landmarks, given):
    from XRayRegistrationLib.mrml import posing, rig

    shown, volume = rig_of(*given), add_ct()
    posing.placeAtFirst(shown, volume)
    before = rig.worldFromVolume(shown)
    mark(landmarks, shown)
    fit = solved(shown, volume, add_points())
    np.testing.assert_allclose(rig.cameraFromVolume(shown, shown.views[0]), TRUE, atol=1e-4)
    np.testing.assert_array_equal(fit.before, before)
    assert posing.isPosed(shown) and fit.unpaired == ()
    assert len(fit.lines) == 7 * len(given) and fit.lines[0].endswith(": 0.0 mm")


def test_each_landmarks_own_error_is_told_the_worst_first(landmarks):
    shown = rig_of(FRONT)
    mark(landmarks, shown)
    column, row = seen(FRONT)[4]
    landmarks.addLandmark(shown, shown.views[0], "mark 4", column + 10, row)
    fit = solved(shown, add_ct(), add_points())
    assert fit.lines[0] == f"mark 4 in view 0: {fit.residualsMm.max():.1f} mm"
    told = [float(line.split()[-2]) for line in fit.lines]
    assert told == sorted(told, reverse=True) and told[0] > 1.0


def test_points_are_paired_by_name_and_the_others_are_told(landmarks):
    shown = rig_of(FRONT)
    mark(landmarks, shown, slice(1, 7))
    landmarks.addLandmark(shown, shown.views[0], "elsewhere", 10.0, 10.0)
    order = [3, 0, 6, 2, 5, 1, 4]
    fit = solved(shown, add_ct(), add_points(POINTS[order], [NAMES[n] for n in order]))
    assert fit.unpaired == ("elsewhere", "mark 0")
    np.testing.assert_allclose(fit.residualsPx, 0, atol=1e-3)


def test_a_landmark_may_be_marked_in_one_view_only(landmarks):
    from XRayRegistrationLib.mrml import rig

    shown = rig_of(FRONT, SIDE)
    for view, which in zip(shown.views, (slice(0, 5), slice(3, 7)), strict=True):
        for name, (column, row) in list(zip(NAMES, seen(view.projection), strict=True))[which]:
            landmarks.addLandmark(shown, view, name, column, row)
    fit = solved(shown, add_ct(), add_points())
    np.testing.assert_allclose(rig.cameraFromVolume(shown, shown.views[0]), TRUE, atol=1e-3)
    assert len(fit.lines) == 9


def test_points_of_a_moved_ct_count_where_they_are_now(landmarks):
    from XRayRegistrationLib.mrml import rig

    shown, volume, points = rig_of(FRONT), add_ct(), add_points()
    transform(some_pose(), volume, points)
    mark(landmarks, shown)
    solved(shown, volume, points)
    np.testing.assert_allclose(rig.cameraFromVolume(shown, shown.views[0]) @ some_pose(), TRUE, atol=1e-4)


@pytest.mark.parametrize(
    ("which", "sentence"), [(slice(0, 2), "landmarks"), (slice(0, 0), "landmarks")], ids=["two", "none"]
)
def test_too_few_leave_the_c_arm_where_it_stands(landmarks, which, sentence):
    from XRayRegistrationLib.mrml import rig

    shown = rig_of(FRONT)
    rig.setWorldFromVolume(shown, some_pose())
    mark(landmarks, shown, which)
    with pytest.raises(InputError, match=sentence):
        solved(shown, add_ct(), add_points())
    with pytest.raises(InputError, match="points on the CT, found none"):
        solved(shown, add_ct(), None)
    np.testing.assert_allclose(rig.worldFromVolume(shown), some_pose(), atol=1e-12)


def test_a_view_that_is_removed_meanwhile_ends_in_a_sentence(landmarks, app):
    from XRayRegistrationLib.mrml import rig

    shown = rig_of(FRONT)
    mark(landmarks, shown)
    steps = landmarks.poseSteps(new_worker(), shown, add_ct(), add_points())
    next(steps)
    app.scene.RemoveNode(shown.views[0].picture)
    with pytest.raises(rig.NodesRemoved):
        run(steps)


def test_a_name_that_two_points_have_is_refused(landmarks):
    shown = rig_of(FRONT)
    mark(landmarks, shown)
    with pytest.raises(InputError, match="landmarks on CT: expected a name for each, found several called mark 1"):
        solved(shown, add_ct(), add_points(POINTS, ["mark 1", *NAMES[1:]]))


def test_marking_a_landmark_again_moves_it(landmarks):
    shown = rig_of(FRONT)
    first = landmarks.addLandmark(shown, shown.views[0], "tip", 10.0, 20.0)
    assert landmarks.addLandmark(shown, shown.views[0], "tip", 30.0, 40.0) == first
    assert landmarks.marked(shown.views[0]) == {"tip": pytest.approx([30.0, 40.0])}


def test_marks_lie_on_the_detector_and_go_with_the_c_arm(landmarks):
    from XRayRegistrationLib.mrml import detector, rig

    shown = rig_of(FRONT)
    landmarks.addLandmark(shown, shown.views[0], "tip", 100.0, 200.0)
    node = landmarks.landmarksIn(shown, shown.views[0])
    for pose in (some_pose(), TRUE):
        rig.setWorldFromVolume(shown, pose)
        expected = (detector.rasFromPixels(shown.views[0].picture) @ (100.0, 200.0, 0.0, 1.0))[:3]
        np.testing.assert_allclose(node.GetNthControlPointPositionWorld(0), expected, atol=1e-8)
        assert landmarks.marked(shown.views[0]) == {"tip": pytest.approx([100.0, 200.0])}


def test_a_mark_off_the_detector_counts_for_the_ray_it_lies_on(landmarks):
    shown = rig_of(FRONT)
    landmarks.addLandmark(shown, shown.views[0], "tip", 100.0, 200.0)
    node = landmarks.landmarksIn(shown, shown.views[0])
    # A view of the first camera, whose frame is the rig's world: half the way to the source.
    node.SetNthControlPointPosition(0, *(0.5 * np.array(node.GetNthControlPointPosition(0))))
    assert landmarks.marked(shown.views[0]) == {"tip": pytest.approx([100.0, 200.0])}


def test_marks_stay_on_the_stored_image_when_the_geometry_is_corrected(landmarks):
    from XRayRegistrationLib.mrml import importing

    shown = rig_of(FRONT)
    view = shown.views[0]
    landmarks.addLandmark(shown, view, "tip", 100.0, 200.0)
    importing.setGeometry(shown, view, FRONT.changed("test", sid_mm=1300.0, pixel_mm=(0.4, 0.6)))
    assert landmarks.marked(view) == {"tip": pytest.approx([100.0, 200.0])}
    importing.setGeometry(shown, view, view.projection.oriented(0, True, "test"))
    assert landmarks.marked(view) == {"tip": pytest.approx([639 - 100.0, 200.0])}
    importing.setGeometry(shown, view, view.projection.oriented(1, False, "test"))
    # A quarter turn counter-clockwise: the last column becomes the first row.
    assert landmarks.marked(view) == {"tip": pytest.approx([200.0, 639 - 100.0])}


def test_there_are_no_marks_before_somebody_makes_some_and_none_after_the_view_was_removed(landmarks, app):
    from XRayRegistrationLib.mrml import importing

    shown = rig_of(FRONT)
    view = shown.views[0]
    assert landmarks.landmarksIn(shown, view) is None and landmarks.marked(view) == {}
    node = landmarks.landmarksIn(shown, view, create=True)
    assert landmarks.landmarksIn(shown, view) is node and not node.GetHideFromEditors()
    importing.removeXray(shown, view)
    assert node.GetScene() is None
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_a_saved_scene_keeps_the_marks(landmarks, app, tmp_path):
    import slicer

    from XRayRegistrationLib.mrml import rig

    shown = rig_of(FRONT)
    landmarks.addLandmark(shown, shown.views[0], "tip", 100.0, 200.0)
    reopen(app, tmp_path)
    again = rig.rigOf(slicer.util.getNode("C-arm pose"))
    # Positions are written with fewer digits than they are kept.
    assert landmarks.marked(again.views[0]) == {"tip": pytest.approx([100.0, 200.0], abs=1e-2)}


def test_points_are_reprojected_where_the_camera_sees_them(landmarks):
    from XRayRegistrationLib.mrml import rig

    shown, node = rig_of(FRONT, SIDE), add_points()
    behind = np.linalg.inv(TRUE) @ (0.0, 0.0, -300.0, 1.0)
    beside = np.linalg.inv(TRUE) @ (500.0, 0.0, 700.0, 1.0)
    node.AddControlPoint(*behind[:3], "behind the source")
    node.AddControlPoint(*beside[:3], "beside the image")
    node.SetNthControlPointVisibility(2, False)
    rig.setCameraFromVolume(shown, shown.views[0], TRUE)
    found = landmarks.reprojectedPoints(shown, shown.views[0], [node])
    assert [point.name for point in found] == [name for name in NAMES if name != "mark 2"]
    expected = np.delete(seen(FRONT), 2, axis=0)
    np.testing.assert_allclose([(point.column, point.row) for point in found], expected, atol=1e-6)
