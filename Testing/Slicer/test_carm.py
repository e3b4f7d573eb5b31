"""The C-arm in 3D: what is in the picture, and that the X-ray eye sees the patient on the X-ray."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stage as stages
from nodes import run


@pytest.fixture
def carm(app: Any) -> Any:
    """The module under test."""
    from XRayRegistrationLib.display import carm

    return carm


def shown(stage: stages.Stage, eye: bool = False) -> None:
    """The layout with bones and X-rays, and nothing that follows it."""
    from XRayRegistrationLib.display import bones, layout
    from XRayRegistrationLib.mrml import rig

    for view, arm in zip(stage.rig.views, stage.arms, strict=True):
        rig.showPixels(view, (arm.picture() >> 8).astype(np.uint8))
    run(bones.surfaceSteps(stage.rig, stage.parameters.volume))
    stage.parameters.showXrayEye = eye
    layout.showLayout(stage.rig, stage.parameters)


def view_of(stage: stages.Stage, name: str) -> Any:
    return stage.app.layouts.view_of(stage.app.scene.GetSingletonNode(name, "vtkMRMLViewNode"))


def on_detector(stage: stages.Stage, index: int, pixel: Any) -> np.ndarray:
    """Where a pixel of an X-ray lies in the patient's space (RAS mm)."""
    arm, pose = stage.arms[index], stage.poses[index]
    ray = np.array([*(np.asarray(pixel) - arm.central) * arm.pitch_mm, arm.sid_mm])
    return (np.linalg.inv(pose) @ [*ray, 1.0])[:3]


@pytest.mark.parametrize("name", stages.POSES)
@pytest.mark.parametrize("index", [0, 1])
def test_the_eye_at_the_source_sees_the_patient_on_the_xray(app, carm, name, index):
    stage = stages.build(app, name, name)
    stage.parameters.activeView = index
    shown(stage, eye=True)
    eye = view_of(stage, "XRayEye")
    without = eye.picture()
    # On the ray to a pixel of the detector, a point in the patient and the pixel itself are seen at one place.
    places = [eye.pixel_of(stage.ball), eye.pixel_of(on_detector(stage, index, stage.ball_pixel(index)))]
    np.testing.assert_allclose(places[0], places[1], atol=1e-3)
    # The X-ray itself is what is seen there: its dot lies where the detector has it.
    arm = stage.arms[index]
    dot = eye.pixel_of(on_detector(stage, index, (stages.DOT[0] * arm.width, stages.DOT[1] * arm.height)))
    rows, columns = np.indices(without.shape[:2])
    near = np.hypot(columns - dot[0], rows - dot[1]) < 14
    dark = near & (without.max(axis=-1) < 60)
    # The texture has about a pixel of the screen per pixel.
    np.testing.assert_allclose(stages.centre_of(dark), dot, atol=1.5)


@pytest.mark.parametrize("name", ["frontal", "from below"])
def test_the_eye_looks_at_the_whole_detector_with_its_rows_downwards(app, carm, name):
    stage = stages.build(app, name, name)
    stage.parameters.activeView = 1
    shown(stage, eye=True)
    eye, arm = view_of(stage, "XRayEye"), stage.arms[1]
    right, bottom = arm.width - 0.5, arm.height - 0.5
    pixels = ((-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom))
    corners = [eye.pixel_of(on_detector(stage, 1, pixel)) for pixel in pixels]
    assert np.min(corners) > -1
    # A central ray off the middle turns the eye a little, and the far side shrinks.
    assert np.max(corners) < 480 + 1
    left_top, right_top, right_bottom, left_bottom = corners
    assert left_top[0] < right_top[0] - 300
    assert left_top[1] < left_bottom[1] - 200
    assert right_top[1] < right_bottom[1] - 200


