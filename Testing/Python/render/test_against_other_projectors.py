"""Each way to integrate against a projector of others that integrates the same way, ray by ray.

They are installed as the top of Testing/Benchmarks/agreement.py says; that benchmark does the same with a patient.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch
from closed_forms import blob_map, blobs_around, camera, looking, oblique_grid
from render_checks import ENGINES, relative

from xrayreg.render import render
from xrayreg.render.reference import ReferenceProjector
from xrayreg.scene import Attenuation

BENCHMARKS = Path(__file__).resolve().parents[2] / "Benchmarks"


@pytest.fixture
def installed(monkeypatch):
    """Imports a projector of others, or skips the test with a sentence."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def found(module: str):
        try:
            return importlib.import_module(module)
        except ImportError as problem:
            pytest.skip(f"{problem}; see the top of Testing/Benchmarks/agreement.py")

    return found


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("way", ["torch", "numba", "trilinear", "siddon"])
def test_the_same_integral_is_the_same_number(installed, way, mirrored):
    grid = oblique_grid((41, 38, 45), (3.0, 2.1, 3.6), mirrored)
    mu, pose = blob_map(grid, blobs_around(grid, 9.0)).mu, looking(grid)
    # What happens beyond the last voxel is everybody's own, so that there is air.
    attenuation = Attenuation(torch.nn.functional.pad(mu[2:-2, 2:-2, 2:-2], (2,) * 6), grid)
    view = camera(31, 24, 4.0)
    matrix = view.matrix.copy()
    # Neither of the others knows pixels that are skew.
    matrix[0, 1] = 0
    view = dataclasses.replace(view, matrix=matrix)
    if way in ENGINES:
        ours, other = ENGINES[way](attenuation), installed("rtk_peer").RtkJoseph(attenuation)
    else:
        ours = ReferenceProjector(attenuation, pixel=way)
        other = installed("diffdrr_peer").DiffDrr(attenuation, way)
    expected = other.image(view, pose[0].numpy())
    # float32 and numba's 16 bit levels; DiffDRR's 1000 samples lie elsewhere on the ray than ours.
    allowed = {"torch": 1e-5, "numba": 3e-5, "trilinear": 1e-3, "siddon": 1e-4}[way]
    assert expected.max() > 1
    assert relative(render(ours, view, pose)[0], ours.mu.new_tensor(expected)) < allowed
