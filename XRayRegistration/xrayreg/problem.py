"""A registration as a function of the pose: scores, gradients and normal matrices for a batch of poses.

The pose of a problem is `camera_from_volume` of its first view; the other views follow rigidly. Poses are updated by
twists in that camera's axes about the pivot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .geometry import Camera, twist_tangents
from .render import Projector, prepare, render, render_with_jacobian
from .scene import Attenuation, Radiograph, coarsened
from .settings import DeviceName, EngineName
from .similarity import Agreement, Similarity, Target, support_mask


@dataclass(frozen=True, eq=False)
class View:
    """One view of a problem: its X-ray at this resolution, its camera, and where that stands.

    view_from_first: (4, 4) from the first view's camera frame to this view's.
    support: optional (B, H, W), the pixels near the rendered structure.
    """

    camera: Camera
    target: Target
    view_from_first: Tensor
    support: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """Views, an attenuation map made ready for an engine, and a similarity.

    pivot: (3,) isocentre in the volume frame [mm].
    """

    projector: Projector
    views: tuple[View, ...]
    similarity: Similarity
    pivot: Tensor

    def images(self, poses: Tensor) -> list[Tensor]:
        """DRRs (B, H, W) of poses (B, 4, 4) for each view."""
        return [render(self.projector, view.camera, view.view_from_first @ poses) for view in self.views]

    def scores(self, poses: Tensor) -> Tensor:
        """Similarity (B,) of poses (B, 4, 4), the mean over the views; differentiable."""
        parts = [
            self.similarity.score(view.target, image, view.support)
            for view, image in zip(self.views, self.images(poses), strict=True)
        ]
        return torch.stack(parts).mean(0)

    def agreement(self, poses: Tensor) -> Agreement:
        """Score, gradient and normal matrix with respect to twists of poses (B, 4, 4), the mean over the views."""
        tangents = twist_tangents(poses, self.pivot)
        total: Agreement | None = None
        for view in self.views:
            moved = view.view_from_first[None, None] @ tangents
            image, jacobian = render_with_jacobian(
                self.projector, view.camera, view.view_from_first @ poses, moved
            )
            part = self.similarity.agreement(view.target, image, jacobian, view.support)
            total = part if total is None else total + part
        assert total is not None
        return total.scaled(1 / len(self.views))

    def focused(self, poses: Tensor, margin_mm: float) -> Problem:
        """The problem restricted to the surroundings of the rendered structure at poses (B, 4, 4).

        margin_mm: how far around the structure to look, measured at the isocentre.
        """
        views = []
        for view, image in zip(self.views, self.images(poses), strict=True):
            depth = float((view.view_from_first @ poses)[:, 2, :3].matmul(self.pivot).mean())
            depth += float((view.view_from_first @ poses)[:, 2, 3].mean())
            margin_px = max(1, round(margin_mm * view.camera.focal_px / max(depth, 1.0)))
            views.append(replace(view, support=support_mask(image, margin_px)))
        return replace(self, views=tuple(views))

    def picked(self, which: Tensor) -> Problem:
        """The problem for the poses `which` (indices) of a batch: their supports, everything else unchanged."""
        views = tuple(
            view if view.support is None or view.support.shape[0] == 1 else replace(view, support=view.support[which])
            for view in self.views
        )
        return replace(self, views=views)


def build_problem(
    attenuation: Attenuation,
    views: tuple[Radiograph, ...],
    similarity: Similarity,
    *,
    image_px: int,
    depth_mm: float,
    pivot: np.ndarray,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
) -> Problem:
    """The problem at one resolution: images averaged down to about `image_px`, the map to a matching voxel size.

    depth_mm: distance from the source to the anatomy, which fixes how large a pixel is there.
    """
    reduced = [view.reduced(reduction(view.camera, image_px)) for view in views]
    footprint_mm = min(depth_mm / view.camera.focal_px for view in reduced)
    projector = prepare(coarsened(attenuation, footprint_mm), engine, device)
    place = projector.mu.device
    first_from_world = torch.as_tensor(views[0].camera.camera_from_world)
    problem_views = tuple(
        View(
            camera=view.camera,
            target=Target(
                torch.from_numpy(np.ascontiguousarray(view.attenuation)).to(place),
                torch.from_numpy(view.valid.astype(np.float32)).to(place),
            ),
            view_from_first=torch.as_tensor(view.camera.camera_from_world) @ torch.linalg.inv(first_from_world),
        )
        for view in reduced
    )
    return Problem(projector, problem_views, similarity, torch.as_tensor(pivot))


def reduction(camera: Camera, image_px: int) -> int:
    """The whole factor that brings the longer image side nearest to `image_px` pixels."""
    return max(1, round(max(camera.width, camera.height) / image_px))
