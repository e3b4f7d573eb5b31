"""A patient prepared for many X-rays: attenuation computed once per voxel, in two bytes, and a compiled projector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_rigid
from ..geometry import VoxelGrid
from ..slabs import bounds
from .materials import BONE_PER_WATER, relative_attenuation
from .projector import ray_chords

# Relative attenuation (over water's) per step of the stored numbers: that of a Hounsfield unit.
STEP = 1e-3
_MOST = np.iinfo(np.int16).max


@dataclass(frozen=True, eq=False)
class Patient:
    """The data of a CT for `simulate_xray`, shared by all its X-rays.

    relative: int16 [k, j, i], attenuation over water's in steps of STEP; may lie in a file mapped to memory.
    grid: of the voxels (RAS mm). box: (2, 3) first and last index (i, j, k) of what is not air, plus one voxel.
    """

    relative: NDArray[np.int16]
    grid: VoxelGrid
    box: NDArray[np.float64]

    def material_paths(
        self,
        camera_from_volume: NDArray[np.float64],
        directions: NDArray[np.float64],
        bone_hu: tuple[float, float],
        step_voxels: float,
    ) -> NDArray[np.float64]:
        """Paths (2, N) [g/cm3 mm] through soft matter and bone along `directions` (N, 3) in the camera frame.

        The numbers of `projector.line_integrals` with `partial_densities`, in a hundredth of the time.
        Raises InputError where numba is not installed.
        """
        kernel = _kernel()
        index_from_camera = self.grid.index_from_volume @ np.linalg.inv(
            require_rigid(camera_from_volume, "camera_from_volume")
        )
        source, slopes = index_from_camera[:3, 3], directions @ index_from_camera[:3, :3].T
        enter, leave = ray_chords(source, slopes, *self.box)
        samples = np.ceil((leave - enter) * np.abs(slopes).max(axis=1) / step_voxels).astype(np.int64)
        low, high = (1 + hu / 1000 for hu in bone_hu)
        lengths = np.linalg.norm(directions, axis=1)
        paths: NDArray[np.float64] = kernel(
            self.relative,
            source,
            slopes,
            lengths,
            enter,
            leave - enter,
            samples,
            *(np.float32(value) for value in (STEP, low, high, BONE_PER_WATER)),
        )
        return paths


def relative_steps(hounsfield: NDArray, air_hu: float) -> NDArray[np.int16]:
    """Attenuation over water's in steps of STEP, in the shape of `hounsfield`; zero up to `air_hu`."""
    return np.rint(np.minimum(relative_attenuation(hounsfield, air_hu) / STEP, _MOST)).astype(np.int16)


def patient_on(relative: NDArray[np.int16], grid: VoxelGrid) -> Patient:
    """The patient of attenuation over water's [k, j, i] in steps of STEP."""
    try:
        box = bounds(relative.shape, lambda some: relative[some] > 0)
    except IndexError as error:
        raise InputError(
            "volume", expected="tissue in Hounsfield units", found="only air", remedy="check the rescale intercept"
        ) from error
    low = np.maximum(box[::-1, 0] - 1.0, -0.5)
    high = np.minimum(box[::-1, 1] + 1.0, np.array(relative.shape[::-1]) - 0.5)
    return Patient(relative, grid, np.stack([low, high]))


def _kernel() -> Any:
    try:
        # Importing the engine sets a folder for compiled code where the package's is not writable.
        from ..render import numba_engine  # noqa: F401
        from .sampling_kernels import material_paths
    except ImportError as error:
        raise InputError(
            "numba",
            expected="the package, with which many X-rays are simulated",
            found=str(error),
            remedy="install it: pip install numba",
        ) from error
    return material_paths
