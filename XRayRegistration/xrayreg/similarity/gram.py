"""Zero-mean normalised cross-correlation (ZNCC) as least squares, from one small matrix of inner products.

With x^ and y^ the zero-mean, unit-norm versions of the X-ray x and the DRR y,
    1 - ZNCC(x, y) = |x^ - y^|^2 / 2,
so Gauss-Newton on the residual y^ - x^ maximises correlation (design.md 6.2). The residual's Jacobian is the image
Jacobian J made zero-mean, divided by |y|, with its component along y^ removed. Score, gradient and normal matrix
therefore need only the inner products of x, y and the columns of J: a Gram matrix for each window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Far from the optimum the score does not determine the curvature; steps grow by at most ten.
_LEAST_CURVED = 0.1


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of B DRRs with the X-ray and its derivatives with respect to P parameters.

    score: (B,) correlation, 1 is perfect.
    gradient: (B, P) of the cost 1 - score.
    normal: (B, P, P) Gauss-Newton approximation of the cost's Hessian.
    """

    score: Tensor
    gradient: Tensor
    normal: Tensor

    @property
    def curvature(self) -> Tensor:
        """(B, P, P) the cost's expected Hessian: the normal matrix times the score.

        The part of the X-ray that no pose explains (noise, other anatomy) has zero mean gradient, so around the optimum
        the Hessian of 1 - ZNCC is score * J^T J. Gauss-Newton steps alone would be too short by that factor.
        """
        return self.normal * self.score.clamp(min=_LEAST_CURVED, max=1.0)[:, None, None]

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.score + other.score, self.gradient + other.gradient, self.normal + other.normal)

    @classmethod
    def joined(cls, parts: Sequence[Agreement]) -> Agreement:
        """The agreement of all DRRs of several batches."""
        return cls(
            torch.cat([part.score for part in parts]),
            torch.cat([part.gradient for part in parts]),
            torch.cat([part.normal for part in parts]),
        )

    def on(self, device: torch.device) -> Agreement:
        """The agreement on another device."""
        return Agreement(self.score.to(device), self.gradient.to(device), self.normal.to(device))

    def scaled(self, weight: float) -> Agreement:
        """The agreement times a weight."""
        return Agreement(weight * self.score, weight * self.gradient, weight * self.normal)


def agreement_from_gram(gram: Tensor, window_weight: Tensor, floor_x: Tensor, floor_y: Tensor) -> Agreement:
    """Mean ZNCC over windows with its gradient and normal matrix.

    gram: (B, N, 2 + P, 2 + P) centred inner products of (x, y, J_1 .. J_P) in N windows.
    window_weight: (B, N) weights of the windows, summing to one for each B.
    floor_x, floor_y: (B, N) added to the variances of x and y, so that a flat window scores nothing.
    """
    energy_x, energy_y = _energies(gram, floor_x, floor_y)
    norm = (energy_x * energy_y).sqrt()
    zncc = gram[..., 0, 1] / norm
    score = (window_weight * zncc).sum(-1)
    with_x, with_y, columns = gram[..., 0, 2:], gram[..., 1, 2:], gram[..., 2:, 2:]
    along_y = with_y / energy_y[..., None]
    gradient = zncc[..., None] * along_y - with_x / norm[..., None]
    normal = columns / energy_y[..., None, None] - along_y[..., :, None] * along_y[..., None, :]
    return Agreement(
        score,
        (window_weight[..., None] * gradient).sum(-2),
        (window_weight[..., None, None] * normal).sum(-3),
    )


def _energies(gram: Tensor, floor_x: Tensor, floor_y: Tensor) -> tuple[Tensor, Tensor]:
    # A difference of rounded sums can fall below zero in a flat window.
    return gram[..., 0, 0].clamp(min=0) + floor_x, gram[..., 1, 1].clamp(min=0) + floor_y


def empty_agreement(batch: int, parameters: int, like: Tensor) -> Agreement:
    """An empty agreement: score, gradient and normal matrix are zero."""
    return Agreement(
        like.new_zeros(batch), like.new_zeros(batch, parameters), like.new_zeros(batch, parameters, parameters)
    )


def stacked(images: list[Tensor]) -> Tensor:
    """Images (B, H, W) or (B, P, H, W) broadcast to one batch and stacked to (B, 2 + P, H, W)."""
    batch = max(image.shape[0] for image in images)
    with_channel = [image[:, None] if image.dim() == 3 else image for image in images]
    return torch.cat([image.expand(batch, *image.shape[1:]) for image in with_channel], dim=1)
