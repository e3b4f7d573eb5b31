"""Volumes, X-rays and poses in the scene: every check starts from the camera's projection, not from the bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.scene import Radiograph, Scene, Volume

SID_MM, PITCH_MM = 1020.0, 2.5


def oblique_grid() -> VoxelGrid:
    """Anisotropic, turned and left-handed."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([1.5, -2.0, 3.0])
    matrix[:3, 3] = -30.0, 45.0, 12.0
    return VoxelGrid((9, 8, 7), matrix)


def camera(turn_deg: float = 0.0, pixel_mm: float | None = PITCH_MM) -> Camera:
    """Not square, principal point off the middle, and standing somewhere in its world."""
    focal = SID_MM / PITCH_MM
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [15, turn_deg, -25], degrees=True).as_matrix()
    pose[:3, 3] = 40.0, -70.0, 650.0
    return Camera(np.array([[focal, 0, 44.0], [0, focal, 30.5], [0, 0, 1]]), 96, 72, pose, pixel_mm)


def scene_of(*cameras: Camera) -> Scene:
    generator = np.random.default_rng(3)
    grid = oblique_grid()
    values = generator.integers(-1000, 1500, grid.shape[::-1]).astype(np.int16)
    views = []
    for number, this in enumerate(cameras):
        image = generator.random((this.height, this.width)).astype(np.float32)
        views.append(Radiograph(image, 1 - image, np.ones(image.shape, bool), this, f"view{number}"))
    return Scene(Volume(values, grid), tuple(views))


@pytest.fixture
def bridge(app: Any) -> Any:
    """The module under test, in an empty scene."""
    from XRayRegistrationLib import bridge

    app.scene.Clear(0)
    return bridge


def pose() -> np.ndarray:
    """Some world_from_volume."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    matrix[:3, 3] = 12.0, -33.0, 25.0
    return matrix


def ras_from_index(node: Any) -> np.ndarray:
    """Where a volume node's voxels lie in the patient, its transform included."""
    import slicer
    import vtk

    inner, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(inner)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(outer)
    return slicer.util.arrayFromVTKMatrix(outer) @ slicer.util.arrayFromVTKMatrix(inner)


def test_a_volume_keeps_its_values_and_its_oblique_place(bridge):
    import slicer

    scene = scene_of(camera())
    nodes = bridge.loadCase(scene, Path("case.json"))
    assert (slicer.util.arrayFromVolume(nodes.volume) == scene.volume.values).all()
    # The node keeps spacing and directions apart and multiplies them anew.
    np.testing.assert_allclose(ras_from_index(nodes.volume), scene.volume.grid.volume_from_index, atol=1e-12)
    assert nodes.volume.GetParentTransformNode() is None


def test_a_big_endian_volume_is_loaded(bridge):
    import slicer

    scene = scene_of(camera())
    swapped = Scene(Volume(scene.volume.values.astype(">i2"), scene.volume.grid), scene.views)
    nodes = bridge.loadCase(swapped, Path("case.json"))
    assert (slicer.util.arrayFromVolume(nodes.volume) == scene.volume.values).all()


@pytest.mark.parametrize("turn_deg", [0.0, 90.0, 200.0])
@pytest.mark.parametrize("pixel_mm", [PITCH_MM, None], ids=["pitch known", "pitch unknown"])
def test_source_point_and_its_image_on_the_detector_lie_on_one_ray(bridge, turn_deg, pixel_mm):
    this = camera(turn_deg, pixel_mm)
    nodes = bridge.loadCase(scene_of(this), Path("case.json"))
    bridge.setPose(nodes, pose())
    camera_from_volume = this.camera_from_world @ pose()
    source = np.linalg.inv(camera_from_volume)[:3, 3]
    for seen in ((5.0, 8.0, 600.0), (-60.0, 40.0, 700.0), (80.0, -50.0, 820.0)):
        marker = (np.linalg.inv(camera_from_volume) @ (*seen, 1.0))[:3]
        column, row = this.project(np.array(seen))
        image = (ras_from_index(nodes.views[0].xray) @ (column, row, 0, 1))[:3]
        to_marker, to_image = marker - source, image - source
        # Positions of a metre in double precision, through two inversions.
        np.testing.assert_allclose(np.cross(to_marker, to_image) / np.linalg.norm(to_image), 0, atol=1e-8)
        assert 0 < to_marker @ to_image < to_image @ to_image
    detector = ras_from_index(nodes.views[0].xray)
    depth = (detector[:3, 3] - source) @ np.linalg.inv(camera_from_volume)[:3, 2]
    assert depth == pytest.approx(SID_MM if pixel_mm else 1000.0)


