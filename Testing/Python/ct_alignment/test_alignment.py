"""Two CTs aligned in one frame: known poses come back, whatever the grids; what does not belong together is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pelvis_scenes import phantom
from scipy import ndimage
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.ct_alignment.alignment import align
from xrayreg.geometry import VoxelGrid
from xrayreg.scene import Volume


@pytest.fixture(scope="module")
def template() -> Volume:
    return phantom(4.0)


def pose_of(rotvec_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    pose[:3, 3] = shift_mm
    return pose


def grid_about(centre, axes, spacing_mm, shape) -> VoxelGrid:
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(axes) * np.asarray(spacing_mm)
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return VoxelGrid(shape, matrix)


def rescanned(volume: Volume, patient_from_volume: np.ndarray, grid: VoxelGrid) -> Volume:
    """The volume moved by a pose and scanned again on another grid."""
    index = volume.grid.index_from_volume @ np.linalg.inv(patient_from_volume) @ grid.volume_from_index
    values = ndimage.affine_transform(
        volume.values.astype(np.float32),
        index[:3, :3][::-1, ::-1],
        index[:3, 3][::-1],
        output_shape=grid.shape[::-1],
        order=1,
        mode="grid-constant",
        cval=-1000.0,
    )
    return Volume(values.astype(np.int16), grid)


def errors(found: np.ndarray, true: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Angle [degrees] between two poses, and how far apart they take the farthest of some points (N, 3) [mm]."""
    angle = np.rad2deg(Rotation.from_matrix(found[:3, :3] @ true[:3, :3].T).magnitude())
    apart = points @ (found - true)[:3, :3].T + (found - true)[:3, 3]
    return float(angle), float(np.linalg.norm(apart, axis=1).max())


OBLIQUE = Rotation.from_rotvec([10, -15, 20], degrees=True).as_matrix()
MIRRORED = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
# Pose of the patient, axes of the index, spacing, shape, and where the scan is centred relative to the template [mm].
SCANS = {
    "oblique, other spacing, far from the origin": (
        ((8, -12, 6), (150, -320, 900)),
        (OBLIQUE, (3.3, 4.1, 5.0), (130, 100, 100), (0, 0, 0)),
    ),
    "mirrored and exchanged index axes": (
        ((-6, 3, -9), (-40, 25, 10)),
        (MIRRORED, (4.5, 4.0, 5.0), (70, 100, 84), (0, 0, 0)),
    ),
    "lower half only": (((5, 5, -5), (0, 80, -30)), (np.eye(3), (4.0, 4.0, 4.0), (104, 74, 52), (0, 0, -100))),
    "right half only, tilted 30 degrees": (
        ((30, 0, 0), (0, 0, 0)),
        (np.eye(3), (4.0, 4.0, 4.0), (52, 90, 110), (110, 0, 0)),
    ),
    "upside down": (((180, 0, 0), (10, 20, 30)), (np.eye(3), (4.0, 4.0, 4.0), (106, 78, 108), (0, 0, 0))),
}


@pytest.mark.parametrize(("pose", "scan"), SCANS.values(), ids=SCANS)
def test_a_known_pose_comes_back_whatever_the_grid(template, pose, scan):
    patient_from_template = pose_of(*pose)
    axes, spacing_mm, shape, offset = scan
    centre = (patient_from_template @ [*(template.grid.centre + offset), 1.0])[:3]
    patient = rescanned(template, patient_from_template, grid_about(centre, axes, spacing_mm, shape))
    found = align(template, patient)
    angle, distance = errors(
        found.template_from_patient, np.linalg.inv(patient_from_template), patient.grid.centre + np.eye(3) * 100
    )
    # A tenth of a degree over 100 mm is 0.2 mm; a quarter of a voxel is 1 mm.
    assert angle < 0.5
    assert distance < 1.0
    assert found.quality > 0.9
    assert np.linalg.det(found.template_from_patient[:3, :3]) == pytest.approx(1.0)


def test_exchanging_the_two_gives_exactly_the_inverse(template):
    pose = pose_of((4, -7, 3), (20, -10, 60))
    patient = rescanned(template, pose, grid_about(pose[:3, 3], np.eye(3), (5, 5, 5), (70, 56, 60)))
    there, back = align(template, patient), align(patient, template)
    np.testing.assert_allclose(there.template_from_patient @ back.template_from_patient, np.eye(4), atol=1e-9)
    # Nothing is drawn anew: both ways the smaller body is laid into the larger one, to the same pose, bit for bit.
    assert there.quality == back.quality


def test_a_table_under_the_patient_does_not_pull(template):
    pose = pose_of((0, 0, 10), (0, 15, 0))
    patient = rescanned(template, pose, grid_about(pose[:3, 3] + [0, 0, 75], np.eye(3), (4, 4, 4), (110, 90, 104)))
    values = patient.values.copy()
    # A flat board of 8 mm and 300 HU, 12 mm behind the grid's back edge (posterior is the low end of j).
    values[:, 2:4, :] = 300
    found = align(template, replace(patient, values=values))
    angle, distance = errors(found.template_from_patient, np.linalg.inv(pose), np.eye(3) * 100)
    assert angle < 0.5
    assert distance < 1.0


def test_another_patient_is_aligned_bone_to_bone(template, shared_data):
    from xrayreg.io import read_volume

    patient = read_volume(shared_data("pelvis", "ct.nii.gz"))
    found = align(template, patient)
    angle, _ = errors(found.template_from_patient, np.eye(4), np.zeros((1, 3)))
    # Both lie supine and straight; patients' pelves tilt by some degrees.
    assert angle < 15
    assert 0.5 < found.quality < 0.9


def test_anatomy_that_is_not_shared_is_refused(template):
    shape = template.grid.shape
    noise = np.random.default_rng(0).normal(0, 1, template.values.shape)
    blob = 400 * ndimage.gaussian_filter(noise, 6) / ndimage.gaussian_filter(noise, 6).std()
    other = Volume(np.where(blob > 0, blob, -1000).astype(np.int16), VoxelGrid.from_spacing(shape, (4.0, 4.0, 4.0)))
    with pytest.raises(InputError, match="alignment of two CTs"):
        align(template, other)


def test_a_scrap_is_refused_before_it_is_laid_anywhere(template):
    values = np.full((12, 12, 12), 300, np.int16)
    values[:2] = -1000
    scrap = Volume(values, VoxelGrid.from_spacing((12, 12, 12), (4.0, 4.0, 4.0)))
    with pytest.raises(InputError, match="litres"):
        align(template, scrap)


def test_volumes_of_other_kinds_are_refused(template):
    angiogram = Volume((template.values + 1000).astype(np.uint16), template.grid)
    with pytest.raises(InputError, match="Hounsfield units in one"):
        align(template, angiogram)
