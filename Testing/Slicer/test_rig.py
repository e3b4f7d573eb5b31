"""The C-arm and its views in the scene: every check starts from the camera's projection, not from the rig itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import add_xray, blob, reopen, some_pose
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection

SID_MM, PITCH_MM = 1020.0, 2.5


def camera(turn_deg: float = 0.0, pixel_mm: float | None = PITCH_MM, skew: float = 0.0) -> Camera:
    """Not square, principal point off the middle, and standing somewhere in its world."""
    focal = SID_MM / PITCH_MM
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [15, turn_deg, -25], degrees=True).as_matrix()
    pose[:3, 3] = 40.0, -70.0, 650.0
    return Camera(np.array([[focal, skew, 44.0], [0, focal, 30.5], [0, 0, 1]]), 96, 72, pose, pixel_mm)


def projection(*arguments: Any) -> Projection:
    return Projection.of_camera(camera(*arguments), "test")


@pytest.fixture
def rig(app: Any) -> Any:
    """The module under test, in an empty scene."""
    from XRayRegistrationLib.mrml import rig

    app.scene.Clear(0)
    return rig


def ras_from_index(node: Any) -> np.ndarray:
    """Where a volume node's voxels lie in the patient, its transform included."""
    import slicer
    import vtk

    inner, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(inner)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(outer)
    return slicer.util.arrayFromVTKMatrix(outer) @ slicer.util.arrayFromVTKMatrix(inner)


@pytest.mark.parametrize("turn_deg", [0.0, 90.0, 200.0])
@pytest.mark.parametrize("pixel_mm", [PITCH_MM, None], ids=["pitch known", "pitch unknown"])
@pytest.mark.parametrize("skew", [0.0, 12.0])
def test_source_point_and_its_image_on_the_detector_lie_on_one_ray(rig, turn_deg, pixel_mm, skew):
    this = camera(turn_deg, pixel_mm, skew)
    shown = rig.addView(rig.createRig(), add_xray(), Projection.of_camera(this, "test"))
    rig.setWorldFromVolume(shown, some_pose())
    camera_from_volume = this.camera_from_world @ some_pose()
    source = np.linalg.inv(camera_from_volume)[:3, 3]
    picture = ras_from_index(shown.views[0].picture)
    for seen in ((5.0, 8.0, 600.0), (-60.0, 40.0, 700.0), (80.0, -50.0, 820.0)):
        marker = (np.linalg.inv(camera_from_volume) @ (*seen, 1.0))[:3]
        column, row = this.project(np.array(seen))
        image = (picture @ (column, row, 0, 1))[:3]
        to_marker, to_image = marker - source, image - source
        # Positions of a metre in double precision, through two inversions.
        np.testing.assert_allclose(np.cross(to_marker, to_image) / np.linalg.norm(to_image), 0, atol=1e-8)
        assert 0 < to_marker @ to_image < to_image @ to_image
    depth = (picture[:3, 3] - source) @ np.linalg.inv(camera_from_volume)[:3, 2]
    assert depth == pytest.approx(SID_MM if pixel_mm else 1000.0)


def test_images_on_the_detector_are_never_mirrored_and_cover_the_same_rectangle(rig):
    shown = rig.addView(rig.createRig(), add_xray(), projection(30.0))
    rig.setWorldFromVolume(shown, some_pose())
    corners = []
    for node in (shown.views[0].picture, shown.views[0].drr, shown.views[0].edges):
        columns, rows, _ = node.GetImageData().GetDimensions()
        matrix = ras_from_index(node)
        assert np.linalg.det(matrix[:3, :3]) > 0
        corners.append([(matrix @ (i, j, 0, 1))[:3] for i in (-0.5, columns - 0.5) for j in (-0.5, rows - 0.5)])
    np.testing.assert_allclose(corners[0], corners[1], atol=1e-9)
    np.testing.assert_allclose(corners[0], corners[2], atol=1e-9)


def test_the_transform_is_the_inverse_of_the_pose_and_gives_it_back(rig):
    import slicer

    shown = rig.addView(rig.createRig(), add_xray(), projection())
    rig.setWorldFromVolume(shown, some_pose())
    np.testing.assert_allclose(slicer.util.arrayFromTransformMatrix(shown.pose) @ some_pose(), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(rig.worldFromVolume(shown), some_pose(), atol=1e-12)
    rig.setCameraFromVolume(shown, shown.views[0], some_pose())
    np.testing.assert_allclose(rig.cameraFromVolume(shown, shown.views[0]), some_pose(), atol=1e-12)


def test_a_transform_above_the_c_arm_is_part_of_its_pose(rig):
    from nodes import transform

    shown = rig.addView(rig.createRig(), add_xray(), projection())
    transform(some_pose(), shown.pose)
    rig.setWorldFromVolume(shown, np.eye(4))
    np.testing.assert_allclose(rig.worldFromVolume(shown), np.eye(4), atol=1e-12)
    rig.setWorldFromVolume(shown, some_pose() @ some_pose())
    np.testing.assert_allclose(rig.worldFromVolume(shown), some_pose() @ some_pose(), atol=1e-12)


def test_the_beam_runs_from_the_source_to_the_detectors_corners(rig):
    import slicer

    shown = rig.addView(rig.createRig(), add_xray(), projection())
    points = slicer.util.arrayFromModelPoints(shown.views[0].beam)
    # Points are stored in single precision.
    this = camera()
    in_camera = points @ this.camera_from_world[:3, :3].T + this.camera_from_world[:3, 3]
    np.testing.assert_allclose(in_camera[0], 0, atol=1e-3)
    expected = [(-0.5, -0.5), (95.5, -0.5), (95.5, 71.5), (-0.5, 71.5)]
    np.testing.assert_allclose(this.project(in_camera[1:]), expected, atol=1e-3)


def test_the_users_image_is_neither_moved_nor_changed(rig):
    import slicer

    source = add_xray()
    before, matrix = slicer.util.arrayFromVolume(source).copy(), ras_from_index(source)
    shown = rig.addView(rig.createRig(), source, projection())
    rig.setWorldFromVolume(shown, some_pose())
    rig.showPixels(shown.views[0], np.full((72, 96), 7, np.uint8))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(source), before)
    np.testing.assert_array_equal(ras_from_index(source), matrix)
    assert source.GetParentTransformNode() is None
    assert shown.views[0].source is source and not source.GetHideFromEditors()


