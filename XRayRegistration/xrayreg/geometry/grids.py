"""The voxel grid of a volume: positions of the voxel centres in the volume frame (RAS, mm)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_array


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """A regular grid of voxels; oblique, anisotropic and left-handed direction matrices are supported.

    shape: (ni, nj, nk) voxels along the index axes i, j, k; arrays on the grid are stored as [k, j, i].
    volume_from_index: affine (4, 4) from voxel-centre indices (i, j, k) to RAS millimetres.

    Raises InputError for an empty or degenerate grid.
    """

    shape: tuple[int, int, int]
    volume_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = require_array(self.volume_from_index, "volume geometry", (4, 4))
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if min(self.shape) < 1:
            raise InputError(
                "volume size", expected="at least one voxel", found=str(self.shape), remedy="check the file"
            )
        if spacing.min() < 1e-6:
            raise InputError(
                "voxel spacing",
                expected="millimetres above 0 along each axis",
                found=" x ".join(f"{s:g}" for s in spacing),
                remedy="correct the spacing in the file",
            )
        if abs(np.linalg.det(matrix[:3, :3] / spacing)) < 0.05:
            raise InputError(
                "volume directions",
                expected="three independent axes",
                found="axes that nearly lie in one plane",
                remedy="correct the direction matrix in the file",
            )
        object.__setattr__(self, "volume_from_index", matrix)

    @classmethod
    def from_spacing(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> VoxelGrid:
        """An axis-aligned RAS grid centred on the origin."""
        matrix = np.diag([*spacing_mm, 1.0])
        matrix[:3, 3] = -np.asarray(spacing_mm) * (np.asarray(shape) - 1) / 2
        return cls(shape, matrix)

    @property
    def index_from_volume(self) -> NDArray[np.float64]:
        """Affine (4, 4) from RAS millimetres to voxel indices (i, j, k)."""
        return np.asarray(np.linalg.inv(self.volume_from_index), dtype=np.float64)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance [mm] between neighbouring voxel centres along i, j, k."""
        return np.asarray(np.linalg.norm(self.volume_from_index[:3, :3], axis=0), dtype=np.float64)

    @property
    def centre(self) -> NDArray[np.float64]:
        """The centre of the grid in RAS millimetres: the isocentre unless another is set."""
        middle = (np.asarray(self.shape) - 1) / 2
        return self.volume_from_index[:3, :3] @ middle + self.volume_from_index[:3, 3]

    def corners(self) -> NDArray[np.float64]:
        """The eight outer corners (8, 3) of the grid's box in RAS millimetres, half a voxel beyond the centres."""
        return self.box_corners(np.zeros(3), np.asarray(self.shape) - 1.0)

    def box_corners(self, first_index: NDArray, last_index: NDArray) -> NDArray[np.float64]:
        """Outer corners (8, 3) in RAS millimetres of the box of voxels from `first_index` to `last_index` (i, j, k)."""
        low, high = np.asarray(first_index) - 0.5, np.asarray(last_index) + 0.5
        pick = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)])
        indices = np.where(pick == 1, high, low)
        return indices @ self.volume_from_index[:3, :3].T + self.volume_from_index[:3, 3]

    def cropped(self, first_index: tuple[int, int, int], shape: tuple[int, int, int]) -> VoxelGrid:
        """The sub-grid of `shape` that starts at voxel `first_index` (i, j, k)."""
        matrix = self.volume_from_index.copy()
        matrix[:3, 3] += matrix[:3, :3] @ np.asarray(first_index, dtype=np.float64)
        return VoxelGrid(shape, matrix)

    def coarsened(self, factors: tuple[int, int, int]) -> VoxelGrid:
        """The grid whose voxels are blocks of `factors` (i, j, k) voxels; a remainder forms a partial block."""
        steps = np.asarray(factors, dtype=np.float64)
        matrix = self.volume_from_index.copy()
        matrix[:3, 3] += matrix[:3, :3] @ ((steps - 1) / 2)
        matrix[:3, :3] *= steps
        ni, nj, nk = (-(-n // f) for n, f in zip(self.shape, factors, strict=True))
        return VoxelGrid((ni, nj, nk), matrix)

    def same_as(self, other: VoxelGrid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same voxels at the same positions, to `tolerance_mm` at the far corner."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() < tolerance_mm)
