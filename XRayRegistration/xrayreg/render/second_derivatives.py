"""Test of whether an engine's images can be differentiated twice, by trial.

Losses that compare gradients need it (ProST, Gao et al. 2020; methods.md A1). Earlier versions of torch had no second
derivative of `grid_sample`, and not every device has one today.
"""

from __future__ import annotations

import functools

import torch

from ..settings import DeviceName, EngineName
from .dispatch import choose_engine

# Axes that each engine's `grid_sample` interpolates along.
_INTERPOLATED = {"torch": 2, "reference": 3}


def double_backward(engine: EngineName = "auto", device: DeviceName = "auto") -> str:
    """An empty string where the engine's images have second derivatives here, otherwise the sentence that says why not.

    The first call for a device tries it on a map of a few voxels. Raises as `choose_engine` does.
    """
    name, place, _ = choose_engine(engine, device)
    if name not in _INTERPOLATED:
        return f"the {name} engine has first derivatives only, written by hand: render with the torch engine"
    return _tried(_INTERPOLATED[name], place)


@functools.cache
def _tried(axes: int, place: str) -> str:
    """The reason why `grid_sample` along `axes` axes has no second derivatives on a device; empty if it has."""
    try:
        found = _mixed_derivative(axes, place)
    except (RuntimeError, NotImplementedError) as problem:
        return f"torch {torch.__version__} has no second derivative of grid_sample on {place}: {_first_line(problem)}"
    # Linear in x and in y: the corners' alternating sum, 1 - 2 - 4 + 8.
    if abs(found - 3.0) > 1e-4:
        return f"torch {torch.__version__} gets second derivatives of grid_sample wrong on {place}: {found:g}, not 3"
    return ""


def _mixed_derivative(axes: int, place: str) -> float:
    """d2/dx dy of an interpolant between four voxels, alike along any third axis; x and y count voxels."""
    corners = torch.tensor([[1.0, 2.0], [4.0, 8.0]], device=place)
    values = corners.expand(*[2] * axes)[None, None]
    place_on_grid = torch.full((1, *[1] * axes, axes), 0.1, device=place, requires_grad=True)
    value = torch.nn.functional.grid_sample(values, place_on_grid, padding_mode="zeros", align_corners=False)
    (slope,) = torch.autograd.grad(value.sum(), place_on_grid, create_graph=True)
    (second,) = torch.autograd.grad(slope[..., 0].sum(), place_on_grid)
    return float(second.reshape(-1)[1])


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