def test_the_bones_cover_their_shadow_for_the_eye(app, carm):
    stage = stages.build(app, "oblique")
    shown(stage, eye=True)
    eye, bones = view_of(stage, "XRayEye"), stage.rig.pose.GetNodeReference("XRayRegistration.bones")
    display = bones.GetNthDisplayNode(1)
    display.SetOpacity(1.0)
    with_bones = eye.picture()
    display.SetVisibility(False)
    drawn = stages.changed(eye.picture(), with_bones)
    rows, columns = np.indices(drawn.shape)
    centre = eye.pixel_of(stage.ball)
    near = np.hypot(columns - centre[0], rows - centre[1]) < 40
    # The surface is smoothed over three voxels of 2 mm; a pixel of the screen is some 0.3 mm at the ball.
    np.testing.assert_allclose(stages.centre_of(drawn & near), centre, atol=3)


def test_the_eye_follows_the_c_arm_and_the_active_view(app, carm):
    stage = stages.build(app, "frontal", "frontal")
    shown(stage, eye=True)
    eye = view_of(stage, "XRayEye")
    for index, pose in ((0, "lateral"), (1, "oblique")):
        stage.turn(stages.POSES[pose])
        stage.parameters.activeView = index
        carm.followPose(stage.rig, stage.parameters)
        source = np.linalg.inv(stage.poses[index])[:3, 3]
        np.testing.assert_allclose(eye.camera_node().GetPosition(), source, atol=1e-6)


def test_the_eye_sees_no_other_detector(app, carm):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "frontal", "oblique")
    shown(stage, eye=True)
    for active in (0, 1):
        stage.parameters.activeView = active
        layout.showLayout(stage.rig, stage.parameters)
        eye = view_of(stage, "XRayEye").node
        assert [stage.view(n).node.IsDisplayableInThreeDView(eye.GetID()) for n in range(2)] == [
            active == 0,
            active == 1,
        ]


@pytest.mark.parametrize(
    "names", [(name,) for name in stages.POSES] + [("frontal", "lateral"), ("oblique", "from below")]
)
def test_patient_and_c_arms_are_in_the_picture(app, carm, names):
    stage = stages.build(app, *names)
    shown(stage)
    view = view_of(stage, "XRay3D")
    corners = []
    for index, (arm, pose) in enumerate(zip(stage.arms, stage.poses, strict=True)):
        corners.append(np.linalg.inv(pose)[:3, 3])
        corners += [on_detector(stage, index, (u, v)) for u in (0, arm.width - 1) for v in (0, arm.height - 1)]
    seen = np.array([view.pixel_of(corner) for corner in corners])
    assert seen.min() > 0
    assert seen.max() < 480
    # They fill it one way or the other.
    assert np.ptp(seen, axis=0).max() > 0.6 * 480


def test_the_detector_carries_its_xray_in_3d(app, carm):
    stage = stages.build(app, "oblique")
    shown(stage)
    view, arm = view_of(stage, "XRay3D"), stage.arms[0]
    picture = view.picture()

    def seen_at(pixel: tuple[float, float]) -> int:
        column, row = np.rint(view.pixel_of(on_detector(stage, 0, pixel))).astype(int)
        return int(picture[row, column].max())

    # Brightness grows to the right by 13 from border to border; the dot is nearly black.
    assert seen_at((0.9 * arm.width, 0.9 * arm.height)) > 130
    assert seen_at((stages.DOT[0] * arm.width, stages.DOT[1] * arm.height)) < 60
    # The whole of it, however far one looks into its slice view.
    node = stage.view(0).node
    node.SetFieldOfView(20.0, 20.0, 1.0)
    assert not stages.changed(picture, view.picture()).any()


def test_detector_beam_and_bones_can_be_put_away(app, carm):
    from XRayRegistrationLib.display import bones, layout, overlay

    stage = stages.build(app, "frontal")
    shown(stage)
    view = view_of(stage, "XRay3D")
    view.node.SetOrientationMarkerType(view.node.OrientationMarkerTypeNone)
    assert view.picture().std(axis=(0, 1)).max() > 5
    stage.parameters.showCarm = False
    overlay.applyAppearance(stage.parameters, stage.rig)
    bones.applyAppearance(stage.rig, stage.parameters)
    assert view.picture().std(axis=(0, 1)).max() == 0
    assert layout.isShown()


