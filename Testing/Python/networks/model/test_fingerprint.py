"""A CT is known again however it is stored, and no other is taken for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_scenes import card_of, patient

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.networks.model.card import SubjectCard
from xrayreg.networks.model.fingerprint import fingerprint, is_trained_on, require_fit
from xrayreg.scene import Volume


def noise(shape=(13, 21, 17), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 2000, shape).astype(np.int16)


def volume_of(values: np.ndarray, spacing=(1.0, 1.5, 2.0)) -> Volume:
    return Volume(values, VoxelGrid.from_spacing(values.shape[::-1], spacing))


def stored_otherwise(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same voxels in the same places, the array's axes in another order and direction."""
    values, matrix = volume.values.transpose(axes), volume.grid.volume_from_index.copy()
    # Array axis a is index axis 2 - a.
    matrix[:3, :3] = matrix[:3, :3][:, [2 - axes[2], 2 - axes[1], 2 - axes[0]]]
    for axis, flip in enumerate(flips):
        if flip:
            values = np.flip(values, axis)
            matrix[:3, 3] += matrix[:3, 2 - axis] * (values.shape[axis] - 1)
            matrix[:3, 2 - axis] *= -1
    return Volume(values, VoxelGrid(values.shape[::-1], matrix))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (True, True, True)])
def test_the_order_and_direction_of_the_axes_do_not_matter(axes, flips):
    volume = volume_of(noise())
    other = stored_otherwise(volume, axes, flips)
    # The two are the same place by place.
    place = other.grid.volume_from_index @ [1.0, 2.0, 3.0, 1.0]
    i, j, k = np.rint(volume.grid.index_from_volume @ place)[:3].astype(int)
    assert volume.values[k, j, i] == other.values[3, 2, 1]
    assert fingerprint(other) == fingerprint(volume)


def test_number_type_and_origin_do_not_matter():
    volume = volume_of(noise())
    moved = volume.grid.volume_from_index.copy()
    moved[:3, 3] += [100.0, -50.0, 3.3]
    assert fingerprint(Volume(volume.values, VoxelGrid(volume.grid.shape, moved))) == fingerprint(volume)
    assert fingerprint(replace(volume, values=volume.values.astype(np.float64))) == fingerprint(volume)


def test_everything_else_matters():
    volume = volume_of(noise())
    values, matrix = volume.values, volume.grid.volume_from_index
    mirrored = values[:, :, ::-1]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]]
    others = {
        "another patient": volume_of(noise(seed=1)),
        "another spacing": volume_of(values, (1.0, 1.5, 2.05)),
        "cropped": volume_of(values[:-1]),
        "mirrored": volume_of(mirrored),
        "turned": Volume(values, VoxelGrid(volume.grid.shape, turn @ matrix)),
        "brighter": volume_of(values + np.int16(30)),
    }
    marks = [fingerprint(other) for other in others.values()]
    assert len({fingerprint(volume), *marks}) == len(others) + 1


def test_the_fit_of_a_network_is_told():
    volume = patient()
    card = replace(card_of(), subjects=(SubjectCard("pelvis.nii", fingerprint(volume), (0.0, 0.0, 0.0)),))
    other = volume_of(noise())
    assert is_trained_on(card, volume)
    assert require_fit(card, volume) == ""
    assert "whole volume" in require_fit(card, volume, (1, 2))
    assert "pelvis.nii" in require_fit(card, other)
    with pytest.raises(InputError, match=r"pelvis\.nii"):
        require_fit(card, other, may_reframe=False)
    assert require_fit(replace(card, structures=(2, 1)), volume, (1, 2)) == ""
