"""Attenuation keeps every point of the volume in its place, and all of its mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.scene import Attenuation, Volume, attenuation_by_label, attenuation_of, coarsened

SHAPE = (13, 11, 9)
MU_WATER_70_KEV = 0.1929 / 10  # NIST XCOM, cm2/g at 1 g/cm3, per mm


def grid(kind: str) -> VoxelGrid:
    """Grids of all sorts: `oblique` is turned about three axes, `left-handed` has its first axis reversed."""
    spacing = np.array([0.7, 1.1, 2.3])
    a, b, c = (0.3, -0.5, 0.9) if kind == "oblique" else (0.0, 0.0, 0.0)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn_x @ turn_y @ turn_z * spacing
    if kind == "left-handed":
        matrix[:3, 0] *= -1
    matrix[:3, 3] = [31.0, -57.0, 412.0]
    return VoxelGrid(SHAPE, matrix)


def phantom(kind: str, index: tuple[int, int, int]) -> Volume:
    """Air with one voxel of water at `index` (i, j, k)."""
    values = np.full(SHAPE[::-1], -1000, dtype=np.int16)
    values[index[::-1]] = 0
    return Volume(values, grid(kind))


def centroid(attenuation: Attenuation) -> np.ndarray:
    """Centre of mass (3,) in RAS mm."""
    mu = attenuation.mu.numpy().astype(np.float64)
    k, j, i = np.indices(mu.shape)
    index = np.array([(axis * mu).sum() for axis in (i, j, k)]) / mu.sum()
    return attenuation.grid.volume_from_index[:3, :3] @ index + attenuation.grid.volume_from_index[:3, 3]


def mass(attenuation: Attenuation) -> float:
    """Integral of mu over the volume [mm2]."""
    cell = abs(np.linalg.det(attenuation.grid.volume_from_index[:3, :3]))
    return float(attenuation.mu.double().sum() * cell)


KINDS = ["straight", "oblique", "left-handed"]
CORNERS = [(0, 0, 0), (12, 10, 8), (5, 7, 3), (12, 0, 4)]


@pytest.mark.parametrize("index", CORNERS)
@pytest.mark.parametrize("kind", KINDS)
def test_point_stays_in_its_place_when_air_is_cropped(kind, index) -> None:
    volume = phantom(kind, index)
    found = attenuation_of(volume)
    assert found.grid.shape == (1, 1, 1)
    place = volume.grid.volume_from_index @ [*index, 1]
    np.testing.assert_allclose(centroid(found), place[:3], atol=1e-9)  # double precision on 500 mm
    assert float(found.mu) == pytest.approx(MU_WATER_70_KEV, rel=1e-6)  # float32


@pytest.mark.parametrize("voxel_mm", [1.5, 2.3, 4.7, 100.0])
@pytest.mark.parametrize("kind", KINDS)
def test_coarsening_keeps_the_mass_and_its_centre(kind, voxel_mm) -> None:
    # Blocks average the mass within them: the centre is kept exactly when each block is filled alike.
    values = np.full(SHAPE[::-1], -1000.0)
    values[2:8, 3:9, 1:11] = 200.0
    fine = attenuation_of(Volume(values, grid(kind)))
    coarse = coarsened(fine, voxel_mm)
    assert mass(coarse) == pytest.approx(mass(fine), rel=1e-5)  # sums of float32
    steps = np.round(coarse.grid.spacing_mm / fine.grid.spacing_mm)
    assert (coarse.grid.spacing_mm <= np.maximum(voxel_mm, fine.grid.spacing_mm) + 1e-6).all()
    # A block that sticks out is filled with air; its mass then moves by at most half a block.
    whole = [n % s == 0 for n, s in zip(fine.grid.shape, steps, strict=True)]
    shift = np.abs(coarse.grid.index_from_volume[:3, :3] @ (centroid(coarse) - centroid(fine)))
    assert (shift[whole] < 1e-5).all() and (shift < 0.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_point_stays_within_its_block_when_coarsened(kind) -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        mu = torch.zeros(SHAPE[::-1])
        index = tuple(int(generator.integers(n)) for n in SHAPE)
        mu[index[::-1]] = 1.0
        coarse = coarsened(Attenuation(mu, grid(kind)), 2.4)
        place = grid(kind).volume_from_index @ [*index, 1]
        away = coarse.grid.index_from_volume[:3, :3] @ (centroid(coarse) - place[:3])
        assert np.abs(away).max() < 0.5


def ramp(grid: VoxelGrid, *index: np.ndarray) -> np.ndarray:
    """A linear function of the RAS position at voxels `index` (i, j, k)."""
    points = np.stack(index, -1) @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]
    return 5 + points @ np.array([0.013, -0.021, 0.017])


def test_ramp_reads_the_same_at_the_same_place_when_coarsened() -> None:
    # The mean of a linear function over a block is its value in the block's middle: half a voxel of error shows.
    fine_grid = grid("oblique")
    k, j, i = np.indices(SHAPE[::-1])
    fine = Attenuation(torch.from_numpy(ramp(fine_grid, i, j, k)), fine_grid)
    coarse = coarsened(fine, 2.4)
    nk, nj, ni = (n // s for n, s in zip(SHAPE[::-1], (1, 2, 3), strict=True))  # whole blocks only
    k, j, i = np.indices((nk, nj, ni))
    expected = ramp(coarse.grid, i, j, k)
    np.testing.assert_allclose(coarse.mu[:nk, :nj, :ni].numpy(), expected, atol=1e-9)


def test_coarsening_below_the_voxel_size_changes_nothing() -> None:
    fine = attenuation_of(phantom("oblique", (5, 5, 5)))
    assert coarsened(fine, 0.5) is fine


def test_hounsfield_units_become_linear_attenuation_and_padding_becomes_air() -> None:
    values = np.full(SHAPE[::-1], -3024, dtype=np.int16)
    values[4, 4, 3:8] = [-899, 0, 1000, -1000, 3000]
    found = attenuation_of(Volume(values, grid("straight"))).mu.flatten().numpy()
    np.testing.assert_allclose(found, MU_WATER_70_KEV * np.array([0.101, 1, 2, 0, 4]), rtol=1e-5)  # float32


def test_scanner_values_with_air_at_zero_are_read_as_parts_of_water() -> None:
    values = np.zeros(SHAPE[::-1], dtype=np.uint16)
    values[4, 4, 3:5] = [1000, 2500]
    found = attenuation_of(Volume(values, grid("straight"))).mu.flatten().numpy()
    np.testing.assert_allclose(found, MU_WATER_70_KEV * np.array([1, 2.5]), rtol=1e-5)


def test_structures_are_rendered_without_their_surroundings() -> None:
    values = np.full(SHAPE[::-1], 50, dtype=np.int16)
    values[0, 0, 0] = -1000
    labels = np.zeros(SHAPE[::-1], dtype=np.uint8)
    labels[2, 3, 4], labels[6, 3, 4], labels[4, 4, 4] = 1, 1, 2
    volume = Volume(values, grid("oblique"), labels)
    found = attenuation_of(volume, (1,))
    assert found.grid.shape == (1, 1, 5)
    assert np.flatnonzero(found.mu.flatten().numpy()).tolist() == [0, 4]
    place = volume.grid.volume_from_index @ [4, 3, 4, 1]
    np.testing.assert_allclose(centroid(found), place[:3], atol=1e-9)


def test_structure_of_air_is_refused() -> None:
    values = np.full(SHAPE[::-1], -1000, dtype=np.int16)
    values[0] = 0
    labels = np.zeros(SHAPE[::-1], dtype=np.uint8)
    labels[5, 5, 5] = 1
    with pytest.raises(InputError, match="structures: expected tissue, found only air"):
        attenuation_of(Volume(values, grid("straight"), labels), (1,))


def test_array_that_does_not_fit_its_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(9, 11, 13\)"):
        Attenuation(torch.zeros(SHAPE), grid("straight"))


def labelled(kind: str = "oblique") -> Volume:
    """Noise with labels 2, 5 and 9, which leave a border free and lie in more than one piece."""
    generator = np.random.default_rng(0)
    labels = np.zeros(SHAPE[::-1], dtype=np.int16)
    inner = labels[2:-1, 1:-3, 4:-2]
    inner[:] = generator.choice([0, 2, 5, 9], inner.shape)
    return Volume(generator.integers(-1000, 2000, labels.shape).astype(np.int16), grid(kind), labels)


@pytest.mark.parametrize("kind", ["plain", "oblique", "left-handed"])
@pytest.mark.parametrize("structures", [(2, 5, 9), (9, 2), (5,)])
def test_structures_by_themselves_together_are_their_union(kind, structures):
    volume = labelled(kind)
    maps = attenuation_by_label(volume, structures)
    union = attenuation_of(volume, structures)
    assert len(maps) == len(structures)
    assert all(one.grid.same_as(union.grid) for one in maps)
    assert torch.equal(sum(one.mu for one in maps), union.mu)
    for label, one in zip(structures, maps, strict=True):
        alone = attenuation_of(volume, (label,))
        assert mass(one) == pytest.approx(mass(alone), rel=1e-12)
        np.testing.assert_allclose(centroid(one), centroid(alone), atol=1e-9)


def test_without_names_every_label_of_the_map_is_taken_in_order():
    volume = labelled()
    for found, expected in zip(attenuation_by_label(volume), attenuation_by_label(volume, (2, 5, 9)), strict=True):
        assert torch.equal(found.mu, expected.mu)


def test_a_structure_named_twice_counts_once():
    assert len(attenuation_by_label(labelled(), (5, 5))) == 1


@pytest.mark.parametrize(
    ("volume", "structures", "word"),
    [
        (Volume(labelled().values, grid("plain")), (), "label map to take them from"),
        (Volume(labelled().values, grid("plain"), np.zeros(SHAPE[::-1], np.int16)), (), "background alone"),
        (labelled(), (2, 77), "77"),
    ],
)
def test_structures_that_are_not_there_are_refused(volume, structures, word):
    with pytest.raises(InputError, match=word):
        attenuation_by_label(volume, structures)
