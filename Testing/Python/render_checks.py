"""Geometries and maps on which the engines are held against each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from closed_forms import along_index_axis, looking, oblique_grid, plain_grid
from torch import Tensor

from xrayreg.geometry import VoxelGrid
from xrayreg.render import Projector
from xrayreg.render.numba_engine import NumbaProjector
from xrayreg.render.reference import ReferenceProjector
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.scene import Attenuation

ENGINES: dict[str, Callable[[Attenuation], Projector]] = {
    "reference": ReferenceProjector,
    "torch": TorchProjector,
    "numba": NumbaProjector,
}


# Every dominant axis both ways, none dominant everywhere, an axis met head on, and a grid with nothing right about it.
GEOMETRIES: dict[str, Callable[[], tuple[VoxelGrid, Tensor]]] = {
    "towards +i": lambda: (plain_grid(), along_index_axis(plain_grid(), 0, 1)),
    "towards -j": lambda: (plain_grid(), along_index_axis(plain_grid(), 1, -1)),
    "towards +k, head on": lambda: (plain_grid(), along_index_axis(plain_grid(), 2, 1, tilt=0.0)),
    "towards -k": lambda: (oblique_grid(), along_index_axis(oblique_grid(), 2, -1)),
    "between the axes": lambda: (plain_grid(), looking(plain_grid())),
    "between the axes, left-handed": lambda: (oblique_grid(), looking(oblique_grid())),
    "between the axes, right-handed": lambda: (oblique_grid(mirrored=False), looking(oblique_grid(mirrored=False))),
}


def noise_map(grid: VoxelGrid, seed: int = 0) -> Attenuation:
    """White noise: the map on which every interpolation differs most."""
    values = np.random.default_rng(seed).random(grid.shape[::-1]).astype(np.float32)
    return Attenuation(torch.from_numpy(values), grid)


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest expected value."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).abs().max() / expected.abs().max())


def column_errors(found: Tensor, expected: Tensor) -> Tensor:
    """Root-mean-square difference (P,) of Jacobian images (B, P, H, W), relative to each column's own size."""
    difference = found.double() - expected.double()
    return difference.pow(2).sum((0, 2, 3)).sqrt() / expected.double().pow(2).sum((0, 2, 3)).sqrt()
