"""Prediction of the images at other poses from one render, so that one render serves several steps.

Most of an image's change with the pose is that of the image of a plane through the pivot and parallel to the detector:
position, size, rotation, foreshortening. It is obtained by resampling the rendered image. The remainder of the exact
Jacobian J, parallax, is added linearly: with t the twist from the rendered pose to another,
    image(t) = (image + (J - J of the plane) t) resampled as the plane moves.
Image and Jacobian are exact at the rendered pose. Away from it a linear prediction, image + J t, fails once the image
moves by a pixel of what the similarity resolves; this one holds as long as parallax stays below that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from ..geometry import Camera, inverse, left_jacobian_inverse, pose_difference, transform_points, twist_tangents
from ..registration.problem import Problem, ProblemView, reduction
from ..render import render_with_jacobian
from ..settings import LevelSettings
from ..similarity import Agreement, Similarity, Target, support_mask

# Pixels are compared where at least this share of the predicted value comes from known pixels.
_KNOWN = 0.99


@dataclass(frozen=True, eq=False)
class Rendered:
    """The images of a problem at poses (B, 4, 4): for each view (B, 8, H, W).

    images: the DRR, its derivatives by the six twist parameters, and the weight of each pixel, zero to one.
    margin_px: margin around the structure within which images are compared [pixels of the level]; None for all of the
        image.
    """

    problem: Problem
    poses: Tensor
    images: tuple[Tensor, ...]
    margin_px: int | None

    def agreement(self) -> Agreement:
        """The agreement at the poses themselves, by the problem's similarity."""
        problem = self.problem
        total: Agreement | None = None
        for view, images in zip(problem.views, self.images, strict=True):
            part = problem.similarity.agreement(view.target, images[:, 0], images[:, 1:7], _known(images))
            total = part if total is None else total + part
        assert total is not None
        mean = total.scaled(1 / len(problem.views)).on(self.poses.device)
        return mean if problem.prior is None else mean + problem.prior.agreement(self.poses, problem.pivot)

    def on_level(self, level: LevelSettings) -> Rendered:
        """The same images for the comparison at a level, averaged down where its images are smaller."""
        views, images = [], []
        for view, full in zip(self.problem.views, self.images, strict=True):
            factor = reduction(view.camera, level.image_px)
            views.append(_averaged(view, factor))
            small = _means(full, factor)
            if self.margin_px is not None:
                small = torch.cat([small[:, :7], support_mask(small[:, 0], self.margin_px)[:, None]], dim=1)
            images.append(small)
        problem = replace(self.problem, views=tuple(views), similarity=Similarity(level.terms))
        return replace(self, problem=problem, images=tuple(images))

    def parallax(self) -> PlaneParallax:
        """The predictor of the images at other poses."""
        problem, layers = self.problem, []
        for view, images in zip(problem.views, self.images, strict=True):
            _, points = _plane(view, self.poses, self.poses, problem.pivot, images)
            plane = plane_jacobian(view, images[:, 0], points, self.poses, problem.pivot)
            layers.append(torch.cat([images[:, :1], images[:, 1:7] - plane, images[:, 7:]], dim=1))
        return PlaneParallax(**vars(problem), rendered=self.poses, layers=tuple(layers))


def rendered(problem: Problem, poses: Tensor, margin_px: int | None = None) -> Rendered:
    """One render of every view of a problem of the finest level at poses (B, 4, 4)."""
    tangents = twist_tangents(poses, problem.pivot)
    images = []
    for view in problem.views:
        moved = view.view_from_first[None, None] @ tangents
        image, jacobian = render_with_jacobian(problem.projector, view.camera, view.view_from_first @ poses, moved)
        images.append(torch.cat([image[:, None], jacobian, torch.ones_like(image)[:, None]], dim=1))
    return Rendered(problem, poses, tuple(images), margin_px)


