"""Test of whether Triton works on a device, by trial, and compilation of its kernels in advance.

Triton compiles when a kernel is first launched, and keeps the result in TRITON_CACHE_DIR, by default ~/.triton.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import triton

from ..geometry import Camera, VoxelGrid, twist_tangents
from ..scene import Attenuation
from .rays import cast_rays, ray_tangents
from .triton_kernels import write_one

# Devices whose kernels this process has loaded.
_LOADED: set[str] = set()


@functools.cache
def failure(place: str) -> str:
    """An empty string where Triton runs on the device, otherwise the reason why not.

    It needs a driver that knows the GPU and, on first use, a C compiler for its launcher; either may be missing.
    """
    if not hasattr(triton, "knobs"):
        return f"triton {triton.__version__} is older than 3.4"
    if triton.knobs.runtime.interpret:
        return "Triton is set to its interpreter (TRITON_INTERPRET)"
    try:
        there = torch.zeros(1, device=place)
        with torch.cuda.device(there.device):
            write_one[(1,)](there)
        written = float(there)
    except Exception as problem:
        lines = str(problem).strip().splitlines()
        return f"triton {triton.__version__} fails on {place}: {lines[0] if lines else type(problem).__name__}"
    return "" if written == 1.0 else f"triton {triton.__version__} computes wrongly on {place}"


def is_loaded(place: str) -> bool:
    """Whether this process has compiled or loaded the kernels for the device."""
    return place in _LOADED


def load(place: str, on_part: Callable[[str], object] = lambda part: None) -> float:
    """Render the smallest images with every kernel that a registration or a training needs.

    on_part: called with the name of each part before it is compiled.
    Returns the seconds spent on compiling, 0 where Triton's folder held everything.
    """
    from .triton_engine import TritonProjector

    spent: list[float] = []
    grid = VoxelGrid.from_spacing((2, 2, 2), (1.0, 1.0, 1.0))
    camera = Camera.from_sid(20.0, 1.0, 2, 2)
    pose = torch.eye(4, dtype=torch.float64)[None]
    pose[:, 2, 3] = 10.0
    projector = TritonProjector(Attenuation(torch.ones(2, 2, 2), grid), place)
    tangents = ray_tangents(grid, camera, pose, twist_tangents(pose, torch.zeros(3, dtype=torch.float64)))
    on_part("DRRs")
    with _timed(spent):
        projector.project(cast_rays(grid, camera, pose))
    on_part("DRRs with derivatives")
    with _timed(spent):
        projector.project_with_jacobian(cast_rays(grid, camera, pose), tangents)
    on_part("gradients of poses")
    with _timed(spent):
        projector.project(cast_rays(grid, camera, pose.requires_grad_())).sum().backward()
    _LOADED.add(place)
    return sum(spent)


class _timed:
    """Adds the seconds that Triton compiles within the block to a list; what its folder holds is not compiled."""

    def __init__(self, spent: list[float]) -> None:
        self._spent = spent
        self._scope = triton.knobs.compilation.scope()

    def __enter__(self) -> None:
        self._scope.__enter__()
        triton.knobs.compilation.listener = self._compiled

    def __exit__(self, *problem: Any) -> None:
        self._scope.__exit__(*problem)

    def _compiled(self, *, times: Any, cache_hit: bool, **_: Any) -> None:
        if not cache_hit:
            self._spent.append(1e-6 * times.total)
