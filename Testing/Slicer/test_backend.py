"""CT and whole scenes as values of xrayreg: the right numbers at the right places, and only once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nodes
import numpy as np
import pytest
from inline_worker import registered_scene, scene_of, volume_of
from nodes import RAS_FROM_INDEX, SHAPE, add_ct, add_segmentation, add_xray, bend, box, transform, turned

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection

KNOWN = Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90), "test")
ONE, TWO = box(slice(5, 20), slice(5, 25), slice(10, 30)), box(slice(15, 35), slice(20, 45), slice(25, 50))


@pytest.fixture
def inputs(app: Any) -> Any:
    from XRayRegistrationLib.mrml.backend import Inputs

    app.scene.Clear(0)
    return Inputs()


def test_a_ct_keeps_its_values_and_its_oblique_anisotropic_left_handed_place(inputs):
    import slicer

    node = add_ct()
    volume = volume_of(inputs, node)
    np.testing.assert_array_equal(volume.values, slicer.util.arrayFromVolume(node))
    # The node keeps spacing and directions apart and multiplies them anew.
    np.testing.assert_allclose(volume.grid.volume_from_index, RAS_FROM_INDEX, atol=1e-12)


@pytest.mark.parametrize("scale", [(1, 1, 1), (1.1, 0.9, 1.2), (-1, 1, 1)], ids=["rigid", "scaled", "mirrored"])
def test_transforms_above_a_ct_move_it(inputs, scale):
    node = add_ct()
    outer = transform(turned(), transform(turned(scale), node))
    volume = volume_of(inputs, node)
    expected = turned() @ turned(scale) @ RAS_FROM_INDEX
    np.testing.assert_allclose(volume.grid.volume_from_index, expected, atol=1e-9)
    assert node.GetParentTransformNode() is not outer, "nothing was hardened"


def no_image() -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (no_image, "an image, found none"),
        (lambda: add_ct(np.zeros((1, 8, 8), np.int16)), "two slices along each axis, found 8 x 8 x 1"),
        (lambda: add_xray(np.zeros((8, 8, 3), np.uint8), "CT"), "colour or vector image"),
        (lambda: add_ct(np.full((8, 8, 8), -1000, np.int16)), "only air or a constant"),
        (lambda: add_ct(np.full((8, 8, 8), np.nan, np.float32)), "NaN"),
    ],
    ids=["no image", "one slice", "colours", "air", "not a number"],
)
def test_what_is_no_ct_is_refused_in_a_sentence(inputs, make, found):
    with pytest.raises(InputError, match=found):
        volume_of(inputs, make())


def test_a_ct_under_a_transform_that_bends_it_is_refused_with_the_way_out(inputs):
    node = add_ct()
    bend(node)
    with pytest.raises(InputError, match=r"CT CT: expected linear transforms.*found one that bends it.*harden"):
        volume_of(inputs, node)


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.float32, np.float64, np.int32])
def test_every_kind_of_voxel_is_taken(inputs, kind):
    values = np.random.default_rng(0).integers(0, 2000, (9, 8, 7)).astype(kind)
    volume = volume_of(inputs, add_ct(values))
    np.testing.assert_array_equal(volume.values, values)
    assert volume.values.dtype.itemsize <= 4


def test_a_ct_is_converted_once_until_its_voxels_or_its_place_change(inputs):
    import slicer

    node = add_ct()
    first = volume_of(inputs, node)
    assert volume_of(inputs, node) is first
    node.SetName("another name")
    assert volume_of(inputs, node) is first
    slicer.util.arrayFromVolume(node)[3, 3, 3] = 3000
    slicer.util.arrayFromVolumeModified(node)
    second = volume_of(inputs, node)
    assert second is not first and second.values[3, 3, 3] == 3000
    moved = transform(turned(), node)
    third = volume_of(inputs, node)
    np.testing.assert_allclose(third.grid.volume_from_index, turned() @ RAS_FROM_INDEX, atol=1e-9)
    slicer.util.updateTransformMatrixFromArray(moved, np.eye(4))
    np.testing.assert_allclose(volume_of(inputs, node).grid.volume_from_index, RAS_FROM_INDEX, atol=1e-12)


def prepared(**values: Any) -> Any:
    from XRayRegistrationLib.mrml import rig

    shown = rig.addView(rig.createRig(), add_xray(name="front"), KNOWN)
    shown = rig.addView(shown, add_xray(name="side"), KNOWN)
    return nodes.new_parameters(volume=add_ct(), pose=shown.pose, **values)


def test_a_scene_has_the_ct_the_views_in_their_order_and_the_segments_chosen(inputs):
    parameters = prepared(segmentation=add_segmentation(ONE, TWO & ~ONE), structures=["bone_2"])
    scene = scene_of(inputs, parameters, np.eye(4))
    assert [view.name for view in scene.views] == ["front", "side"]
    assert scene.structures == (2,) and scene.reference is None
    np.testing.assert_array_equal(scene.initial, np.eye(4))
    assert scene_of(inputs, parameters).volume is scene.volume


def test_a_scene_without_its_parts_says_which_are_missing(inputs):
    parameters = prepared()
    volume, pose = parameters.volume, parameters.pose
    parameters.volume = None
    with pytest.raises(InputError, match="CT: expected a volume, found none chosen"):
        scene_of(inputs, parameters)
    parameters.volume, parameters.pose = volume, None
    with pytest.raises(InputError, match="X-rays: expected at least one"):
        scene_of(inputs, parameters)
    parameters.pose = pose
    parameters.segmentation, parameters.structures = add_segmentation(ONE, np.zeros(SHAPE, bool)), ["bone_2"]
    with pytest.raises(InputError, match="found none in bone 2"):
        scene_of(inputs, parameters)
    parameters.structures = ["gone"]
    with pytest.raises(InputError, match="only removed segments"):
        scene_of(inputs, parameters)


def test_what_was_assumed_while_a_ct_was_read_stays_with_it_until_its_spacing_is_corrected(inputs):
    from XRayRegistrationLib.mrml import sources

    node = add_ct()
    assert sources.readOf(node) == ((), ())
    sources.rememberRead(node, ("A note.",), ("The spacing was assumed.",))
    transform(turned(), node)
    volume = volume_of(inputs, node)
    assert (volume.notes, volume.assumed) == (("A note.",), ("The spacing was assumed.",))
    parameters = prepared()
    parameters.volume = node
    assert scene_of(inputs, parameters).assumed == ("The spacing was assumed.",)
    node.SetSpacing(*(1.1 * np.array(node.GetSpacing())))
    volume = volume_of(inputs, node)
    assert (volume.notes, volume.assumed) == ((), ())


def test_views_placed_by_nominal_angles_are_assumed_and_calibrated_ones_are_not(inputs):
    from XRayRegistrationLib.mrml import backend, projections, rig

    parameters = prepared()
    shown = backend.requireRig(parameters)
    for number, view in enumerate(shown.views):
        origins = {name: origin for name, origin in view.projection.origins.items() if name != "place"}
        rig.setProjection(view, replace(view.projection, primary_deg=90.0 * number, secondary_deg=0.0, origins=origins))
    projections.relate(shown)
    scene = scene_of(inputs, parameters)
    assert [bool(view.assumed) for view in scene.views] == [False, True]
    (said,) = scene.assumed
    assert said.startswith("side: ") and "nominal angles" in said and len(said.splitlines()) == 1
    for view in shown.views:
        place = {**view.projection.origins, "place": "calibration.txt"}
        rig.setProjection(view, replace(view.projection, origins=place))
    assert scene_of(inputs, parameters).assumed == ()


def test_a_reference_counts_only_for_the_ct_that_it_was_made_for(inputs):
    from XRayRegistrationLib.mrml import backend

    parameters = prepared()
    shown = backend.requireRig(parameters)
    backend.rememberReference(shown, parameters.volume, np.eye(4), [[1.0, 2.0, 3.0]])
    scene = scene_of(inputs, parameters)
    np.testing.assert_array_equal(scene.reference, np.eye(4))
    np.testing.assert_array_equal(scene.targets, [[1.0, 2.0, 3.0]])
    transform(turned(), parameters.volume)
    assert scene_of(inputs, parameters).reference is None


def test_what_is_forgotten_in_the_middle_is_still_read_to_its_end(inputs):
    parameters = prepared(segmentation=add_segmentation(ONE, TWO & ~ONE), structures=["bone_2"])
    expected = scene_of(inputs, parameters)
    steps = inputs.sceneSteps(parameters)
    while True:
        inputs.forget()
        try:
            next(steps)
        except StopIteration as end:
            scene = registered_scene(inputs, end.value)
            break
    np.testing.assert_array_equal(scene.volume.labels, expected.volume.labels)
    assert scene.structures == expected.structures and len(scene.views) == 2
