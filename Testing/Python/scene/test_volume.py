"""The volume and the scene refuse what cannot be registered, and say where labels and targets lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.scene import Radiograph, Scene, Volume, attenuation_of, require_different_views

GRID = VoxelGrid.from_spacing((5, 6, 7), (1.0, 2.0, 3.0))


def values(**changes: float) -> np.ndarray:
    array = np.full(GRID.shape[::-1], -1000.0)
    array[2:5, 1:4, 1:3] = 40.0
    for value in changes.values():
        array[0, 0, 0] = value
    return array


def labels() -> np.ndarray:
    array = np.zeros(GRID.shape[::-1], dtype=np.uint8)
    array[3, 4, 2], array[5, 4, 2], array[6, 0, 0] = 1, 2, 7
    return array


def view(size: int = 8) -> Radiograph:
    image = np.zeros((size, size), dtype=np.float32)
    return Radiograph(image, image, image == 0, Camera.from_sid(1000, 1.0, size, size))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((7, 6)), r"expected an array \[k, j, i\] of shape \(7, 6, 5\), found \(7, 6\)"),
        (np.zeros((5, 6, 7)), r"found \(5, 6, 7\)"),
        (values(a=np.nan), "found NaN or infinity; replace them with -1000"),
        (values(a=-np.inf), "found NaN or infinity"),
        (np.full((7, 6, 5), 30.0), "only air or a constant"),
        (np.full((7, 6, 5), -1000.0) - np.eye(5)[:1], "only air or a constant"),
    ],
    ids=["two axes", "axes swapped", "nan", "infinity", "constant", "air"],
)
def test_unusable_volumes_are_refused(array, words) -> None:
    with pytest.raises(InputError, match=words):
        Volume(array, GRID)


def test_single_slice_is_refused() -> None:
    with pytest.raises(InputError, match="at least two slices along each axis, found 5 x 6 x 1"):
        Volume(values()[:1], VoxelGrid.from_spacing((5, 6, 1), (1.0, 1.0, 1.0)))


def test_label_map_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="label map: expected the volume's shape"):
        Volume(values(), GRID, labels()[1:])


def test_structures_select_their_voxels_alone() -> None:
    volume = Volume(values(), GRID, labels())
    assert np.argwhere(volume.structure_mask((1, 7))).tolist() == [[3, 4, 2], [6, 0, 0]]


def test_unknown_structure_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"labels of the map \(1, 2, 7\), found 3, 5, which no voxel has"):
        Volume(values(), GRID, labels()).structure_mask((1, 5, 3))


def test_structures_without_label_map_are_refused() -> None:
    with pytest.raises(InputError, match='expected a label map to take them from, found none; name one under "labels"'):
        Volume(values(), GRID).structure_mask((1,))


def test_volume_without_negative_values_is_not_in_hounsfield_units() -> None:
    assert Volume(values(), GRID).is_hounsfield
    assert not Volume(values() + 1000, GRID).is_hounsfield


def test_scene_without_views_is_refused() -> None:
    with pytest.raises(InputError, match="views: expected at least one X-ray, found none"):
        Scene(Volume(values(), GRID), ())


@pytest.mark.parametrize("name", ["initial", "reference"])
def test_pose_that_is_not_rigid_is_refused_by_name(name) -> None:
    with pytest.raises(InputError, match=f"{name}.world_from_volume: expected a rotation"):
        Scene(Volume(values(), GRID), (view(),), **{name: np.diag([1.0, 1.0, 2.0, 1.0])})


@pytest.mark.parametrize("targets", [np.zeros((4, 2)), [1.0, 2.0, 3.0, 4.0], [[0.0, 0.0, np.nan]]])
def test_targets_that_are_not_points_are_refused(targets) -> None:
    with pytest.raises(InputError, match=r"reference\.targets: expected"):
        Scene(Volume(values(), GRID), (view(),), targets=targets)


def test_given_targets_are_kept() -> None:
    targets = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    np.testing.assert_array_equal(Scene(Volume(values(), GRID), (view(),), targets=targets).target_points(), targets)


def test_targets_of_a_volume_are_the_corners_of_the_box_around_its_tissue() -> None:
    points = Scene(Volume(values(), GRID), (view(),)).target_points()
    # Voxels (i, j, k) from (1, 1, 2) to (2, 3, 4), outer faces half a voxel beyond their centres.
    low = GRID.volume_from_index @ [0.5, 0.5, 1.5, 1]
    high = GRID.volume_from_index @ [2.5, 3.5, 4.5, 1]
    np.testing.assert_allclose(points.min(0), low[:3])
    np.testing.assert_allclose(points.max(0), high[:3])
    assert len(np.unique(points, axis=0)) == 8


PADS = st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 3)


@for_all(PADS, st.sampled_from([-1000.0, -1024.0, -3024.0, 0.0]), st.booleans())
def test_air_around_a_volume_changes_neither_targets_nor_what_is_rendered(pads, air, structured) -> None:
    # Without Hounsfield units air is 0; else it is whatever a scanner wrote.
    body = values() if air < 0 else np.maximum(values() + 1000, 0)
    structures = (1, 2) if structured else ()
    bare = Scene(Volume(body, GRID, labels()), (view(),), structures)
    matrix = GRID.volume_from_index.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ [first for first, _ in pads[::-1]]
    wide = np.pad(body, pads, constant_values=air)
    grid = VoxelGrid(wide.shape[::-1], matrix)
    padded = Scene(Volume(wide, grid, np.pad(labels(), pads)), (view(),), structures)
    np.testing.assert_allclose(padded.target_points(), bare.target_points(), atol=1e-9)
    if not structured:
        one, other = (attenuation_of(scene.volume) for scene in (bare, padded))
        assert one.grid.same_as(other.grid) and torch.equal(one.mu, other.mu)


@pytest.mark.parametrize("position", range(1, 3))
def test_one_xray_as_two_views_is_refused_by_name(position) -> None:
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    camera = Camera.from_sid(1000, 1.0, 8, 8)
    first = Radiograph(image, image, image >= 0, camera, "front")
    others = [replace(view(), recorded=image.T.copy()), replace(view(12), name="large")]
    require_different_views((first, *others))
    turned = replace(camera, camera_from_world=np.diag([-1.0, 1.0, -1.0, 1.0]))
    # A second camera makes no second X-ray of it.
    for again in (replace(first, name="again"), replace(first, name="again", camera=turned)):
        views = [first, *others]
        views.insert(position, again)
        with pytest.raises(InputError, match=rf"the same pixels in views 1 \(front\) and {position + 1} \(again\)"):
            require_different_views(tuple(views))


def test_targets_of_structures_are_the_corners_of_their_voxels() -> None:
    scene = Scene(Volume(values(), GRID, labels()), (view(),), structures=(1, 2))
    points = scene.target_points()
    # Voxels (i, j, k) = (2, 4, 3) and (2, 4, 5), outer faces half a voxel beyond their centres.
    low = GRID.volume_from_index @ [1.5, 3.5, 2.5, 1]
    high = GRID.volume_from_index @ [2.5, 4.5, 5.5, 1]
    np.testing.assert_allclose(points.min(0), low[:3])
    np.testing.assert_allclose(points.max(0), high[:3])
