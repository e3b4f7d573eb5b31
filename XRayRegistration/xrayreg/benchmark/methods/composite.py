"""Several rigid objects in one X-ray: their DRRs, each at its own pose, are summed, and so are the derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...geometry import twist_tangents
from ...registration.problem import ProblemView
from ...render import Projector, render, render_with_jacobian
from ...similarity import Agreement, Similarity, support_mask

# Pixels rendered and compared at a time; see `problem`.
_BATCH_PIXELS = 1 << 16


@dataclass(frozen=True, eq=False)
class CompositeProblem:
    """A `Problem` of K objects, whose poses (B, K, 4, 4) are camera_from_volume of the first view for each of them.

    projectors: one per object. pivots: (K, 3) centres of rotation in the volume frame [mm].
    Gradients (B, 6 K) and normal matrices (B, 6 K, 6 K) refer to the objects' concatenated twists.
    """

    projectors: tuple[Projector, ...]
    views: tuple[ProblemView, ...]
    similarity: Similarity
    pivots: Tensor

    @property
    def renders(self) -> int:
        """Number of images rendered so far, one per object and view."""
        return sum(projector.renders for projector in self.projectors)

    def scores(self, poses: Tensor) -> Tensor:
        """Similarity (B,), the mean over the views; an object that does not move within the batch is rendered once."""
        parts = []
        for some in poses.split(self._batch):
            by_view = []
            for view in self.views:
                image = self._image(view, some)
                by_view.append(self.similarity.score(view.target, image, view.support))
            parts.append(torch.stack(by_view).mean(0).to(poses.device))
        return torch.cat(parts)

    def agreement(self, poses: Tensor, *, normals: bool = True) -> Agreement:
        """Score, gradient and normal matrix, the mean over the views; see `Problem.agreement`."""
        parts = []
        for some in poses.split(self._batch):
            total: Agreement | None = None
            for view in self.views:
                image, jacobian = self._with_jacobian(view, some)
                part = self.similarity.agreement(view.target, image, jacobian, view.support, normals=normals)
                total = part if total is None else total + part
            assert total is not None
            parts.append(total.scaled(1 / len(self.views)))
        return Agreement.joined(parts).on(poses.device)

    def images(self, poses: Tensor) -> list[Tensor]:
        """Composite DRRs (B, H, W) of poses (B, K, 4, 4) for each view."""
        return [self._image(view, poses) for view in self.views]

    def focused(self, poses: Tensor, margin_px: int, shown: Sequence[int]) -> CompositeProblem:
        """The problem restricted to some objects, by number, at poses (K, 4, 4) and `margin_px` pixels around them."""
        views = []
        for view in self.views:
            supports = [
                support_mask(
                    render(self.projectors[n], view.camera, view.view_from_first @ poses[n : n + 1]), margin_px
                )
                for n in shown
            ]
            views.append(replace(view, support=torch.stack(supports).amax(0)))
        return replace(self, views=tuple(views))

    def _image(self, view: ProblemView, poses: Tensor) -> Tensor:
        total: Tensor | None = None
        for number, projector in enumerate(self.projectors):
            own = poses[:, number]
            still = len(own) > 1 and not poses.requires_grad and bool((own == own[:1]).all())
            image = render(projector, view.camera, view.view_from_first @ (own[:1] if still else own))
            total = image if total is None else total + image
        assert total is not None
        return total.expand(len(poses), -1, -1)

    def _with_jacobian(self, view: ProblemView, poses: Tensor) -> tuple[Tensor, Tensor]:
        images, jacobians = [], []
        for number, (projector, pivot) in enumerate(zip(self.projectors, self.pivots, strict=True)):
            own = poses[:, number]
            moved = view.view_from_first[None, None] @ twist_tangents(own, pivot)
            image, jacobian = render_with_jacobian(projector, view.camera, view.view_from_first @ own, moved)
            images.append(image)
            jacobians.append(jacobian)
        return torch.stack(images).sum(0), torch.cat(jacobians, dim=1)

    @property
    def _batch(self) -> int:
        pixels = max(view.camera.width * view.camera.height for view in self.views)
        return max(1, _BATCH_PIXELS // pixels)
