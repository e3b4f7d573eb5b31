"""Segmentations as label maps on the CT's grid: every voxel right, whatever grid or transform they come with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from inline_worker import volume_of
from nodes import RAS_FROM_INDEX, SHAPE, add_ct, add_segmentation, bend, box, run, transform, turned

from xrayreg.checks import InputError

ONE, TWO = box(slice(5, 20), slice(5, 25), slice(10, 30)), box(slice(15, 35), slice(20, 45), slice(25, 50))


@pytest.fixture
def inputs(app: Any) -> Any:
    from XRayRegistrationLib.mrml.backend import Inputs

    app.scene.Clear(0)
    return Inputs()


def test_segments_become_labels_in_their_order(inputs):
    from XRayRegistrationLib.mrml import segments

    node = add_segmentation(TWO & ~ONE, ONE)
    volume = volume_of(inputs, add_ct(), node)
    np.testing.assert_array_equal(volume.labels, 1 * (TWO & ~ONE) + 2 * ONE)
    assert volume.label_names == {1: "bone 1", 2: "bone 2"}
    assert segments.labelsOf(node) == {"bone_1": 1, "bone_2": 2}
    assert inputs.notes() == ()


def test_where_segments_overlap_the_later_one_counts_and_a_note_says_so(inputs):
    volume = volume_of(inputs, add_ct(), add_segmentation(TWO, ONE))
    expected = 1 * TWO
    expected[ONE] = 2
    np.testing.assert_array_equal(volume.labels, expected)
    (note,) = inputs.notes()
    assert note == f"The segments bone 1 and bone 2 overlap in {(ONE & TWO).sum()} voxels, which count as bone 2."


def test_twenty_segments_in_one_image_or_in_twenty(inputs):
    import slicer

    from XRayRegistrationLib.mrml import segments

    masks = [box(slice(2 * n, 2 * n + 1), slice(n, 2 * n + 3), slice(5, 40)) for n in range(20)]
    expected = sum(number * mask for number, mask in enumerate(masks, 1))
    ct = add_ct()
    np.testing.assert_array_equal(volume_of(inputs, ct, add_segmentation(*masks)).labels, expected)
    shared = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "shared")
    # Labels of a file need not be 1, 2, 3 ...
    names = {5 * number: "first" if number == 1 else None for number in range(1, 21)}
    run(segments.addSteps(shared, 5 * expected.astype(np.uint8), RAS_FROM_INDEX, names, [(200, 100, 0)] * 20))
    volume = volume_of(inputs, ct, shared)
    np.testing.assert_array_equal(volume.labels, expected)
    assert volume.label_names[1] == "first" and volume.label_names[20] == "Segment 100"


@pytest.mark.parametrize("flip", [False, True])
def test_segments_on_another_grid_are_sampled_at_the_nearest_voxel(inputs, flip):
    # Three times finer along j, of another extent, and stored the other way round along i.
    shape = (20, 60, 25)
    finer = RAS_FROM_INDEX.copy()
    finer[:3, 1] /= 3
    finer[:3, 3] += RAS_FROM_INDEX[:3, :3] @ (10.0, 4.0, 8.0)
    mask = np.random.default_rng(1).random(shape) > 0.5
    stored = mask
    if flip:
        finer[:3, 3] += (shape[2] - 1) * finer[:3, 0]
        finer[:3, 0] *= -1
        stored = mask[:, :, ::-1]
    volume = volume_of(inputs, add_ct(), add_segmentation(stored, matrix=finer))
    expected = np.zeros(SHAPE, int)
    for j in range(4, 4 + shape[1] // 3 + 1):
        # Voxel j of the CT lies at 3 (j - 4) of the finer grid, which ends before 60.
        if 3 * (j - 4) < shape[1]:
            expected[8:28, j, 10:35] = mask[:, 3 * (j - 4), :]
    np.testing.assert_array_equal(volume.labels, expected)


def test_a_segmentation_follows_its_own_transforms(inputs):
    ct, node = add_ct(), add_segmentation(ONE)
    transform(turned(), ct, node)
    np.testing.assert_array_equal(volume_of(inputs, ct, node).labels, ONE)
    node.SetAndObserveTransformNodeID(None)
    shifted = np.eye(4)
    # Two voxels along the CT's own i.
    shifted[:3, 3] = 2 * (turned() @ RAS_FROM_INDEX)[:3, 0]
    transform(shifted @ turned(), node)
    np.testing.assert_array_equal(volume_of(inputs, ct, node).labels, np.roll(ONE, 2, axis=2))
    bend(node)
    with pytest.raises(InputError, match="segmentation Bones"):
        volume_of(inputs, ct, node)


def test_a_surface_is_filled_without_touching_the_segmentation(inputs):
    import slicer
    import vtk

    middle, radius = (RAS_FROM_INDEX @ (30, 25, 20, 1))[:3], 20.0
    ball = vtk.vtkSphereSource()
    ball.SetCenter(*middle)
    ball.SetRadius(radius)
    ball.SetThetaResolution(80)
    ball.SetPhiResolution(80)
    ball.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball", (1, 0, 0))
    volume = volume_of(inputs, add_ct(), node)
    k, j, i = np.nonzero(volume.labels == 1)
    voxel = abs(np.linalg.det(RAS_FROM_INDEX[:3, :3]))
    # The polyhedron is inscribed, and voxels at its surface are in or out.
    assert len(i) * voxel == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)
    centre = np.stack([i, j, k, np.ones(len(i))]).mean(axis=1)
    np.testing.assert_allclose((RAS_FROM_INDEX @ centre)[:3], middle, atol=0.1)
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_segments_outside_the_ct_and_empty_ones_leave_no_voxels(inputs):
    far = RAS_FROM_INDEX.copy()
    far[:3, 3] += 5000.0
    for node in (add_segmentation(ONE, matrix=far), add_segmentation(np.zeros(SHAPE, bool))):
        volume = volume_of(inputs, add_ct(), node)
        assert not volume.labels.any()


def test_segments_are_converted_again_after_they_were_edited(inputs):
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    ct, node = add_ct(), add_segmentation(ONE)
    first = volume_of(inputs, ct, node)
    assert volume_of(inputs, ct, node) is first
    node.GetSegmentation().GetSegment("bone_1").SetName("femur")
    assert volume_of(inputs, ct, node).label_names == {1: "femur"}
    image = node.GetBinaryLabelmapInternalRepresentation("bone_1")
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = TWO.ravel()
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    np.testing.assert_array_equal(volume_of(inputs, ct, node).labels, TWO)
    node.GetSegmentation().RemoveSegment("bone_1")
    assert not volume_of(inputs, ct, node).labels.any()
    assert volume_of(inputs, ct).labels is None
    assert slicer.mrmlScene is ct.GetScene()