@dataclass(frozen=True, eq=False)
class PlaneParallax(Problem):
    """A problem that predicts the `agreement` of poses near those it was rendered at, without rendering.

    rendered: (B, 4, 4) those poses; poses passed to the methods correspond to them in order.
    layers: for each view (B, 8, H, W): the rendered image, its six derivatives less those of the plane, and the weight
        of each pixel, zero to one.
    """

    rendered: Tensor = field(kw_only=True)
    layers: tuple[Tensor, ...] = field(kw_only=True)

    def picked(self, which: Tensor) -> PlaneParallax:
        """The prediction for the poses `which` (indices) of a batch."""
        return replace(self, rendered=self.rendered[which], layers=tuple(layer[which] for layer in self.layers))

    def _mean_agreement(self, poses: Tensor, normals: bool) -> Agreement:
        total: Agreement | None = None
        for view, layers in zip(self.views, self.layers, strict=True):
            image, jacobian, seen = self.predicted(view, layers, poses)
            part = self.similarity.agreement(view.target, image, jacobian, seen, normals=normals)
            total = part if total is None else total + part
        assert total is not None
        return total.scaled(1 / len(self.views))

    def predicted(self, view: ProblemView, layers: Tensor, poses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A view's images (B, H, W) at poses (B, 4, 4), their Jacobians (B, 6, H, W), and where they are known."""
        twist = pose_difference(poses, self.rendered, self.pivot)
        parallax = layers[:, 1:7]
        image = layers[:, :1] + (twist.to(layers)[:, :, None, None] * parallax).sum(1, keepdim=True)
        # Converts derivatives by rotations of the rendered pose to derivatives by rotations of the other one.
        turn = left_jacobian_inverse(twist[:, :3]).to(layers)
        turned = torch.einsum("bkhw,bkl->blhw", parallax[:, :3], turn)
        pixels, points = _plane(view, self.rendered, poses, self.pivot, layers)
        size = pixels.new_tensor([view.camera.width, view.camera.height])
        grid = ((2 * pixels + 1) / size - 1).reshape(len(poses), *layers.shape[2:], 2)
        moved = grid_sample(torch.cat([image, turned, layers[:, 4:]], dim=1), grid, align_corners=False)
        jacobian = moved[:, 1:7] + plane_jacobian(view, moved[:, 0], points, poses, self.pivot)
        return moved[:, 0], jacobian, _known(moved)


def _known(images: Tensor) -> Tensor:
    return (images[:, 7] > _KNOWN).to(images)


def _plane(view: ProblemView, rendered: Tensor, poses: Tensor, pivot: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (B, H W, 2) of the plane's points in a view at `rendered` (B, 4, 4), and those (B, H W, 3) at `poses`.

    In the order of the pixels that show these points at `poses` (B, 4, 4): (column, row), and mm in the view's camera
    frame; tensors with the type and device of `like`.
    """
    then = view.view_from_first @ rendered
    moved = view.view_from_first @ poses @ inverse(then)
    depth = transform_points(then, pivot[None])[:, 0, 2]
    inverse_depth = torch.zeros(len(poses), 1, 3, dtype=depth.dtype)
    inverse_depth[:, 0, 2] = 1 / depth
    # Maps viewing directions of the plane's points at the rendered pose to those at the other pose.
    homography = moved[:, :3, :3] + moved[:, :3, 3:] @ inverse_depth
    before = _directions(view.camera).to(like) @ torch.linalg.inv(homography).mT.to(like)
    before = before / before[..., 2:]
    points = transform_points(moved.to(like), before * depth.to(like)[:, None, None])
    return before @ torch.as_tensor(view.camera.matrix[:2].T).to(like), points


def plane_jacobian(view: ProblemView, image: Tensor, points: Tensor, poses: Tensor, pivot: Tensor) -> Tensor:
    """Derivatives (B, 6, H, W) of images (B, H, W) by twists of poses (B, 4, 4), if the scene were a plane.

    points: (B, H W, 3) of the plane at each pixel [view's camera frame, mm].
    """
    rows, columns = torch.gradient(image, dim=(-2, -1))
    slope = torch.stack([columns, rows], dim=-1).flatten(1, 2) @ torch.as_tensor(view.camera.matrix[:2, :2]).to(image)
    # A point keeps its brightness as it moves, so a pixel's value changes by minus the slope times the motion.
    across = -slope / points[..., 2:]
    along = -(across * points[..., :2]).sum(-1, keepdim=True) / points[..., 2:]
    shift = torch.cat([across, along], dim=-1)
    centre = transform_points(view.view_from_first @ poses, pivot[None]).to(image)
    turn = torch.linalg.cross(points - centre, shift)
    first_camera = view.view_from_first[:3, :3].to(image)
    both = torch.cat([turn @ first_camera, shift @ first_camera], dim=-1)
    return both.mT.reshape(len(image), 6, *image.shape[1:])


def _directions(camera: Camera) -> Tensor:
    """Ray directions (H W, 3) of the pixels, row by row: camera frame, scaled to depth one."""
    rows, columns = torch.meshgrid(
        torch.arange(camera.height, dtype=torch.float64), torch.arange(camera.width, dtype=torch.float64), indexing="ij"
    )
    pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).reshape(-1, 3)
    return pixels @ torch.linalg.inv(torch.as_tensor(camera.matrix)).mT


def _averaged(view: ProblemView, factor: int) -> ProblemView:
    """A view averaged over blocks of pixels as in `Radiograph.reduced`, without unusable ones."""
    usable = view.target.mask
    share = _means(usable, factor)
    image = _means(torch.where(usable > 0, view.target.image, 0), factor) / share.clamp(min=1 / factor**2)
    target = Target(image, (share >= 0.5).to(usable))
    return replace(view, camera=view.camera.resized(factor), target=target, support=None)


def _means(images: Tensor, factor: int) -> Tensor:
    """Images (..., H, W) averaged over blocks of `factor` x `factor` pixels; a remainder is cut off."""
    small = avg_pool2d(images.reshape(1, -1, *images.shape[-2:]), factor)
    return small.reshape(*images.shape[:-2], *small.shape[-2:])