def test_the_camera_is_placed_once(app, carm):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "frontal")
    shown(stage)
    app.processEvents()
    camera = view_of(stage, "XRay3D").camera_node()
    camera.SetPosition(1.0, 2.0, 3.0)
    stage.turn(stages.POSES["oblique"])
    layout.restorePrevious()
    layout.showLayout(stage.rig, stage.parameters)
    app.processEvents()
    assert camera.GetPosition() == (1.0, 2.0, 3.0)


def test_the_bones_surface_lies_on_the_bone(app, carm):
    import slicer

    from XRayRegistrationLib.display import bones

    stage = stages.build(app, "frontal")
    assert not bones.isCurrent(stage.rig, stage.parameters.volume)
    run(bones.surfaceSteps(stage.rig, stage.parameters.volume))
    assert bones.isCurrent(stage.rig, stage.parameters.volume)
    model = stage.rig.pose.GetNodeReference("XRayRegistration.bones")
    points = slicer.util.arrayFromModelPoints(model)
    index = np.linalg.inv(stages.RAS_FROM_INDEX) @ np.column_stack([points, np.ones(len(points))]).T
    ball = points[np.linalg.norm(points - stage.ball, axis=1) < 2 * stages.BALL_MM]
    np.testing.assert_allclose(ball.mean(axis=0), stage.ball, atol=0.5)
    rest = index[:3, np.linalg.norm(points - stage.ball, axis=1) >= 2 * stages.BALL_MM]
    # The block's faces lie half a voxel outside its voxels' centres; smoothing moves them by less than another.
    np.testing.assert_allclose(rest.min(axis=1), (17.5, 37.5, 11.5), atol=1)
    np.testing.assert_allclose(rest.max(axis=1), (29.5, 59.5, 33.5), atol=1)
    # Outwards, though the grid is left-handed.
    normals = slicer.util.arrayFromModelPointData(model, "Normals")
    outward = points - stage.ball
    near = np.linalg.norm(outward, axis=1) < 2 * stages.BALL_MM
    assert (np.einsum("ij,ij->i", normals[near], outward[near]) > 0).mean() > 0.95


def test_the_bones_go_where_the_ct_goes_and_are_made_anew_for_another(app, carm):
    import slicer
    from nodes import transform

    from XRayRegistrationLib.display import bones

    stage = stages.build(app, "frontal")
    volume = stage.parameters.volume
    run(bones.surfaceSteps(stage.rig, volume))
    model = stage.rig.pose.GetNodeReference("XRayRegistration.bones")
    above = transform(np.eye(4), volume)
    bones.applyAppearance(stage.rig, stage.parameters)
    assert model.GetParentTransformNode() is above
    slicer.util.arrayFromVolume(volume)[:] = 40
    slicer.util.arrayFromVolumeModified(volume)
    assert not bones.isCurrent(stage.rig, volume)
    run(bones.surfaceSteps(stage.rig, volume))
    assert model.GetPolyData().GetNumberOfPoints() == 0


def test_a_rendering_that_somebody_chose_is_not_covered(app, carm):
    import slicer

    from XRayRegistrationLib.display import bones

    stage = stages.build(app, "frontal")
    shown(stage)
    display = stage.rig.pose.GetNodeReference("XRayRegistration.bones").GetDisplayNode()
    assert display.GetVisibility()
    chosen = slicer.modules.volumerendering.logic().CreateDefaultVolumeRenderingNodes(stage.parameters.volume)
    chosen.SetVisibility(True)
    bones.applyAppearance(stage.rig, stage.parameters)
    assert not display.GetVisibility()
