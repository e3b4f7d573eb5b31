"""Muon: orthogonalised momentum for filters, in which every direction has the same weight.

The gradient of a filter bank is nearly of low rank: a few directions dominate and the others are learned slowly. Here
the momentum of each bank, as a matrix with a row per filter, is replaced by the nearest orthogonal matrix.
Source: Jordan et al., Muon (2024), with the scale of Liu et al. (arXiv 2502.16982) that makes the steps as large as
Adam's. torch has it for matrices only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.9
# Coefficients of a quintic iteration that brings singular values to 1 within a third in few iterations (Jordan).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TURNS = 5
# Root mean square of Adam's steps in units of its rate.
_SIZE_OF_A_STEP = 0.2


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised steps for tensors of two or more dimensions, the first of which counts filters."""

    def __init__(self, filters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(list(filters), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along minus the gradients."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._move(weights, weights.grad, group["lr"], group["weight_decay"])
        return loss

    def _move(self, weights: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[weights]
        if not state:
            state["momentum"] = torch.zeros_like(weights)
        momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(momentum, _MOMENTUM).reshape(len(weights), -1)
        size = _SIZE_OF_A_STEP * max(ahead.shape) ** 0.5
        weights.mul_(1 - rate * decay).add_(orthogonalise(ahead).reshape(weights.shape), alpha=-rate * size)


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix (M, N) with the singular vectors of `matrix` and singular values near 1; zeros stay zeros."""
    wide = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    found = wide / wide.norm().clamp_min(1e-20)
    once, thrice, five_times = _QUINTIC
    for _ in range(_TURNS):
        square = found @ found.mT
        found = once * found + (thrice * square + five_times * square @ square) @ found
    return found.mT if matrix.shape[0] > matrix.shape[1] else found
