"""The result's folder in the scene: what lies in it, where it lies, and that it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

NAME = "X-ray registration: ct (not judged)"
KINDS = ("X-ray", "DRR", "DRR edges", "segments")


@pytest.fixture(scope="session")
def labelled(app, tmp_path_factory) -> Path:
    """A case with two views and ten bones."""
    from xrayreg.simulation.phantom_case import write_phantom_case

    return write_phantom_case(tmp_path_factory.mktemp("labelled"), lateral=True, labelled=True)


@pytest.fixture
def logic(app, labelled) -> Any:
    """The module's logic over a scene with that case."""
    from XRayRegistrationLib.logic import Logic

    app.scene.Clear(0)
    # Slicer takes the name of the parameter node from the class.
    made = type("XRayRegistrationLogic", (Logic,), {})()
    made.importCase(labelled)
    return made


@pytest.fixture
def copied(logic) -> Callable[..., dict[str, Any]]:
    """Makes the folder; returns its nodes by name."""

    def make(name: str = NAME) -> dict[str, Any]:
        from XRayRegistrationLib.jobs import saving

        for _step in saving.copySteps(logic.inputs, logic.getParameterNode()):
            pass
        return inside(name)

    return make


def inside(name: str) -> dict[str, Any]:
    """The nodes in a folder of the subject hierarchy, by name."""
    import slicer
    import vtk

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetItemByName(name), items, False)
    nodes = [hierarchy.GetItemDataNode(items.GetId(n)) for n in range(items.GetNumberOfIds())]
    return {node.GetName(): node for node in nodes}


def ras_from_pixels(node: Any) -> NDArray[np.float64]:
    """RAS world from (column, row, slice) of a volume node."""
    import slicer
    import vtk

    index, world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(index)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(world)
    return slicer.util.arrayFromVTKMatrix(world) @ slicer.util.arrayFromVTKMatrix(index)


def moved(logic) -> None:
    """Move the C-arm as somebody would by hand."""
    import slicer

    pose = logic.getParameterNode().pose
    matrix = slicer.util.arrayFromTransformMatrix(pose)
    matrix[:3, 3] += (5.0, -7.0, 11.0)
    slicer.util.updateTransformMatrixFromArray(pose, matrix)


def test_the_folder_holds_transform_and_images_of_each_view(copied):
    nodes = copied()
    images = {f"{view}: {kind}" for view in ("xray", "xray_lateral") for kind in KINDS}
    assert set(nodes) == {"C-arm to patient: ct (not judged)", *images}
    assert not any(node.GetHideFromEditors() for node in nodes.values())


def test_copies_lie_on_the_detector_and_stay_there(logic, copied):
    view = logic.rig().views[1]
    before = ras_from_pixels(view.picture)
    nodes = copied()
    moved(logic)
    assert not np.allclose(ras_from_pixels(view.picture), before)
    for kind in KINDS[:3]:
        np.testing.assert_allclose(ras_from_pixels(nodes[f"xray_lateral: {kind}"]), before, atol=1e-6)


def test_copies_have_the_resolution_of_the_xray(logic, copied):
    import slicer

    nodes = copied()
    for kind, type_ in (("X-ray", np.uint8), ("DRR", np.float32), ("DRR edges", np.uint8)):
        pixels = slicer.util.arrayFromVolume(nodes[f"xray: {kind}"])
        assert (pixels.shape, pixels.dtype) == ((1, 96, 96), type_)
        assert pixels.any()
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(nodes["xray: X-ray"]), slicer.util.arrayFromVolume(logic.rig().views[0].picture)
    )
    assert set(np.unique(slicer.util.arrayFromVolume(nodes["xray: DRR edges"]))) == {0, 1}


