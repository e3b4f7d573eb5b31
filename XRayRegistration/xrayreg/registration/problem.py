"""A registration as a function of the pose: scores, gradients and normal matrices for a batch of poses.

The pose of a problem is `camera_from_volume` of its first view; the other views follow rigidly. Poses are updated by
twists in that camera's axes about the pivot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..geometry import Camera, left_jacobian_inverse, pose_difference, twist_tangents
from ..render import Projector, render, render_with_jacobian
from ..scene import Radiograph
from ..similarity import Agreement, Similarity, Target, support_mask

# Pixels rendered and compared at a time: some 50 ms of work, with derivatives, on two cores.
_BATCH_PIXELS = 1 << 16


@dataclass(frozen=True, eq=False)
class ProblemView:
    """One view of a problem: its X-ray at this resolution, its camera, and the camera's pose.

    view_from_first: (4, 4) from the first view's camera frame to this view's.
    support: optional (B, H, W), the pixels near the rendered structure.
    """

    camera: Camera
    target: Target
    view_from_first: Tensor
    support: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prior:
    """The expected pose: a quadratic penalty that constrains what the images do not, such as depth.

    expected: (4, 4) pose; deviation: (6,) standard deviations of the twist from it [rad, mm].
    weight: cost of one standard deviation in one parameter, times two.
    """

    expected: Tensor
    deviation: Tensor
    weight: float

    def agreement(self, poses: Tensor, pivot: Tensor) -> Agreement:
        """Minus half the weighted squared deviation of poses (B, 4, 4), with its exact gradient."""
        twist = pose_difference(poses, self.expected, pivot)
        jacobian = torch.eye(6, dtype=poses.dtype, device=poses.device).repeat(poses.shape[0], 1, 1)
        jacobian[:, :3, :3] = left_jacobian_inverse(twist[:, :3])
        jacobian = jacobian / self.deviation[:, None]
        residual = twist / self.deviation
        return Agreement(
            score=-0.5 * self.weight * (residual**2).sum(-1),
            gradient=self.weight * (residual[:, None] @ jacobian)[:, 0],
            normal=self.weight * (jacobian.mT @ jacobian),
        )


@dataclass(frozen=True, eq=False)
class Problem:
    """Views, an attenuation map prepared for an engine, a similarity, and a prior of the pose.

    pivot: (3,) isocentre in the volume frame [mm].
    """

    projector: Projector
    views: tuple[ProblemView, ...]
    similarity: Similarity
    pivot: Tensor
    prior: Prior | None = None

    def images(self, poses: Tensor) -> list[Tensor]:
        """DRRs (B, H, W) of poses (B, 4, 4) for each view."""
        return [render(self.projector, view.camera, view.view_from_first @ poses) for view in self.views]

    def scores(self, poses: Tensor) -> Tensor:
        """Similarity (B,) of poses (B, 4, 4), the mean over the views less the prior's penalty."""
        parts, ready = [], {}
        # Without derivatives twice as many pixels take no longer.
        for some in self._batches(len(poses), 2 * _BATCH_PIXELS):
            by_view = []
            for number, view in enumerate(self.picked(some).views):
                image = render(self.projector, view.camera, view.view_from_first @ poses[some])
                # Without a support per pose the prepared X-ray can be reused.
                if number not in ready or view.support is not self.views[number].support:
                    ready[number] = self.similarity.against(view.target, image, view.support)
                by_view.append(ready[number].score(image))
            parts.append(torch.stack(by_view).mean(0).to(poses.device))
        score = torch.cat(parts)
        return score if self.prior is None else score + self.prior.agreement(poses, self.pivot).score

    def agreement(self, poses: Tensor, *, normals: bool = True) -> Agreement:
        """Score, gradient and normal matrix with respect to twists of poses (B, 4, 4), the mean over the views.

        normals: whether normal matrices are needed; see `Similarity.agreement`.
        """
        parts = []
        for some in self._batches(len(poses), _BATCH_PIXELS):
            parts.append(self.picked(some)._mean_agreement(poses[some], normals))
        # Images may be rendered on a GPU; the optimiser's small matrices stay on the poses' device.
        mean = Agreement.joined(parts).on(poses.device)
        return mean if self.prior is None else mean + self.prior.agreement(poses, self.pivot)

    def _mean_agreement(self, poses: Tensor, normals: bool) -> Agreement:
        """The mean over the views, without the prior."""
        tangents = twist_tangents(poses, self.pivot)
        total: Agreement | None = None
        for view in self.views:
            moved = view.view_from_first[None, None] @ tangents
            image, jacobian = render_with_jacobian(self.projector, view.camera, view.view_from_first @ poses, moved)
            part = self.similarity.agreement(view.target, image, jacobian, view.support, normals=normals)
            total = part if total is None else total + part
        assert total is not None
        return total.scaled(1 / len(self.views))

    def focused(self, poses: Tensor, margin_px: int) -> Problem:
        """The problem restricted to the rendered structure at poses (B, 4, 4) and `margin_px` pixels around it."""
        views = []
        for view in self.views:
            supports = []
            for some in self._batches(len(poses), 2 * _BATCH_PIXELS):
                image = render(self.projector, view.camera, view.view_from_first @ poses[some])
                supports.append(support_mask(image, margin_px))
            views.append(replace(view, support=torch.cat(supports)))
        return replace(self, views=tuple(views))

    def picked(self, which: Tensor) -> Problem:
        """The problem for the poses `which` (indices) of a batch: their supports, everything else unchanged."""
        views = tuple(
            view if view.support is None or view.support.shape[0] == 1 else replace(view, support=view.support[which])
            for view in self.views
        )
        return replace(self, views=views)

    def _batches(self, count: int, pixels: int) -> tuple[Tensor, ...]:
        """The indices of `count` poses in batches whose images have about `pixels` pixels in total in each view."""
        return torch.arange(count).split(max(1, pixels // self._pixels))

    @property
    def _pixels(self) -> int:
        """Number of pixels of the largest view."""
        return max(view.camera.width * view.camera.height for view in self.views)


def build_problem(
    projector: Projector, views: tuple[Radiograph, ...], similarity: Similarity, *, image_px: int, pivot: Tensor
) -> Problem:
    """The problem of a map prepared for an engine and of views averaged down to about `image_px` pixels."""
    reduced = []
    for view in views:
        reduced.append(view.reduced(reduction(view.camera, image_px)))
    place = projector.mu.device
    first_from_world = torch.as_tensor(views[0].camera.camera_from_world)
    problem_views = tuple(
        ProblemView(
            camera=view.camera,
            target=Target(
                torch.from_numpy(np.ascontiguousarray(view.attenuation)).to(place),
                torch.from_numpy(view.valid.astype(np.float32)).to(place),
            ),
            view_from_first=torch.as_tensor(view.camera.camera_from_world) @ torch.linalg.inv(first_from_world),
        )
        for view in reduced
    )
    return Problem(projector, problem_views, similarity, pivot)


def reduction(camera: Camera, image_px: int) -> int:
    """The integer factor that brings the longer image side nearest to `image_px` pixels."""
    return max(1, round(max(camera.width, camera.height) / image_px))
