"""The engines and the geometries in which each of them is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from render_checks import ENGINES, GEOMETRIES
from torch import Tensor

from xrayreg.geometry import VoxelGrid
from xrayreg.render import Projector
from xrayreg.scene import Attenuation


@pytest.fixture(params=ENGINES)
def engine(request) -> Callable[[Attenuation], Projector]:
    """Each engine in turn."""
    return ENGINES[request.param]


@pytest.fixture(params=["torch", "numba"])
def fast_engine(request) -> Callable[[Attenuation], Projector]:
    """Each of the plane-by-plane engines in turn."""
    return ENGINES[request.param]


@pytest.fixture(params=GEOMETRIES)
def geometry(request) -> tuple[VoxelGrid, Tensor]:
    """Grids with a pose (1, 4, 4) each."""
    return GEOMETRIES[request.param]()
