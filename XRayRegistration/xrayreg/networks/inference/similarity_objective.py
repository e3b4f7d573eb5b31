"""A learned similarity as a function of the pose: scores and gradients of a batch of poses, as a `Problem` gives them.

Scores are minus the network's similarity, so that they rise towards what is alike as those of all other similarities
here do. What they are worth beyond that is the network's own affair: they have no unit and no upper end.
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
# How far a similarity is felt around a pose: an angle [rad], and a share of `scale_mm`.
_FELT = 0.15
# Differences of a similarity below this share of it are rounding.
_FLAT = 1e-5


@dataclass(frozen=True, eq=False)
class ComparedView:
    """One view as a network sees it: its X-ray (1, H, W) in the network's camera, whose source and axes are the view's.

    view_from_first: (4, 4) from the first view's camera frame to this one's, float64.
    """

    fixed: Tensor
    view_from_first: Tensor


@dataclass(frozen=True, eq=False)
class LearnedObjective:
    """A learned similarity of X-rays and a CT as a function of poses camera_from_volume (B, 4, 4) of the first view.

    network: in evaluation mode. projector: the CT; counts the images made. camera: the network's.
    pivot: (3,) in the volume frame [mm], about which poses turn. scale_mm: how many millimetres count as a radian.
    maps: (C, nk, nj, ni) that the network's 3D part made of the CT, once for all poses; none without one.
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
        """What one unit of each of the six numbers stands for in which the network was taught (6,) [rad, mm]."""
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

        Raises ValueError where normal matrices are wanted of a network that is no sum of squares.
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
        """The same of a sum of squares, with its normal matrix."""
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
    """What the network's 3D part makes of a CT, (C, nk, nj, ni) on the CPU; None for a network without one."""
    return None if network.volume_network is None else network.refine_volume(volume_of(projector))


def require_telling(objective: LearnedObjective, pose: Tensor, name: str) -> None:
    """Raise InputError, naming the similarity, where it tells nothing of poses around one (4, 4).

    That is where it is no number, or the same at the pose and at twelve others 9 degrees or 0.15 of `scale_mm` off.
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
