"""What a similarity compares depends neither on how a CT is stored nor on the gain and offset of an X-ray."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_scenes import SETTINGS, patient, subject

from xrayreg.geometry import VoxelGrid
from xrayreg.networks.data.pose_sampling import sample_poses
from xrayreg.networks.inference.similarity_inputs import ct_of_subject, fixed_images, similarity_ct
from xrayreg.networks.model.network_camera import pinhole
from xrayreg.render import render
from xrayreg.scene import Volume
from xrayreg.settings import FIXED_IMAGES, FixedImage, SimilaritySettings, TrainingSettings


def settings_for(fixed: FixedImage = "contrast", volume_network: bool = False) -> TrainingSettings:
    return replace(SETTINGS, similarity=SimilaritySettings(fixed=fixed, volume_network=volume_network))


@pytest.mark.parametrize("fixed", FIXED_IMAGES)
def test_gain_and_offset_of_an_x_ray_do_not_matter(fixed):
    generator = torch.Generator().manual_seed(1)
    attenuation, valid = torch.rand(2, 32, 32, generator=generator), torch.ones(2, 32, 32)
    valid[:, :5] = 0
    images = fixed_images(attenuation, valid, settings_for(fixed))
    assert images.shape == (2, 1, 32, 32)
    assert 0.3 < images.std() < 2
    assert not images[:, :, :5].any()
    torch.testing.assert_close(fixed_images(7 * attenuation + 3, valid, settings_for(fixed)), images, atol=1e-4, rtol=0)


def test_the_ct_renders_as_the_subject_that_training_renders_does():
    settings = settings_for()
    ct = similarity_ct(patient(), settings, engine="torch", device="cpu")
    own = ct_of_subject(subject(), settings, "torch", "cpu")
    assert own.points.shape == (8, 3)
    poses = sample_poses(settings.poses, ct.isocentre, 1, torch.Generator().manual_seed(2))
    images = [render(some.projector, pinhole(settings.camera), poses) for some in (ct, own)]
    assert images[0].max() > 1
    # Voxels of 8.6 mm here and of 10 mm there.
    assert (images[0] - images[1]).abs().mean() < 0.02 * images[0].max()


def stored_otherwise(volume: Volume, order: tuple[int, ...], flipped: tuple[bool, ...]) -> Volume:
    """The same volume with its index axes in another order and direction."""
    values, matrix = volume.values, volume.grid.volume_from_index.copy()
    shape = np.array(volume.grid.shape)
    for axis, flip in enumerate(flipped):
        if flip:
            values = np.flip(values, 2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (shape[axis] - 1)
            matrix[:3, axis] *= -1
    matrix[:3, :3] = matrix[:3, list(order)]
    values = np.ascontiguousarray(values.transpose([2 - axis for axis in order[::-1]]))
    ni, nj, nk = shape[list(order)].tolist()
    return replace(volume, values=values, grid=VoxelGrid((ni, nj, nk), matrix), labels=None)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_volume_network_sees_one_orientation_however_the_ct_is_stored(order):
    settings = settings_for(volume_network=True)
    known = similarity_ct(patient(), settings, engine="torch", device="cpu").projector
    other = stored_otherwise(patient(), order, (True, False, True))
    found = similarity_ct(other, settings, engine="torch", device="cpu").projector
    assert found.grid.same_as(known.grid)
    torch.testing.assert_close(found.mu, known.mu, atol=1e-6, rtol=1e-4)
