"""The body beyond the scan: it is extended where the scan cuts it, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
import torch

from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.networks.data.batches import make_batch
from xrayreg.networks.data.subjects import DrrSubject, prepare_subject, render_soft_and_bone
from xrayreg.render import render
from xrayreg.scene import Volume
from xrayreg.settings import AppearanceSettings, NetworkCamera, TrainingSettings

# 4 mm voxels; 35 x 36 x 37 of them.
SHAPE = np.array([35, 36, 37])
CAMERA = Camera.from_sid(1000.0, 400.0 / 50, 50, 50)


def trunk(low_mm: float = -np.inf, high_mm: float = np.inf, axes: tuple[int, int, int] = (0, 1, 2)) -> Volume:
    """A round trunk of soft tissue along the patient's long axis with a square bone in it, from `low_mm` to `high_mm`.

    axes: which index axis runs along R, A and S.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = 4.0 * np.eye(3)[:, list(axes)]
    shape = tuple(SHAPE[list(axes)].tolist())
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape) - 1) / 2
    grid = VoxelGrid(shape, matrix)
    k, j, i = np.indices(shape[::-1])
    x, y, z = (np.stack([i, j, k], -1) @ matrix[:3, :3].T + matrix[:3, 3]).transpose(3, 0, 1, 2)
    inside = (z >= low_mm) & (z <= high_mm)
    values = np.where((x**2 + y**2 < 50**2) & inside, 0.0, -1000.0)
    values[(np.abs(x) < 10) & (np.abs(y - 5) < 10) & inside] = 900.0
    return Volume(values.astype(np.float32), grid)


def frontal(subject: DrrSubject) -> torch.Tensor:
    return torch.as_tensor(camera_from_carm(0.0, 0.0, 700.0, subject.isocentre.numpy()))[None]


def beyond(subject: DrrSubject) -> torch.Tensor:
    """What the body adds (H, W) beyond the scan, seen from the front."""
    assert subject.extension is not None
    return render(subject.extension, CAMERA, frontal(subject))[0]


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_a_trunk_that_the_scan_cuts_goes_on_through_the_whole_image(axes):
    subject = prepare_subject(trunk(axes=axes), voxel_mm=4.0)
    scanned = render_soft_and_bone(subject, CAMERA, frontal(subject))[0].sum(0)
    both = scanned + beyond(subject)
    middle = scanned[25]
    assert float(scanned[2].max()) == 0 and float(middle.max()) > 2
    # Rays that lean by the row's angle pass through 1 / cos times the trunk.
    lean = torch.sqrt(1 + ((torch.arange(50) - 24.5) * 8 / 1000) ** 2)[:, None]
    spread = (both / lean - middle / lean[25]).abs()
    assert float(spread.max()) < 0.02 * float(middle.max())


def test_it_adds_nothing_where_the_scan_is():
    subject = prepare_subject(trunk(), voxel_mm=4.0)
    rows = slice(17, 33)
    assert float(render_soft_and_bone(subject, CAMERA, frontal(subject))[0, :, rows].amax()) > 1
    assert not beyond(subject)[rows].any()


def test_a_body_that_ends_within_the_scan_ends():
    head = prepare_subject(trunk(high_mm=50.0), voxel_mm=4.0)
    further = beyond(head)
    assert float(further[40:].max()) > 1 and not further[:20].any()
    whole = prepare_subject(trunk(low_mm=-50.0, high_mm=50.0), voxel_mm=4.0)
    assert whole.extension is None


def test_a_structure_and_a_volume_of_unknown_unit_end_where_they_end():
    volume = trunk()
    labels = (volume.values > 500).astype(np.uint8)
    assert prepare_subject(replace(volume, labels=labels), (1,), voxel_mm=4.0).extension is None
    assert prepare_subject(Volume(volume.values + 1000, volume.grid), voxel_mm=4.0).extension is None


def test_a_share_of_the_images_shows_it():
    class OnePatient:
        def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
            return prepare_subject(pelvis_scenes.pelvis(), voxel_mm=12.0)

    inputs = []
    for share in (0.0, 0.5, 1.0):
        calm = AppearanceSettings(chance=0.0, collimation=0.0, truncation=0.0, erasing=0.0, instruments=0.0)
        settings = TrainingSettings(
            batch=24, camera=NetworkCamera(24, 600.0), appearance=replace(calm, continued=share), seed=2
        )
        inputs.append(make_batch(OnePatient(), settings, 0).inputs)
    changed = (inputs[1] != inputs[0]).flatten(1).any(1)
    assert 4 < int(changed.sum()) < 20
    torch.testing.assert_close(inputs[1][changed], inputs[2][changed])
    assert int((inputs[2] != inputs[0]).flatten(1).any(1).sum()) >= 20
