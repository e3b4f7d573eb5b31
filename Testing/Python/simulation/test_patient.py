"""The compiled projector of a patient against the plain one, which closed forms hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.scene import Volume
from xrayreg.simulation import XraySettings, patient_on, relative_steps, simulate_xray

CLEAN = XraySettings(energy_kev=60.0, photons=None, scatter_to_primary=0.0, blur_px=0.0, exposure=1.0, rays_per_side=1)
CAMERA = Camera.from_sid(1000.0, 13.0, 61, 53)


@pytest.fixture(scope="module")
def pelvis() -> Volume:
    return pelvis_scenes.phantom(6.0)


def patient_of(volume: Volume):
    return patient_on(relative_steps(volume.values, -900.0), volume.grid)


@pytest.mark.parametrize("angles", [(0.0, 0.0), (37.0, -21.0), (90.0, 0.0), (-160.0, 40.0)])
def test_both_projectors_make_the_same_image(pelvis, angles):
    pose = camera_from_carm(*angles, 700.0, pelvis.grid.centre)
    # They put their samples at other places of a ray, which shows as long as these are far apart.
    dense = replace(CLEAN, step_voxels=0.1)
    plain, compiled = (simulate_xray(what, CAMERA, pose, dense).primary for what in (pelvis, patient_of(pelvis)))
    assert plain.min() < 0.1 < 0.9 < plain.max()
    assert np.abs(np.log(compiled / plain)).max() < 5e-3
    assert np.median(np.abs(np.log(compiled / plain))) < 1e-4


def test_with_a_spectrum_scatter_and_several_rays_the_recorded_images_agree(pelvis):
    pose = camera_from_carm(10.0, 5.0, 700.0, pelvis.grid.centre)
    machine = XraySettings(rays_per_side=2, energy_bins=4, photons=None)
    plain, compiled = (
        simulate_xray(what, CAMERA, pose, machine, seed=4).transmission.astype(float)
        for what in (pelvis, patient_of(pelvis))
    )
    assert np.corrcoef(np.log1p(plain).ravel(), np.log1p(compiled).ravel())[0, 1] > 0.9999


def test_an_oblique_volume_is_seen_where_it_lies(pelvis):
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", [25, 40, -70], degrees=True).as_matrix()
    moved[:3, 3] = (40, -90, 15)
    turned = Volume(pelvis.values, VoxelGrid(pelvis.grid.shape, moved @ pelvis.grid.volume_from_index))
    pose = camera_from_carm(0.0, 0.0, 700.0, pelvis.grid.centre)
    first = simulate_xray(patient_of(pelvis), CAMERA, pose, CLEAN).primary
    second = simulate_xray(patient_of(turned), CAMERA, pose @ np.linalg.inv(moved), CLEAN).primary
    assert np.abs(np.log(first / second)).max() < 5e-3


def test_rays_that_miss_the_patient_lose_nothing(pelvis):
    aside = camera_from_carm(0.0, 0.0, 700.0, pelvis.grid.centre + [900.0, 0, 0])
    assert (simulate_xray(patient_of(pelvis), CAMERA, aside, CLEAN).primary == 1).all()


def test_a_source_within_the_patient_sees_only_what_is_before_it(pelvis):
    pose = camera_from_carm(0.0, 0.0, 60.0, pelvis.grid.centre)
    plain, compiled = (simulate_xray(what, CAMERA, pose, CLEAN).primary for what in (pelvis, patient_of(pelvis)))
    assert np.median(np.abs(np.log(compiled / plain))) < 1e-3


def test_implants_denser_than_two_bytes_hold_are_cut_off_and_not_turned_round():
    steps = relative_steps(np.array([[-1000.0, -901.0, 0.0, 1000.0, 60000.0]]), -900.0)
    assert steps.tolist() == [[0, 0, 1000, 2000, 32767]]


def test_a_patient_of_air_is_told(pelvis):
    with pytest.raises(InputError, match="air"):
        patient_on(np.zeros((3, 3, 3), np.int16), VoxelGrid.from_spacing((3, 3, 3), (1.0, 1.0, 1.0)))


def test_fewer_samples_change_little(pelvis):
    pose = camera_from_carm(20.0, 0.0, 700.0, pelvis.grid.centre)
    fine, coarse = (
        simulate_xray(patient_of(pelvis), CAMERA, pose, replace(CLEAN, step_voxels=step)).primary for step in (0.1, 1.0)
    )
    assert np.median(np.abs(np.log(fine / coarse))) < 0.02
