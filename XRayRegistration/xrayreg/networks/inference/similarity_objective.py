"""A learned similarity as a function of the pose: scores and gradients of a batch of poses, as those of a `Problem`.

Scores are minus the network's output, so that they rise with similarity as those of all other similarities here do.
Their scale depends on the network: they have no unit and no upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import Camera, retract, twist_tangents
from ...render import Projector
from ...similarity import Agreement
from ..model.learned_similarity import LearnedSimilarity
from ..model.moving_images import moving_images, volume_of

# Pairs of images that go through a network at a time: some 100 ms of work on two cores.
_BATCH = 4
# Displacements at which a similarity is tested for variation: an angle [rad], and the same share of `scale_mm`.
_FELT = 0.15
# Relative differences of a similarity below this are rounding errors.
_FLAT = 1e-5


@dataclass(frozen=True, eq=False)
class ComparedView:
    """One view's network input: its X-ray (1, H, W) in the network's camera, whose source and axes are the view's.

    view_from_first: (4, 4) from the first view's camera frame to this one's, float64.
    """

    fixed: Tensor
    view_from_first: Tensor


@dataclass(frozen=True, eq=False)
class LearnedObjective:
    """A learned similarity of X-rays and a CT as a function of poses camera_from_volume (B, 4, 4) of the first view.

    network: in evaluation mode. projector: of the CT; counts the images rendered. camera: the network's.
    pivot: (3,) of twists in the volume frame [mm]. scale_mm: millimetres equivalent to a radian.
    maps: (C, nk, nj, ni) output of the network's 3D part for the CT, once for all poses; None without a 3D part.
    """

    network: LearnedSimilarity
    projector: Projector
    camera: Camera
    views: tuple[ComparedView, ...]
    pivot: Tensor
    scale_mm: float
    maps: Tensor | None = None

    @property
    def units(self) -> Tensor:
        """Units (6,) [rad, mm] of the six parameters that the network was trained with."""
        return torch.tensor([1.0] * 3 + [self.scale_mm] * 3, dtype=torch.float64)

    def scores(self, poses: Tensor) -> Tensor:
        """Minus the similarity (B,) of poses (B, 4, 4), the mean over the views; float64 on the CPU."""
        parts = []
        # Tangents along no number at all: the image alone.
        nowhere = poses.new_zeros(1, 0, 4, 4)
        for some in poses.split(_BATCH):
            by_view = []
            for view in self.views:
                moving, _ = self._moving(view, some, nowhere.expand(len(some), 0, 4, 4))
                with torch.no_grad():
                    by_view.append(self._similarity(view, moving))
            parts.append(-torch.stack(by_view).mean(0).double().cpu())
        return torch.cat(parts)

    def agreement(self, poses: Tensor, *, normals: bool = False) -> Agreement:
        """Scores and the similarity's gradients (B, 6) by twists [rad, mm] of poses (B, 4, 4), means over the views.

        Raises ValueError where normal matrices are requested of a network whose similarity is not a sum of squares.
        """
        if normals and not self.network.sums_squares:
            raise ValueError("agreement: this learned similarity has no normal matrices; ask without them")
        parts = []
        for some in poses.split(_BATCH):
            tangents = twist_tangents(some, self.pivot)
            found = []
            for view in self.views:
                images = self._moving(view, some, view.view_from_first[None, None] @ tangents)
                found.append(self._of_squares(view, *images) if normals else self._of_value(view, *images))
            score, gradient, normal = (torch.stack(some).mean(0).double().cpu() for some in zip(*found, strict=True))
            parts.append(Agreement(score, gradient, normal))
        return Agreement.joined(parts)

    def _of_value(self, view: ComparedView, moving: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score, gradient and a normal matrix of zeros by the derivatives (B, C, 6, H, W) of images (B, C, H, W)."""
        found = self._similarity(view, moving.requires_grad_())
        (by_image,) = torch.autograd.grad(found.sum(), moving)
        gradient = torch.einsum("bchw,bcphw->bp", by_image, jacobian)
        return -found.detach(), gradient, gradient.new_zeros(len(gradient), 6, 6)

    @torch.no_grad()
    def _of_squares(self, view: ComparedView, moving: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same for a sum of squares, with its normal matrix."""
        residuals, derivatives = self.network.residuals(view.fixed[None], moving, jacobian)
        gradient = 2 * torch.einsum("bpn,bn->bp", derivatives, residuals)
        return -residuals.square().sum(1), gradient, 2 * derivatives @ derivatives.mT

    def _moving(self, view: ComparedView, poses: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        moved = view.view_from_first @ poses
        return moving_images(
            self.network, self.projector, self.camera, moved, tangents, self.scale_mm, view.fixed, self.maps
        )

    def _similarity(self, view: ComparedView, moving: Tensor) -> Tensor:
        return self.network.similarity(view.fixed[None], moving)


@torch.no_grad()
def refined_maps(network: LearnedSimilarity, projector: Projector) -> Tensor | None:
    """Output (C, nk, nj, ni) of the network's 3D part for a CT, on the CPU; None for a network without one."""
    return None if network.volume_network is None else network.refine_volume(volume_of(projector))


def require_telling(objective: LearnedObjective, pose: Tensor, name: str) -> None:
    """Raise InputError, naming the similarity, where it cannot distinguish poses around one (4, 4).

    That is where it is not finite, or equal at the pose and at twelve others 9 degrees or 0.15 of `scale_mm` away.
    """
    steps = torch.cat([torch.zeros(1, 6), torch.eye(6), -torch.eye(6)]).double() * _FELT * objective.units
    around = retract(pose.expand(len(steps), 4, 4), steps, objective.pivot)
    scores = objective.scores(around)
    unknown = int((~scores.isfinite()).sum())
    found = ""
    if unknown:
        found = f"none at {unknown} of {len(scores)} poses around the start"
    elif float(scores.max() - scores.min()) <= _FLAT * float(scores.abs().max()):
        found = f"the same number at {len(scores)} poses around the start"
    if found:
        raise InputError(
            f"similarity {name}",
            expected="a number that changes with the pose",
            found=found,
            remedy="check that the start shows the anatomy in the X-ray; else train the similarity again",
        )
