"""The patient and the view that the speed benchmarks render."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.geometry.carm import camera_from_carm
from xrayreg.scene import Attenuation, attenuation_of
from xrayreg.simulation import pelvis_phantom

SIZE = 256
SID_MM, SOD_MM = 1020.0, 700.0


def pelvis_256() -> Attenuation:
    """The generated pelvis resampled to 256^3 voxels that just hold it."""
    source = attenuation_of(pelvis_phantom(2.0))
    spacing = tuple(float(x) for x in np.asarray(source.grid.shape) * source.grid.spacing_mm / SIZE)
    grid = VoxelGrid.from_spacing((SIZE, SIZE, SIZE), spacing)  # type: ignore[arg-type]
    matrix = grid.volume_from_index.copy()
    matrix[:3, 3] += source.grid.centre
    grid = VoxelGrid(grid.shape, matrix)
    source_from_index = source.grid.index_from_volume @ grid.volume_from_index
    axes = [source_from_index[a, a] * np.arange(SIZE) + source_from_index[a, 3] for a in range(3)]
    places = np.meshgrid(*axes[::-1], indexing="ij")
    values = map_coordinates(source.mu.numpy(), places, order=1, mode="nearest")
    return Attenuation(torch.from_numpy(values), grid)


def oblique_view(attenuation: Attenuation, pixels: int) -> tuple[Camera, torch.Tensor]:
    """A camera of `pixels` x `pixels` that sees the whole patient, and one pose (1, 4, 4) 20 and 10 degrees oblique."""
    field_mm = 1.05 * float(np.ptp(attenuation.grid.corners(), axis=0).max()) * SID_MM / SOD_MM
    camera = Camera.from_sid(SID_MM, field_mm / pixels, pixels, pixels)
    pose = camera_from_carm(20.0, 10.0, SOD_MM, attenuation.grid.centre)
    return camera, torch.as_tensor(pose)[None]
