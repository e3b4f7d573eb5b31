"""A voxel grid keeps its points in place when it is cropped or coarsened, however it is turned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid

SHAPE = (7, 10, 12)
SPACING = np.array([0.7, 1.1, 2.3])


def grid(kind: str) -> VoxelGrid:
    rotation = np.eye(3) if kind == "straight" else Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * SPACING * ([-1, 1, 1] if kind == "left-handed" else [1, 1, 1])
    matrix[:3, 3] = [31.0, -57.0, 412.0]
    return VoxelGrid(SHAPE, matrix)


def place(voxels: VoxelGrid, index: np.ndarray) -> np.ndarray:
    """RAS mm of voxel centres `index` (..., 3)."""
    return index @ voxels.volume_from_index[:3, :3].T + voxels.volume_from_index[:3, 3]


KINDS = pytest.mark.parametrize("kind", ["straight", "oblique", "left-handed"])


@KINDS
def test_spacing_is_the_distance_of_neighbours(kind) -> None:
    np.testing.assert_allclose(grid(kind).spacing_mm, SPACING)


@KINDS
def test_both_matrices_undo_each_other(kind) -> None:
    voxels = grid(kind)
    np.testing.assert_allclose(voxels.index_from_volume @ voxels.volume_from_index, np.eye(4), atol=1e-12)


@KINDS
def test_centre_is_the_mean_of_all_voxels_and_of_the_corners(kind) -> None:
    voxels = grid(kind)
    every = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
    np.testing.assert_allclose(voxels.centre, place(voxels, every).mean(0), atol=1e-10)
    np.testing.assert_allclose(voxels.centre, voxels.corners().mean(0), atol=1e-10)


@KINDS
def test_corners_span_all_of_the_voxels(kind) -> None:
    corners = grid(kind).corners()
    low, high = corners[0], corners[7]
    # The long diagonal of the box: shape times spacing along each axis.
    assert np.linalg.norm(high - low) == pytest.approx(np.linalg.norm(SPACING * SHAPE))
    assert len(np.unique(corners.round(9), axis=0)) == 8


@KINDS
def test_cropping_keeps_every_voxel_in_its_place(kind) -> None:
    voxels = grid(kind)
    part = voxels.cropped((2, 3, 4), (4, 5, 6))
    index = np.array([[0, 0, 0], [3, 4, 5], [1, 0, 2]])
    np.testing.assert_allclose(place(part, index), place(voxels, index + [2, 3, 4]), atol=1e-10)
    assert part.shape == (4, 5, 6)


@KINDS
def test_coarse_voxel_lies_in_the_middle_of_its_block(kind) -> None:
    voxels, steps = grid(kind), np.array([2, 3, 5])
    coarse = voxels.coarsened((2, 3, 5))
    block = np.stack(np.meshgrid(*map(np.arange, steps), indexing="ij"), -1).reshape(-1, 3)
    for index in ([0, 0, 0], [1, 2, 1]):
        middle = place(voxels, index * steps + block).mean(0)
        np.testing.assert_allclose(place(coarse, np.array(index)), middle, atol=1e-10)
    assert coarse.shape == (4, 4, 3)  # the remainders are part blocks
    np.testing.assert_allclose(coarse.spacing_mm, SPACING * steps)


@KINDS
def test_first_corner_stays_when_coarsened(kind) -> None:
    np.testing.assert_allclose(grid(kind).coarsened((3, 2, 4)).corners()[0], grid(kind).corners()[0], atol=1e-10)


def test_grid_of_a_spacing_is_centred_on_the_origin() -> None:
    np.testing.assert_allclose(VoxelGrid.from_spacing(SHAPE, (0.7, 1.1, 2.3)).centre, 0, atol=1e-12)


def test_same_grids_are_recognised_and_others_are_not() -> None:
    voxels = grid("oblique")
    moved = voxels.volume_from_index.copy()
    moved[0, 3] += 2e-3
    assert voxels.same_as(grid("oblique"))
    assert not voxels.same_as(VoxelGrid(SHAPE, moved))
    assert voxels.same_as(VoxelGrid(SHAPE, moved), tolerance_mm=5e-3)
    assert not voxels.same_as(VoxelGrid((7, 10, 11), voxels.volume_from_index))


@pytest.mark.parametrize(
    ("shape", "matrix", "words"),
    [
        ((0, 5, 5), np.eye(4), "volume size: expected at least one voxel"),
        ((5, 5, 5), np.diag([1.0, 0.0, 1.0, 1.0]), "voxel spacing: expected millimetres above 0 along each axis"),
        ((5, 5, 5), np.array([[1, 1, 0, 0], [0, 1e-3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "axes that nearly lie"),
        ((5, 5, 5), np.eye(3), "volume geometry: expected 4 x 4 numbers, found 3 x 3"),
        ((5, 5, 5), np.diag([np.nan, 1, 1, 1]), "volume geometry: expected finite numbers"),
    ],
)
def test_degenerate_grids_are_refused(shape, matrix, words) -> None:
    with pytest.raises(InputError, match=words):
        VoxelGrid(shape, matrix)
