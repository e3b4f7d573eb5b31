"""The simulator against X-rays of a real CT that an independent program made with poses on record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.scene import Volume
from xrayreg.simulation import XraySettings, simulate_xray


def read_ct(path: Path) -> Volume:
    """A NIfTI file as a Volume; ITK's LPS millimetres become RAS."""
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), VoxelGrid(image.GetSize(), np.diag([-1, -1, 1, 1]) @ matrix))


def agreement(volume: Volume, camera: Camera, pose: np.ndarray, image: np.ndarray) -> float:
    """Correlation of the logarithms of the simulated and the given image."""
    settings = XraySettings(photons=None, rays_per_side=1, scatter_to_primary=0.3)
    ours = simulate_xray(volume, camera, pose, settings).transmission.astype(float)
    return float(np.corrcoef(np.log(ours + 1).ravel(), np.log(image + 1).ravel())[0, 1])


@pytest.mark.parametrize("name", ["local_000", "chen_001"])
def test_it_agrees_with_an_independent_simulator_best_at_the_recorded_pose(shared_data, name):
    volume = read_ct(shared_data("pelvis", "ct.nii.gz"))
    case = json.loads(shared_data("simulated", f"{name}.json").read_text())
    view = case["views"][0]["camera"]
    recorded = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data("simulated", f"{name}.tif")))).astype(float)
    image = recorded.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    camera = Camera(np.array(view["matrix"]), *view["size"], np.array(view["camera_from_world"]), 1.55).resized(4)
    pose = np.array(case["reference"]["world_from_volume"])

    best = agreement(volume, camera, pose, image)
    # Spectrum, scatter model and noise are another program's: the shapes must agree, the grey levels need not.
    assert best > 0.995
    for axis in range(3):
        # 8 mm across are 3 coarse pixels; depth shows a third as much, so it is moved three times as far.
        step = 8.0 if axis < 2 else 24.0
        for sign in (-1, 1):
            moved = pose.copy()
            moved[axis, 3] += sign * step
            assert agreement(volume, camera, moved, image) < best
