"""Label maps reach the volume's grid, with their names, or are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.io import read_label_names, read_labels, with_labels
from xrayreg.scene import Volume

# Oblique, anisotropic grid: a swapped axis or a forgotten half voxel shows.
_TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
SHAPE = (14, 12, 10)


def grid_at(spacing=(1.0, 1.5, 2.0), origin=(-30.0, 20.0, 100.0), shape=SHAPE):
    matrix = np.eye(4)
    matrix[:3, :3] = _TURN * spacing
    matrix[:3, 3] = origin
    return VoxelGrid(shape, matrix)


VOLUME = Volume(np.random.default_rng(0).integers(-1000, 1000, SHAPE[::-1]).astype(np.int16), grid_at())


def centres(grid):
    """Voxel centres (k, j, i, 3) in RAS."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape[::-1]), indexing="ij")
    return np.stack([i, j, k], -1) @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]


def in_ball(grid, radius=5.0):
    """Label 2 in a ball about a point off every symmetry, 7 in the half of it towards the head."""
    offset = centres(grid) - (VOLUME.grid.centre + [1.3, -0.7, 0.9])
    ball = np.linalg.norm(offset, axis=-1) < radius
    return np.where(ball & (offset[..., 2] > 0), 7, np.where(ball, 2, 0))


def write(path, labels, grid):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.volume_from_index
    image = sitk.GetImageFromArray(labels)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing)
    image.SetDirection((lps[:3, :3] / spacing).ravel())
    image.SetOrigin(lps[:3, 3])
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("name", ["l.nrrd", "l.nii.gz"])
def test_labels_on_the_same_grid_are_kept_in_the_smallest_type(tmp_path, name, dtype):
    stored = in_ball(VOLUME.grid)
    labels = read_labels(write(tmp_path / name, stored.astype(dtype), VOLUME.grid), VOLUME)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, stored)


def test_a_finer_and_cropped_map_is_sampled_at_the_volumes_voxels(tmp_path):
    fine = VoxelGrid((60, 80, 90), grid_at((0.25, 0.25, 0.25)).volume_from_index)
    matrix = fine.volume_from_index.copy()
    matrix[:3, 3] += VOLUME.grid.centre + [1.3, -0.7, 0.9] - fine.centre
    fine = VoxelGrid(fine.shape, matrix)
    labels = read_labels(write(tmp_path / "l.nrrd", in_ball(fine).astype(np.uint8), fine), VOLUME)
    expected = in_ball(VOLUME.grid)
    # A nearest sample lies within half the fine diagonal, 0.22 mm, so only voxels that near a border may differ.
    offset = centres(VOLUME.grid) - (VOLUME.grid.centre + [1.3, -0.7, 0.9])
    near = (np.abs(np.linalg.norm(offset, axis=-1) - 5.0) < 0.22) | (np.abs(offset[..., 2]) < 0.22)
    np.testing.assert_array_equal(labels[~near], expected[~near])
    assert (~near & (expected > 0)).sum() > 50


def test_a_map_elsewhere_is_refused(tmp_path):
    far = grid_at(origin=(500.0, 20.0, 100.0))
    path = write(tmp_path / "l.nrrd", np.ones(SHAPE[::-1], np.uint8), far)
    with pytest.raises(InputError, match=r"label map: expected labels inside the CT, found none there"):
        read_labels(path, VOLUME)


@pytest.mark.parametrize(
    ("values", "words"),
    [(0.5, "found fractions"), (-1.0, "found values from -1 to 2"), (np.nan, "whole numbers")],
)
def test_a_map_that_holds_no_labels_is_refused(tmp_path, values, words):
    labels = np.zeros(SHAPE[::-1], np.float32)
    labels[1, 2, 3], labels[4, 4, 4] = values, 2
    with pytest.raises(InputError, match=words):
        read_labels(write(tmp_path / "l.nrrd", labels, VOLUME.grid), VOLUME)


def test_an_empty_map_is_refused(tmp_path):
    path = write(tmp_path / "l.nrrd", np.zeros(SHAPE[::-1], np.uint8), VOLUME.grid)
    with pytest.raises(InputError, match=r"found only background"):
        read_labels(path, VOLUME)


def test_names_come_from_the_json_beside_the_map(tmp_path):
    (tmp_path / "bones.json").write_text(json.dumps({"1": "hip_left", "12": "femur", "note": "ignored"}))
    path = write(tmp_path / "bones.nii.gz", np.ones(SHAPE[::-1], np.uint8), VOLUME.grid)
    assert read_label_names(path) == {1: "hip_left", 12: "femur"}


def test_names_come_from_the_header_of_a_segmentation(tmp_path):
    image = sitk.GetImageFromArray(np.ones(SHAPE[::-1], np.uint8))
    for key, value in {"Segment0_Name": "Hip", "Segment0_LabelValue": "3", "Segment1_Name": "no value"}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "bones.seg.nrrd"))
    assert read_label_names(tmp_path / "bones.seg.nrrd") == {3: "Hip"}


def test_a_map_without_names_has_none(tmp_path):
    for name in ("l.nrrd", "l.nii"):
        assert read_label_names(write(tmp_path / name, np.ones(SHAPE[::-1], np.uint8), VOLUME.grid)) == {}


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_list_of_names_is_refused(tmp_path, text):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(InputError, match=r"label names .*l.json"):
        read_label_names(write(tmp_path / "l.nrrd", np.ones(SHAPE[::-1], np.uint8), VOLUME.grid))


def test_a_map_of_the_cts_size_in_another_frame_is_refused_or_noted(tmp_path):
    labels = in_ball(VOLUME.grid).astype(np.uint8)
    lost = write(tmp_path / "lost.nrrd", labels, grid_at(origin=(-30.0, 20.0, 108.0)))
    noted = with_labels(VOLUME, write(tmp_path / "noted.nrrd", labels, grid_at(origin=(-29.0, 20.0, 100.0))))
    assert "the CT's size but another frame" in noted.notes[0]
    assert with_labels(VOLUME, write(tmp_path / "l.nrrd", labels, VOLUME.grid)).notes == ()
    try:
        notes = with_labels(VOLUME, lost).notes
    except InputError as error:
        notes = (str(error),)
    assert "the CT's size but another frame" in notes[0]
