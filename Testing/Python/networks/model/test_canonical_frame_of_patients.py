"""From the network's frame to the patient's: names meet, and DRRs look the same on either way."""

from __future__ import annotations

import numpy as np
import pelvis_scenes
import torch
from scipy.spatial.transform import Rotation

from xrayreg.geometry import VoxelGrid, rigid, transform_points
from xrayreg.networks.model.canonical_frame import (
    canonical_from_patient,
    canonical_poses,
    moved_to_template,
    patient_poses,
    volume_poses,
)
from xrayreg.networks.model.template import Template, template_of
from xrayreg.scene import Volume

ISOCENTRE = np.array([12.0, -30.0, 85.0])


def some_pose(seed: int) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    rotation = torch.as_tensor(Rotation.random(random_state=seed).as_matrix())
    return rigid(rotation, torch.as_tensor(generator.normal(0, 200, 3)))


def test_without_an_alignment_patient_poses_are_volume_poses():
    poses = torch.stack([some_pose(n) for n in range(3)])
    torch.testing.assert_close(
        patient_poses(poses, canonical_from_patient(ISOCENTRE)), volume_poses(poses, torch.as_tensor(ISOCENTRE))
    )


def test_the_isocentre_of_the_template_is_the_origin():
    template_from_patient = some_pose(1)
    place = transform_points(torch.linalg.inv(template_from_patient), torch.as_tensor(ISOCENTRE)[None])
    matrix = torch.as_tensor(canonical_from_patient(ISOCENTRE, template_from_patient))
    torch.testing.assert_close(transform_points(matrix, place), torch.zeros(1, 3).double(), atol=1e-9, rtol=0)


def test_a_chain_of_frames_is_one_matrix():
    """Patient b to patient a to the template, then to the camera: the same as step by step."""
    camera_from_canonical, template_from_a, a_from_b = (some_pose(n) for n in range(3))
    camera_from_b = patient_poses(camera_from_canonical, canonical_from_patient(ISOCENTRE, template_from_a @ a_from_b))
    camera_from_a = patient_poses(camera_from_canonical, canonical_from_patient(ISOCENTRE, template_from_a))
    torch.testing.assert_close(camera_from_b, camera_from_a @ a_from_b)
    camera_from_template = volume_poses(camera_from_canonical, torch.as_tensor(ISOCENTRE))
    torch.testing.assert_close(camera_from_a, camera_from_template @ template_from_a)
    torch.testing.assert_close(canonical_poses(camera_from_template, torch.as_tensor(ISOCENTRE)), camera_from_canonical)


def test_a_patient_moved_to_the_template_is_seen_as_before():
    """Every voxel is where the alignment takes it: training there and using here meet."""
    grid = VoxelGrid((4, 5, 6), some_pose(4).numpy() @ np.diag([2.0, 3.0, 4.0, 1.0]))
    patient = Volume(np.arange(-60, 60, dtype=np.int16).reshape(6, 5, 4), grid)
    template_from_patient, camera_from_canonical = some_pose(5), some_pose(6)
    laid = moved_to_template(patient, template_from_patient)
    camera_from_template = volume_poses(camera_from_canonical, torch.as_tensor(ISOCENTRE))
    camera_from_patient = patient_poses(camera_from_canonical, canonical_from_patient(ISOCENTRE, template_from_patient))
    torch.testing.assert_close(
        transform_points(camera_from_template, torch.as_tensor(laid.grid.corners())),
        transform_points(camera_from_patient, torch.as_tensor(grid.corners())),
    )
    assert laid.values is patient.values


def test_a_template_survives_its_way_through_tensors():
    coarse = pelvis_scenes.pelvis()
    # Voxels half as large.
    matrix = coarse.grid.volume_from_index @ np.diag([0.5, 0.5, 0.5, 1.0])
    values = coarse.values.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    phantom = Volume(values, VoxelGrid(values.shape[::-1], matrix))
    template = template_of(phantom, ISOCENTRE)
    again = Template.from_tensors(template.as_tensors())
    np.testing.assert_array_equal(again.volume.values, template.volume.values)
    assert again.volume.grid.same_as(template.volume.grid)
    np.testing.assert_array_equal(again.isocentre, ISOCENTRE)
    assert template.volume.values.nbytes < phantom.values.nbytes / 7


def test_a_template_keeps_every_place():
    """The centre of mass of blocks is that of the voxels in them: no half voxel is lost."""
    values = np.full((24, 20, 16), -1000, np.int16)
    values[6:14, 4:12, 8:12] = 1000
    volume = Volume(values, VoxelGrid((16, 20, 24), some_pose(7).numpy() @ np.diag([1.0, 2.0, 1.0, 1.0])))
    centres = []
    for one in (volume, template_of(volume, ISOCENTRE).volume):
        weights = one.values.astype(float) + 1000
        index = np.array([(weights * axis).sum() / weights.sum() for axis in np.indices(weights.shape)])[::-1]
        centres.append(one.grid.volume_from_index @ [*index, 1.0])
    np.testing.assert_allclose(centres[1], centres[0], atol=1e-9)


def test_values_of_an_unknown_unit_keep_their_contrast():
    values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    template = template_of(Volume(values, VoxelGrid.from_spacing((20, 20, 20), (4.0, 4.0, 4.0))), np.zeros(3))
    assert np.corrcoef(template.volume.values.ravel(), values.ravel())[0, 1] > 0.9999
