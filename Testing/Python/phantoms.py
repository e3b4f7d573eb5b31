"""A small bone-like phantom of Gaussian blobs: as a map for the engines, and its X-rays in closed form."""

from __future__ import annotations

import functools

import numpy as np
import torch
from closed_forms import Blob, blob_image, blob_map
from scipy.spatial.transform import Rotation
from torch import Tensor

from xrayreg.geometry import Camera, VoxelGrid, rigid
from xrayreg.scene import Attenuation, Radiograph

GRID = VoxelGrid.from_spacing((71, 66, 75), (2.0, 2.0, 2.0))
PIVOT = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64)


def _blobs() -> tuple[Blob, ...]:
    """A broad body with a dozen sharper lumps in it, 8 to 12 mm wide: four voxels and more."""
    generator = np.random.default_rng(11)
    lumps = [
        Blob(
            tuple(generator.uniform(-38, 38, 3)), float(generator.uniform(8, 12)), float(generator.uniform(0.01, 0.03))
        )
        for _ in range(12)
    ]
    return (Blob((0.0, 0.0, 0.0), 25.0, 0.008), *lumps)


BLOBS = _blobs()


@functools.lru_cache(maxsize=4)
def phantom_map(dtype: torch.dtype = torch.float32) -> Attenuation:
    return blob_map(GRID, BLOBS, dtype)


def frontal(
    rotvec: tuple[float, float, float] = (0.0, 0.0, 0.0), shift: tuple[float, float, float] = (0, 0, 0)
) -> Tensor:
    """camera_from_volume (1, 4, 4): a frontal view from 700 mm, turned and shifted [rad, mm]."""
    upright = Rotation.from_euler("x", 90, degrees=True)
    rotation = (Rotation.from_rotvec(rotvec) * upright).as_matrix()
    return rigid(torch.as_tensor(rotation), torch.tensor([0.0, 0.0, 700.0]).double() + torch.tensor(shift).double())[
        None
    ]


def camera_at(size: int, camera_from_world: np.ndarray | None = None) -> Camera:
    """A camera of 1000 mm SID whose square image of `size` pixels covers 240 mm of detector."""
    return Camera.from_sid(1000.0, 240.0 / size, size, size, camera_from_world)


def xray(camera: Camera, world_from_volume: Tensor) -> Radiograph:
    """The phantom's X-ray in closed form."""
    camera_from_volume = torch.as_tensor(camera.camera_from_world) @ world_from_volume
    image = blob_image(camera, camera_from_volume, BLOBS)[0].float().numpy()
    return Radiograph(image, image, np.ones(image.shape, bool), camera)


def furthest_mm(poses: Tensor, truth: Tensor) -> Tensor:
    """Largest displacement [mm] (B,) of the corners of a cube of 80 mm between poses (B, 4, 4) and the true one."""
    corners = torch.tensor([[x, y, z] for x in (-40, 40) for y in (-40, 40) for z in (-40, 40)]).double()
    moved = corners @ (poses - truth)[:, :3, :3].mT + (poses - truth)[:, None, :3, 3]
    return moved.norm(dim=-1).amax(-1)
