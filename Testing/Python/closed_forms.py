"""Attenuation maps whose X-ray images are known in closed form, and grids, cameras and poses to look at them.

None of this uses an engine: the formulas come from the geometry of a line alone. Grids and maps are made once and
shared, so nobody may change them.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from xrayreg.geometry import Camera, VoxelGrid, retract, rigid
from xrayreg.scene import Attenuation


@functools.lru_cache(maxsize=16)
def plain_grid(
    shape: tuple[int, int, int] = (117, 120, 115), spacing: tuple[float, float, float] = (1, 1, 1)
) -> VoxelGrid:
    """An axis-aligned grid with odd and even sizes, centred on the origin."""
    return VoxelGrid.from_spacing(shape, spacing)


@functools.lru_cache(maxsize=16)
def oblique_grid(
    shape: tuple[int, int, int] = (113, 124, 135),
    spacing: tuple[float, float, float] = (1.05, 0.95, 0.9),
    mirrored: bool = True,
) -> VoxelGrid:
    """A turned, shifted, anisotropic and, unless told otherwise, left-handed grid."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([spacing[0], -spacing[1] if mirrored else spacing[1], spacing[2]])
    matrix[:3, 3] = (31.0, -17.0, 8.0)
    return VoxelGrid(shape, matrix)


def looking(
    grid: VoxelGrid, turn: tuple[float, float, float] = (0.5, -0.55, 0.2), distance_mm: float = 300.0
) -> Tensor:
    """One pose (1, 4, 4): the camera, turned by the rotation vector, sees the grid's centre `distance_mm` ahead."""
    rotation = torch.as_tensor(Rotation.from_rotvec(turn).as_matrix())
    centre = torch.as_tensor(grid.centre)
    return rigid(rotation, torch.tensor([0.0, 0.0, distance_mm], dtype=torch.float64) - rotation @ centre)[None]


def along_index_axis(grid: VoxelGrid, axis: int, sign: int = 1, tilt: float = 0.1) -> Tensor:
    """One pose (1, 4, 4) whose central ray runs nearly along +-`axis` of the grid: `tilt` [rad] off it."""
    axes = grid.volume_from_index[:3, :3] / grid.spacing_mm
    z = sign * axes[:, axis]
    x = axes[:, (axis + 1) % 3]
    camera_axes = np.stack([x, np.cross(z, x), z])
    tilted = Rotation.from_rotvec([tilt, 0.7 * tilt, 0.2]).as_matrix() @ camera_axes
    rotation = torch.as_tensor(tilted)
    return rigid(
        rotation, torch.tensor([4.0, -3.0, 300.0], dtype=torch.float64) - rotation @ torch.as_tensor(grid.centre)
    )[None]


def camera(width: int = 23, height: int = 18, pitch_mm: float = 8.0, sid_mm: float = 500.0) -> Camera:
    """A camera with different focal lengths, some skew and an off-centre principal point."""
    focal = sid_mm / pitch_mm
    matrix = np.array([[focal, 0.4, 0.47 * width], [0.0, 1.05 * focal, 0.53 * height], [0.0, 0.0, 1.0]])
    return Camera(matrix, width, height, np.eye(4))


def voxel_centres(grid: VoxelGrid) -> np.ndarray:
    """Centres (nk, nj, ni, 3) of the voxels in the volume frame [mm]."""
    ni, nj, nk = grid.shape
    k, j, i = np.meshgrid(np.arange(nk), np.arange(nj), np.arange(ni), indexing="ij")
    return np.stack([i, j, k], axis=-1) @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]


@dataclass(frozen=True)
class Blob:
    """A Gaussian ball: centre [mm, volume frame], standard deviation [mm], attenuation at the centre [1/mm]."""

    centre: tuple[float, float, float]
    sigma_mm: float
    peak: float


@functools.lru_cache(maxsize=16)
def blobs_around(grid: VoxelGrid, sigma_mm: float) -> tuple[Blob, ...]:
    """Three unequal blobs near the middle of the grid, without any symmetry."""
    offsets = ((4.0, -2.0, 3.0), (-3.0, 4.0, -2.0), (1.0, 2.0, 5.0))
    widths, peaks = (0.8, 1.0, 0.9), (0.02, 0.03, 0.015)
    places = [grid.centre + offset for offset in offsets]
    return tuple(
        Blob((float(x), float(y), float(z)), width * sigma_mm, peak)
        for (x, y, z), width, peak in zip(places, widths, peaks, strict=True)
    )


@functools.lru_cache(maxsize=16)
def blob_map(grid: VoxelGrid, blobs: tuple[Blob, ...], dtype: torch.dtype = torch.float64) -> Attenuation:
    """The blobs sampled at the voxel centres."""
    centres = voxel_centres(grid)
    mu = sum(b.peak * np.exp(-((centres - np.array(b.centre)) ** 2).sum(-1) / (2 * b.sigma_mm**2)) for b in blobs)
    return Attenuation(torch.as_tensor(np.asarray(mu)).to(dtype), grid)


