"""Slabs cover an array once, and what is found slab by slab is what is there."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg import slabs
from xrayreg.geometry import VoxelGrid
from xrayreg.scene import Attenuation, Scene, Volume, attenuation_of, coarsened


@pytest.fixture(params=[1, 60, 10**9])
def voxels(request, monkeypatch) -> int:
    """Voxels per slab: less than a slice, a few slices, and more than there are."""
    monkeypatch.setattr(slabs, "_VOXELS", request.param)
    return request.param


@pytest.mark.parametrize("shape", [(1, 4, 5), (7, 4, 5), (12, 1, 1), (5, 0, 3)])
def test_slabs_follow_each_other_and_are_small(voxels, shape):
    ranges = list(slabs.slabs(shape))
    assert np.concatenate([np.arange(shape[0])[some] for some in ranges]).tolist() == list(range(shape[0]))
    a_slice = max(1, shape[1] * shape[2])
    assert all(some.stop - some.start <= max(1, voxels // a_slice) for some in ranges)


def test_bounds_are_the_first_and_the_last_along_each_axis(voxels):
    generator = np.random.default_rng(1)
    for _ in range(20):
        mask = generator.random((9, 8, 7)) < 0.02
        if mask.any():
            places = np.argwhere(mask)
            found = slabs.bounds(mask.shape, lambda some, mask=mask: mask[some])
            assert found.tolist() == np.stack([places.min(0), places.max(0)], -1).tolist()


def test_where_nothing_is_there_are_no_bounds(voxels):
    with pytest.raises(IndexError):
        slabs.bounds((3, 2, 2), lambda some: np.zeros((some.stop - some.start, 2, 2), dtype=bool))


def volume() -> Volume:
    """Noise around two labelled blocks, air around the noise."""
    generator = np.random.default_rng(2)
    values = np.full((14, 12, 11), -1000.0)
    values[2:12, 1:11, 2:9] = generator.normal(0, 300, (10, 10, 7))
    labels = np.zeros(values.shape, dtype=np.uint8)
    labels[3:5, 2:6, 3:7], labels[8:11, 4:9, 3:4] = 1, 4
    return Volume(values, VoxelGrid.from_spacing((11, 12, 14), (1.0, 1.2, 2.0)), labels)


MAKINGS = {
    "mask": lambda given: given.structure_mask((1, 4)),
    "map of everything": lambda given: attenuation_of(given),
    "map of structures": lambda given: attenuation_of(given, (4,)),
    "coarse map": lambda given: coarsened(attenuation_of(given), 2.4),
    "targets": lambda given: Scene(given, (None,), structures=(1,)).target_points(),
}


@pytest.mark.parametrize("making", MAKINGS.values(), ids=MAKINGS)
def test_what_is_made_does_not_depend_on_the_slabs(making, monkeypatch):
    given = volume()
    at_once = making(given)
    monkeypatch.setattr(slabs, "_VOXELS", 1)
    made = making(given)
    if isinstance(made, Attenuation):
        assert made.grid.same_as(at_once.grid)
        made, at_once = made.mu.numpy(), at_once.mu.numpy()
    np.testing.assert_array_equal(made, at_once)