def test_two_views_hang_under_one_transform_and_are_named_after_their_images(rig):
    shown = rig.addView(rig.createRig(), add_xray(name="front"), projection())
    shown = rig.addView(shown, add_xray(name="side"), projection(80.0))
    shown = rig.addView(shown, add_xray(name="side"), projection(120.0))
    assert [view.name for view in shown.views] == ["front", "side", "side_1"]
    parents = {node.GetParentTransformNode().GetID() for view in shown.views for node in (view.picture, view.drr)}
    assert parents == {shown.pose.GetID()}
    assert all(node.GetHideFromEditors() for view in shown.views for node in (view.picture, *view.companions()))


def test_a_rig_takes_four_views_and_gives_each_back(rig, app):
    shown = rig.createRig()
    before = app.scene.GetNumberOfNodes()
    for _ in range(rig.MOST_VIEWS):
        shown = rig.addView(shown, add_xray(), projection())
    with pytest.raises(ValueError, match="at most 4 views"):
        rig.addView(shown, add_xray(), projection())
    while shown.views:
        shown = rig.removeView(shown, shown.views[0])
    kept = [node for node in app.scene.GetNodesByClass("vtkMRMLScalarVolumeNode") if not node.GetHideFromEditors()]
    # The five images stay; displays of the pictures went with them.
    assert len(kept) == rig.MOST_VIEWS + 1
    left = app.scene.GetNumberOfNodes() - before
    assert left == 2 * len(kept), "each image and its display"


def test_a_geometry_that_makes_no_camera_changes_nothing(rig):
    shown = rig.addView(rig.createRig(), add_xray(), projection())
    view = shown.views[0]
    rig.showPixels(view, np.full((72, 96), 7, np.uint8))
    place = ras_from_index(view.picture)
    with pytest.raises(InputError, match="SID"):
        rig.setProjection(view, view.projection.changed("test", sid_mm=-1.0))
    assert view.projection == projection()
    np.testing.assert_array_equal(ras_from_index(view.picture), place)


def test_a_new_geometry_keeps_the_picture_and_moves_it(rig):
    import slicer

    shown = rig.addView(rig.createRig(), add_xray(), projection())
    view = shown.views[0]
    pixels = np.arange(96 * 72, dtype=np.uint8).reshape(72, 96)
    rig.showPixels(view, pixels)
    rig.setProjection(view, view.projection.changed("test", sid_mm=2 * SID_MM))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(view.picture)[0], pixels)
    in_camera = camera().camera_from_world @ ras_from_index(view.picture)
    assert in_camera[2, 3] == pytest.approx(2 * SID_MM)


def test_pixels_of_files_from_other_computers_are_shown(rig):
    import slicer

    shown = rig.addView(rig.createRig(), add_xray(), projection())
    pixels = np.arange(96 * 72).reshape(72, 96)
    rig.showPixels(shown.views[0], pixels.astype(">u2"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown.views[0].picture)[0], pixels)


def test_removed_nodes_are_noticed_and_made_again(rig, app):
    shown = rig.addView(rig.createRig(), add_xray(), projection())
    shown.requireAll()
    app.scene.RemoveNode(shown.views[0].edges)
    with pytest.raises(rig.NodesRemoved):
        shown.requireAll()
    again = rig.rigOf(shown.pose)
    again.requireAll()
    np.testing.assert_allclose(np.linalg.det(ras_from_index(again.views[0].edges)[:3, :3]) > 0, True)
    app.scene.RemoveNode(shown.views[0].picture)
    assert rig.rigOf(shown.pose).views == ()
    app.scene.RemoveNode(shown.pose)
    assert rig.rigOf(shown.pose) is None and rig.rigOf(None) is None


def test_a_saved_scene_finds_its_rig_again(rig, app, tmp_path):
    import slicer

    shown = rig.addView(rig.createRig(), add_xray(blob(96, 72), "front"), projection())
    shown = rig.addView(shown, add_xray(blob(96, 72), "side"), projection(80.0))
    shown.views[1].setShown(False)
    rig.setWorldFromVolume(shown, some_pose())
    expected = [view.projection for view in shown.views]
    reopen(app, tmp_path)
    found = rig.rigOf(slicer.util.getNode("C-arm pose"))
    found.requireAll()
    # Transforms are written with fewer digits than they are kept.
    np.testing.assert_allclose(rig.worldFromVolume(found), some_pose(), atol=1e-6)
    assert [view.projection for view in found.views] == expected
    assert [view.shown for view in found.views] == [True, False]
    assert [view.source.GetName() for view in found.views] == ["front", "side"]
    assert all(node.GetParentTransformNode() is found.pose for view in found.views for node in view.companions())