def test_images_are_never_mirrored(bridge):
    nodes = bridge.loadCase(scene_of(camera(30.0)), Path("case.json"))
    bridge.setPose(nodes, pose())
    for node in (nodes.views[0].xray, nodes.views[0].edges):
        assert np.linalg.det(ras_from_index(node)[:3, :3]) > 0


def test_edges_cover_the_same_rectangle_as_the_xray(bridge):
    nodes = bridge.loadCase(scene_of(camera()), Path("case.json"))
    corners = []
    for node in (nodes.views[0].xray, nodes.views[0].edges):
        columns, rows, _ = node.GetImageData().GetDimensions()
        matrix = ras_from_index(node)
        ends = [(matrix @ (i, j, 0, 1))[:3] for i in (-0.5, columns - 0.5) for j in (-0.5, rows - 0.5)]
        corners.append(ends)
    np.testing.assert_allclose(corners[0], corners[1], atol=1e-9)


def test_the_transform_is_the_inverse_of_the_pose_and_gives_it_back(bridge):
    import slicer

    nodes = bridge.loadCase(scene_of(camera()), Path("case.json"))
    bridge.setPose(nodes, pose())
    np.testing.assert_allclose(slicer.util.arrayFromTransformMatrix(nodes.pose) @ pose(), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(bridge.worldFromVolume(nodes), pose(), atol=1e-12)


def test_the_beam_runs_from_the_source_to_the_detectors_corners(bridge):
    import slicer

    this = camera()
    nodes = bridge.loadCase(scene_of(this), Path("case.json"))
    points = slicer.util.arrayFromModelPoints(nodes.views[0].beam)
    # Points are stored in single precision.
    in_camera = points @ this.camera_from_world[:3, :3].T + this.camera_from_world[:3, 3]
    np.testing.assert_allclose(in_camera[0], 0, atol=1e-3)
    expected = [(-0.5, -0.5), (95.5, -0.5), (95.5, 71.5), (-0.5, 71.5)]
    np.testing.assert_allclose(this.project(in_camera[1:]), expected, atol=1e-3)


def test_two_views_hang_under_one_transform(bridge):
    scene = scene_of(camera(), camera(80.0))
    nodes = bridge.loadCase(scene, Path("case.json"))
    assert [view.xray.GetName() for view in nodes.views] == ["case: view0", "case: view1"]
    assert {view.xray.GetParentTransformNode().GetID() for view in nodes.views} == {nodes.pose.GetID()}


def test_the_same_case_is_loaded_into_the_same_nodes_and_another_one_is_not(bridge, app):
    scene = scene_of(camera())
    first = bridge.loadCase(scene, Path("case.json"))
    count = app.scene.GetNumberOfNodes()
    assert bridge.loadCase(scene, Path("case.json"), first.pose) == first
    assert app.scene.GetNumberOfNodes() == count
    assert bridge.loadCase(scene, Path("other.json"), first.pose).pose is not first.pose
    assert bridge.CaseNodes.of(first.pose) == first


def test_removed_nodes_are_noticed(bridge, app):
    nodes = bridge.loadCase(scene_of(camera()), Path("case.json"))
    nodes.requireAll()
    app.scene.RemoveNode(nodes.views[0].edges)
    assert bridge.CaseNodes.of(nodes.pose) is None
    with pytest.raises(bridge.NodesRemoved):
        nodes.requireAll()


def test_a_saved_scene_finds_its_nodes_again(bridge, app, tmp_path):
    import slicer

    nodes = bridge.loadCase(scene_of(camera()), Path("case.json"))
    bridge.setPose(nodes, pose())
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    app.load_scene(tmp_path / "scene.mrb")
    found = bridge.CaseNodes.of(slicer.util.getNode("case: C-arm pose"))
    # Transforms are written with fewer digits than they are kept.
    np.testing.assert_allclose(bridge.worldFromVolume(found), pose(), atol=1e-6)
    assert found.views[0].xray.GetParentTransformNode() is found.pose