def pixel_rays(view: Camera, camera_matrix: Tensor | None = None) -> Tensor:
    """Unit directions (H, W, 3) of the pixels' rays in the camera frame."""
    matrix = torch.as_tensor(view.matrix) if camera_matrix is None else camera_matrix
    v, u = torch.meshgrid(torch.arange(view.height), torch.arange(view.width), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).to(torch.float64)
    rays = pixels @ torch.linalg.inv(matrix).mT
    return rays / rays.norm(dim=-1, keepdim=True)


def blob_image(
    view: Camera, camera_from_volume: Tensor, blobs: tuple[Blob, ...], camera_matrix: Tensor | None = None
) -> Tensor:
    """Line integrals (B, H, W) from the source to infinity; differentiable.

    A Gaussian ball at distance q from a line and depth s along it integrates to
    peak sigma sqrt(2 pi) exp(-q^2 / 2 sigma^2) (1 + erf(s / sigma sqrt 2)) / 2.
    """
    rays = pixel_rays(view, camera_matrix)
    image = torch.zeros(len(camera_from_volume), view.height, view.width, dtype=torch.float64)
    for b in blobs:
        centre = (
            camera_from_volume[:, :3, :3] @ torch.tensor(b.centre, dtype=torch.float64) + camera_from_volume[:, :3, 3]
        )
        depth = torch.einsum("hwi,bi->bhw", rays, centre)
        squared = (centre**2).sum(-1)[:, None, None] - depth**2
        ahead = 0.5 * (1 + torch.erf(depth / (b.sigma_mm * math.sqrt(2))))
        image = image + b.peak * b.sigma_mm * math.sqrt(2 * math.pi) * torch.exp(-squared / (2 * b.sigma_mm**2)) * ahead
    return image


def twist_jacobian(view: Camera, camera_from_volume: Tensor, blobs: tuple[Blob, ...], pivot: Tensor) -> Tensor:
    """Exact derivatives (B, 6, H, W) of `blob_image` with respect to the pose's twist about `pivot` (3,)."""

    def image(twist: Tensor) -> Tensor:
        return blob_image(view, retract(camera_from_volume, twist.expand(len(camera_from_volume), 6), pivot), blobs)

    jacobian = torch.autograd.functional.jacobian(image, torch.zeros(6, dtype=torch.float64), vectorize=True)
    return jacobian.permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=16)
def ball_map(
    grid: VoxelGrid, centre: tuple[float, float, float], radius_mm: float, mu: float, samples: int = 4
) -> Attenuation:
    """A uniform ball; each voxel holds the share of it that lies inside, counted on samples^3 points."""
    fractions = (np.arange(samples) + 0.5) / samples - 0.5
    inside = np.zeros(grid.shape[::-1])
    centres = voxel_centres(grid)
    for di in fractions:
        for dj in fractions:
            for dk in fractions:
                shift = grid.volume_from_index[:3, :3] @ (di, dj, dk)
                inside += ((centres + shift - centre) ** 2).sum(-1) < radius_mm**2
    return Attenuation(torch.as_tensor(mu * inside / samples**3), grid)


def ball_chords(view: Camera, camera_from_volume: Tensor, centre: np.ndarray, radius_mm: float) -> Tensor:
    """Lengths [mm] (H, W) of the rays inside a ball in front of the source, for one pose (1, 4, 4)."""
    rays = pixel_rays(view)
    middle = camera_from_volume[0, :3, :3] @ torch.as_tensor(centre) + camera_from_volume[0, :3, 3]
    squared = (middle**2).sum() - (rays @ middle) ** 2
    return 2 * (radius_mm**2 - squared).clamp(min=0).sqrt()


def box_chords(view: Camera, camera_from_volume: Tensor, grid: VoxelGrid, low: np.ndarray, high: np.ndarray) -> Tensor:
    """Lengths [mm] (H, W) of the rays inside the box of index coordinates `low` to `high`, for one pose (1, 4, 4)."""
    _, _, enter, leave = _crossing(view, camera_from_volume, grid, low, high)
    return (leave - enter).clamp(min=0)


def clear_of_edges(
    view: Camera, camera_from_volume: Tensor, grid: VoxelGrid, low: np.ndarray, high: np.ndarray
) -> Tensor:
    """Which rays (H, W) cross the box's surface more than two voxels away from its edges, both times."""
    source, rays, enter, leave = _crossing(view, camera_from_volume, grid, low, high)
    clear = leave > enter
    for at in (enter, leave):
        place = source + at[..., None] * rays
        near_a_face = ((place - torch.as_tensor(low)).abs() < 2) | ((place - torch.as_tensor(high)).abs() < 2)
        clear &= near_a_face.sum(-1) == 1
    return clear


def _crossing(
    view: Camera, camera_from_volume: Tensor, grid: VoxelGrid, low: np.ndarray, high: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source (3,), directions (H, W, 3) per millimetre in index coordinates; where rays enter and leave a box [mm]."""
    index_from_camera = torch.as_tensor(grid.index_from_volume) @ torch.linalg.inv(camera_from_volume[0])
    source = index_from_camera[:3, 3]
    rays = pixel_rays(view) @ index_from_camera[:3, :3].mT
    first, second = (torch.as_tensor(low) - source) / rays, (torch.as_tensor(high) - source) / rays
    enter = torch.minimum(first, second).amax(-1).clamp(min=0)
    return source, rays, enter, torch.maximum(first, second).amin(-1)
