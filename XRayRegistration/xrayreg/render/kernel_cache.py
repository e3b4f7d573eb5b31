"""Cache of compiled CPU kernels between runs: checking it, and loading or compiling kernels one at a time.

numba compiles a kernel on its first call and caches the result in a folder: NUMBA_CACHE_DIR, else beside the
sources, else the user's cache. Kernels kept for another numba, processor or source count as missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import torch
from numpy.typing import NDArray

from ..checks import InputError
from ..geometry import Camera, VoxelGrid, twist_tangents
from . import (
    learned_maps,
    numba_channel_kernels,
    numba_channels,
    numba_compiling,
    numba_engine,
    numba_learned_kernels,
    numba_maps,
)
from . import numba_kernels as kernels
from .rays import Rays, RayTangents, cast_rays, ray_tangents


def is_complete(learned: bool = False) -> bool:
    """Whether every kernel that registration and live DRRs use is loaded or cached.

    learned: check the kernels for maps from a network instead.
    """
    return all(
        signature in kernel.overloads or _stored(kernel, signature)
        for kernel, arguments in (_learned_calls() if learned else _calls()).values()
        for signature in [tuple(numba.typeof(argument) for argument in arguments)]
    )


def load(on_part: Callable[[str], object] = lambda part: None, learned: bool = False) -> float:
    """Load those kernels, or compile and cache them; returns the seconds spent on compiling.

    on_part: called with the name of each before it is loaded.
    """
    calls = _learned_calls() if learned else _calls()
    on_part("numba's own functions")
    kernels.project.targetctx.refresh()
    seconds = 0.0
    for name, (kernel, arguments) in calls.items():
        on_part(name)
        missing, started = _compiled(kernel), time.perf_counter()
        kernel(*arguments)
        if _compiled(kernel) > missing:
            seconds += time.perf_counter() - started
    return seconds


def require_folder() -> None:
    """Raise InputError where no folder is available to cache compiled kernels beyond this process."""
    if not numba_compiling.KEPT:
        asked = os.environ.get("NUMBA_CACHE_DIR")
        raise InputError(
            "compiled code",
            expected="a folder to keep it in",
            found=f"NUMBA_CACHE_DIR, {asked}, read-only" if asked else "the package's and your own read-only",
            remedy="set NUMBA_CACHE_DIR to a folder that you may write to",
        )


def _calls() -> dict[str, tuple[Any, tuple[NDArray, ...]]]:
    """Each kernel by the name of its task, with the smallest arguments to call it with."""
    rimmed, paired = numba_maps.rimmed_map(torch.ones(2, 2, 2)), numba_maps.paired_maps([torch.ones(2, 2, 2)])
    rays, tangents = _rays()
    return {
        "DRRs": (kernels.project, numba_engine.image_arguments(rimmed, rays)),
        "DRRs with derivatives": (
            kernels.project_with_jacobian,
            numba_engine.jacobian_arguments(rimmed, rays, tangents),
        ),
        "DRRs of several maps": (
            numba_channel_kernels.project_channels,
            numba_channels.channel_arguments(paired, rays),
        ),
    }


def _learned_calls() -> dict[str, tuple[Any, tuple[NDArray, ...]]]:
    """The same for maps from a network: for rendering and for training them."""
    maps = torch.ones(1, 2, 2, 2)
    rays = learned_maps.ray_arguments(*_rays())
    arguments = learned_maps.maps_arguments(maps, rays)
    above = [torch.zeros(array.shape) for array in arguments[-2:]]
    return {
        "DRRs of a network's maps": (numba_learned_kernels.project_learned, arguments),
        "derivatives by these maps": (
            numba_learned_kernels.pull_back_learned,
            learned_maps.adjoint_arguments(learned_maps.rimmed_shape(maps), rays, *above),
        ),
    }


def _rays() -> tuple[Rays, RayTangents]:
    """Rays of the smallest image through a volume of eight voxels, and their pose tangents."""
    grid, camera = VoxelGrid.from_spacing((2, 2, 2), (1.0, 1.0, 1.0)), Camera.from_sid(20.0, 1.0, 2, 2)
    pose = torch.eye(4, dtype=torch.float64)[None]
    pose[:, 2, 3] = 10.0
    moves = twist_tangents(pose, torch.zeros(3, dtype=torch.float64))
    return cast_rays(grid, camera, pose), ray_tangents(grid, camera, pose, moves)


def _stored(kernel: Any, signature: tuple[Any, ...]) -> bool:
    # numba has no public query of its cache, so its internal look-up is used.
    files = kernel._cache._cache_file
    key = kernel._cache._index_key(signature, kernel.targetctx.codegen())
    name = files._load_index().get(key)
    return name is not None and Path(files._data_path(name)).exists()


def _compiled(kernel: Any) -> int:
    """Number of compilations of a kernel so far because it was not cached."""
    return sum(kernel.stats.cache_misses.values())