def test_segments_lie_where_straight_lines_from_the_source_put_them(logic, copied):
    import slicer

    nodes = copied()
    segmentation = logic.getParameterNode().segmentation
    volume = logic.getParameterNode().volume
    for view in logic.rig().views:
        drawn = nodes[f"{view.name}: segments"].GetSegmentation()
        picture = nodes[f"{view.name}: X-ray"]
        # The source in RAS: where the beam starts.
        carm = slicer.util.arrayFromTransformMatrix(logic.getParameterNode().pose)
        source = (carm @ (*view.beam.GetPolyData().GetPoint(0), 1.0))[:3]
        pixels_from_ras = np.linalg.inv(ras_from_pixels(picture))
        start = pixels_from_ras[:3, :3] @ source + pixels_from_ras[:3, 3]
        for name in ("sacrum", "femur_left"):
            number = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, number, volume)
            indices = np.argwhere(voxels)[:, ::-1]
            ras = indices @ ras_from_pixels(volume)[:3, :3].T + ras_from_pixels(volume)[:3, 3]
            through = ras @ pixels_from_ras[:3, :3].T + pixels_from_ras[:3, 3]
            # On from the source through the voxel to where the slice coordinate is 0.
            share = start[2] / (start[2] - through[:, 2])
            hit = start[:2] + share[:, None] * (through[:, :2] - start[:2])
            seen = hit[((hit > 0) & (hit < 95)).all(axis=1)]
            assert len(seen) > 100
            mask = mask_of(nodes[f"{view.name}: segments"], drawn.GetSegmentIdBySegmentName(name), picture)
            columns, rows = np.rint(seen).astype(int).T
            # At its very border a voxel's middle may lie in a pixel that is covered by less than half.
            assert mask[rows, columns].mean() > 0.97
            # And nothing is drawn further away than neighbouring voxels are from each other, some two pixels.
            near = np.zeros_like(mask)
            near[rows, columns] = True
            assert not (mask & ~ndimage.binary_dilation(near, np.ones((3, 3)), iterations=2)).any()


def mask_of(node: Any, segment_id: str, picture: Any) -> NDArray[np.bool_]:
    """A segment on the pixels of a picture."""
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, picture)[0] > 0


def test_segments_keep_names_and_colours_but_do_not_cover_the_live_ones(logic, copied):
    node = copied()["xray: segments"]
    patients = logic.getParameterNode().segmentation
    drawn = node.GetSegmentation()
    names = [drawn.GetSegment(each).GetName() for each in drawn.GetSegmentIDs()]
    assert "sacrum" in names
    for each in drawn.GetSegmentIDs():
        assert drawn.GetSegment(each).GetColor() == patients.GetSegmentation().GetSegment(each).GetColor()
    assert not node.GetDisplayNode().GetVisibility()


def test_hidden_segments_are_left_out(logic, copied):
    patients = logic.getParameterNode().segmentation
    patients.CreateDefaultDisplayNodes()
    hidden = patients.GetSegmentation().GetSegmentIdBySegmentName("sacrum")
    patients.GetDisplayNode().SetSegmentVisibility(hidden, False)
    drawn = copied()["xray: segments"].GetSegmentation()
    assert drawn.GetSegmentIdBySegmentName("sacrum") == ""
    assert drawn.GetNumberOfSegments() == 9


def test_of_a_few_structures_only_they_are_rendered_but_all_are_outlined(logic, copied):
    import slicer

    whole = slicer.util.arrayFromVolume(copied()["xray: DRR"]).copy()
    parameters = logic.getParameterNode()
    parameters.structures = [parameters.segmentation.GetSegmentation().GetSegmentIdBySegmentName("sacrum")]
    nodes = copied(f"{NAME}_1")
    part = slicer.util.arrayFromVolume(next(node for name, node in nodes.items() if name.startswith("xray: DRR_")))
    assert 0 < (part > 0).sum() < 0.5 * (whole > 0).sum()
    segments = next(node for name, node in nodes.items() if name.startswith("xray: segments"))
    assert segments.GetSegmentation().GetNumberOfSegments() == 10


def test_given_up_half_way_nothing_stays(logic, app):
    from XRayRegistrationLib.jobs import saving

    steps = saving.copySteps(logic.inputs, logic.getParameterNode())
    nodes = 0
    for step in steps:
        nodes = app.scene.GetNumberOfNodes() if step.stage == "prepare" else nodes
        if "edges" in step.message:
            break
    assert app.scene.GetNumberOfNodes() > nodes > 0
    steps.close()
    assert app.scene.GetNumberOfNodes() == nodes
    assert not inside(NAME)


def test_the_folder_comes_back_with_the_scene(logic, copied, app, tmp_path):
    nodes = copied()
    matrices = {name: ras_from_pixels(node) for name, node in nodes.items() if node.IsA("vtkMRMLVolumeNode")}
    app.save_scene(tmp_path / "scene.mrb")
    app.load_scene(tmp_path / "scene.mrb", clear=True)
    again = inside(NAME)
    assert set(again) == set(nodes)
    for name, matrix in matrices.items():
        np.testing.assert_allclose(ras_from_pixels(again[name]), matrix, atol=1e-3)
