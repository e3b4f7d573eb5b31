"""A CT made ready for rendering: its two parts, its structures, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.networks.data.downsample_map import downsample_map
from xrayreg.networks.data.subjects import BONE_HU, bone_part, prepare_subject, render_soft_and_bone
from xrayreg.render import prepare, render
from xrayreg.scene import Volume, attenuation_of
from xrayreg.scene.attenuation import MU_WATER

CAMERA = Camera.from_sid(1020.0, 400.0 / 32, 32, 32)


def poses() -> torch.Tensor:
    return torch.as_tensor(np.stack([pelvis_scenes.frontal(), pelvis_scenes.nearby()]))


def ball(inside: float, outside: float, radius: float = 40.0, spacing: float = 4.0) -> Volume:
    """A ball of one value in a cube of 120 mm of another."""
    size = round(120 / spacing)
    grid = VoxelGrid.from_spacing((size, size, size), (spacing, spacing, spacing))
    middle = (np.indices((size, size, size)) - (size - 1) / 2) * spacing
    values = np.where(np.square(middle).sum(0) < radius**2, inside, outside).astype(np.float32)
    return Volume(values, grid)


def test_bone_is_told_by_its_hounsfield_units():
    hounsfield = torch.tensor([-1000.0, 40.0, BONE_HU[0], sum(BONE_HU) / 2, BONE_HU[1], 2000.0])
    mu = MU_WATER * (1 + hounsfield / 1000)
    torch.testing.assert_close(bone_part(mu), mu * torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]), atol=1e-6, rtol=0)


def test_both_parts_add_up_to_the_attenuation_and_neither_is_negative():
    whole = attenuation_of(pelvis_scenes.pelvis())
    subject = prepare_subject(pelvis_scenes.pelvis(), voxel_mm=1.0, engine="reference")
    total = torch.zeros_like(whole.mu)
    for part in (subject.soft, subject.bone):
        assert part.mu.min() >= 0
        # Each part comes without the air around it.
        first = np.rint(whole.grid.index_from_volume @ [*part.grid.volume_from_index[:3, 3], 1])[:3].astype(int)
        i, j, k = (slice(start, start + size) for start, size in zip(first, part.grid.shape, strict=True))
        total[k, j, i] += part.mu
    # One rounding of float32 in the difference and one in the sum.
    torch.testing.assert_close(total, whole.mu, rtol=2**-22, atol=0)


@pytest.mark.parametrize("structures", [(), (1, 3)])
def test_the_images_of_both_parts_add_up_to_the_image_of_the_whole(structures):
    volume = pelvis_scenes.pelvis()
    subject = prepare_subject(volume, structures, voxel_mm=8.5)
    parts = render_soft_and_bone(subject, CAMERA, poses())
    whole = downsample_map(attenuation_of(volume, structures), 8.5)
    expected = render(prepare(whole), CAMERA, poses())
    # Engines may keep a map in 16 bits of its range: some hundred voxels of 8 mm, each off by half a level at most.
    torch.testing.assert_close(parts.sum(1), expected, atol=100 * 8 * float(whole.mu.max()) / 2**16, rtol=1e-5)
    assert parts.dtype == torch.float32 and parts.shape == (2, 2, 32, 32)
    assert parts.amax((0, 2, 3)).min() > 0.1
    torch.testing.assert_close(subject.isocentre.numpy(), attenuation_of(volume, structures).grid.centre)
    torch.testing.assert_close(subject.points.numpy(), attenuation_of(volume, structures).grid.corners())


def test_poses_keep_their_gradient():
    wanted = poses().requires_grad_()
    render_soft_and_bone(
        prepare_subject(pelvis_scenes.pelvis(), voxel_mm=8.5), CAMERA, wanted
    ).square().sum().backward()
    assert wanted.grad is not None and wanted.grad.abs().max() > 0


def test_a_structure_alone_covers_less_of_the_image():
    volume = pelvis_scenes.pelvis()
    whole = render_soft_and_bone(prepare_subject(volume, voxel_mm=8.5), CAMERA, poses()).sum(1) > 0
    alone = render_soft_and_bone(prepare_subject(volume, (3,), voxel_mm=8.5), CAMERA, poses()).sum(1) > 0
    assert 0 < alone.sum() < whole.sum() / 2


def test_a_volume_of_unknown_unit_goes_to_the_bony_part_whatever_its_unit_is():
    images = []
    for unit in (1.0, 3000.0):
        subject = prepare_subject(ball(unit, 0.0), voxel_mm=4.0)
        assert subject.soft is None
        images.append(render_soft_and_bone(subject, CAMERA, poses() @ translation(subject)))
    assert not images[0][:, 0].any()
    torch.testing.assert_close(images[0], images[1], rtol=1e-3, atol=1e-3)
    # A chord of 80 mm through what attenuates as 1000 HU, to the size of a pixel and a voxel.
    assert float(images[0].amax()) == pytest.approx(80 * 2 * MU_WATER, rel=0.08)


def translation(subject) -> torch.Tensor:
    """Brings the subject to where the pelvis was."""
    move = torch.eye(4, dtype=torch.float64)
    move[:3, 3] = torch.as_tensor(pelvis_scenes.pelvis().grid.centre) - subject.isocentre
    return move


def test_a_ct_without_bone_is_refused_with_a_way_out_but_a_named_soft_structure_is_welcome():
    volume = ball(40.0, -1000.0)
    with pytest.raises(InputError, match=r"expected bone \(above 150 HU\), found none; check the rescale"):
        prepare_subject(volume, voxel_mm=4.0)
    labels = (volume.values > 0).astype(np.uint8)
    subject = prepare_subject(replace(volume, labels=labels), (1,), voxel_mm=4.0)
    assert subject.bone is None and subject.soft is not None


def test_what_a_pixel_would_swallow_is_refused():
    with pytest.raises(InputError, match="smaller field or more pixels"):
        prepare_subject(ball(1000.0, -1000.0, radius=10.0), voxel_mm=8.0)


def test_structures_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="which no voxel has"):
        prepare_subject(pelvis_scenes.pelvis(), (77,), voxel_mm=8.5)
    with pytest.raises(InputError, match="label map"):
        prepare_subject(ball(1000.0, -1000.0), (1,), voxel_mm=4.0)
