"""The problems of one registration: the map rendered, the part of the X-rays compared, and the resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.carm import nominal_sod_mm
from ..render import Projector, prepare
from ..scene import Attenuation, Radiograph, Scene, attenuation_of, coarsened
from ..settings import LevelSettings, RegistrationSettings
from ..similarity import Similarity
from .problem import Prior, Problem, build_problem, reduction

# Margin around a rendered structure within which the X-ray is compared [pixels]: its edges and the similarity windows
# that contain them.
SUPPORT_MARGIN_PX = 10
# Part of the X-ray compared around the anatomy while refining: how far a refinement may still move it [mm].
REFINE_MARGIN_MM = 20.0
# A crop that saves less than this share of the image is not worth it.
_WORTH_CROPPING = 0.4

# A map is never averaged down to fewer voxels than this along its longest side, however large its depth.
_LEAST_VOXELS = 8

# Reflection that exchanges left and right of a camera's image and frame.
REFLECTION = np.diag([-1.0, 1.0, 1.0, 1.0])

Frame = tuple[int, int, int, int]


@dataclass(eq=False)
class ProblemCache:
    """Builds registration problems per level and caches projectors and downsampled views.

    attenuation: the map rendered; pivot: (3,) its centre, the pivot of twists [volume frame, mm].
    partial: whether only a part of what the X-ray shows is rendered, so that only its surroundings can be compared.
    depths_mm: approximate distance of the anatomy from each view's source. They decide the resolution of a level's
    map, and belong to the scene and not to a pose, so that every pose is scored on the same map in any order.
    """

    scene: Scene
    settings: RegistrationSettings
    attenuation: Attenuation
    pivot: Tensor
    partial: bool
    depths_mm: tuple[float, ...]
    _projectors: dict[int, Projector] = field(default_factory=dict)
    _problems: dict[tuple[object, ...], Problem] = field(default_factory=dict)
    _whole_projectors: dict[int, Projector] = field(default_factory=dict)
    _whole: list[ProblemCache] = field(default_factory=list)

    def for_search(self) -> ProblemCache:
        """The cache for searching: the whole body, where there is one, is found more reliably than bones in it."""
        if not (self.scene.structures and self.scene.volume.is_hounsfield):
            return self
        if not self._whole:
            whole = attenuation_of(self.scene.volume)
            made = replace(self, attenuation=whole, partial=False, _problems={}, _whole=[])
            self._whole.append(replace(made, _projectors=self._whole_projectors, _whole_projectors={}))
        return self._whole[0]

    @property
    def renders(self) -> int:
        """How many images have been rendered so far."""
        return sum(made.renders for made in (*self._projectors.values(), *self._whole_projectors.values()))

    def mirrored(self) -> ProblemCache:
        """The cache for the X-rays with left and right exchanged, in a correspondingly reflected world."""
        views = []
        for view in self.scene.views:
            flipped = view.mirrored()
            pose = REFLECTION @ flipped.camera.camera_from_world @ REFLECTION
            views.append(replace(flipped, camera=replace(flipped.camera, camera_from_world=pose)))
        scene = replace(self.scene, views=tuple(views), initial=None, reference=None)
        # Maps are shared; problems, which hold the X-rays, are not.
        return replace(self, scene=scene, _problems={}, _whole=[])

    def is_small(self, pose: Tensor) -> bool:
        """Whether what is rendered fills only a small part of some X-ray at a pose (4, 4) of the first camera."""
        return any(self._frame(view, pose, 0.0) is not None for view in self.scene.views)

    def problem(self, level: LevelSettings, around: Tensor, margin_mm: float, prior: Prior | None = None) -> Problem:
        """The problem at a level, for use around the poses (B, 4, 4) in `around`.

        margin_mm: how far the structure may move within the image, at the structure's distance.
        """
        frames = tuple(self._frame(view, around[0], margin_mm) for view in self.scene.views)
        base = replace(self._base(level, frames), prior=prior)
        return base.focused(around, SUPPORT_MARGIN_PX) if self.partial else base

    def _base(self, level: LevelSettings, frames: tuple[Frame | None, ...]) -> Problem:
        """The problem without prior and supports, which is determined by its key: image size, terms and frames."""
        key = (level.image_px, level.terms, frames)
        if key not in self._problems:
            pairs = zip(self.scene.views, frames, strict=True)
            views = tuple(view if frame is None else view.cropped(*frame) for view, frame in pairs)
            projector = self._projector(self._footprint_mm(views, level))
            self._problems[key] = build_problem(
                projector, views, Similarity(level.terms), image_px=level.image_px, pivot=self.pivot
            )
        return self._problems[key]

    def _footprint_mm(self, views: tuple[Radiograph, ...], level: LevelSettings) -> float:
        """Size of the finest view's pixel at the anatomy [mm]."""
        return min(
            depth * reduction(view.camera, level.image_px) / view.camera.focal_px
            for view, depth in zip(views, self.depths_mm, strict=True)
        )

    def _projector(self, voxel_mm: float) -> Projector:
        """The map at the coarsest whole multiple of its voxels that does not exceed `voxel_mm`."""
        grid = self.attenuation.grid
        spacing_mm = float(grid.spacing_mm.min())
        voxel_mm = min(voxel_mm, float((np.asarray(grid.shape) * grid.spacing_mm).max()) / _LEAST_VOXELS)
        factor = max(1, int(voxel_mm / spacing_mm + 1e-6))
        if factor not in self._projectors:
            coarse = coarsened(self.attenuation, factor * spacing_mm)
            self._projectors[factor] = prepare(coarse, self.settings.engine, self.settings.device)
        return self._projectors[factor]

    def _frame(self, view: Radiograph, pose: Tensor, margin_mm: float) -> Frame | None:
        """The part of a view that shows the anatomy at a pose of the first camera, or None for all of it."""
        first_from_world = self.scene.views[0].camera.camera_from_world
        camera_from_volume = view.camera.camera_from_world @ np.linalg.inv(first_from_world) @ pose.numpy()
        corners = self.attenuation.grid.corners() @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]
        return _frame_around(view, corners, margin_mm)


def problem_cache_for(scene: Scene, settings: RegistrationSettings) -> ProblemCache:
    """The problem cache of a scene."""
    attenuation = attenuation_of(scene.volume, scene.structures)
    partial = bool(scene.structures) or not scene.volume.is_hounsfield
    pivot = torch.as_tensor(attenuation.grid.centre)
    return ProblemCache(scene, settings, attenuation, pivot, partial, _depths_mm(scene, attenuation.grid.centre))


def _depths_mm(scene: Scene, centre: NDArray[np.float64]) -> tuple[float, ...]:
    """Distance of the anatomy's `centre` (3,) [volume frame, mm] from each view's source, along its central ray [mm].

    From the scene's initial pose, else with the centre at a usual distance on the first view's central ray. A view
    that has it behind its source or its detector gets its own usual distance.
    """
    first = scene.views[0].camera
    if scene.initial is None:
        in_world = np.linalg.inv(first.camera_from_world) @ [0.0, 0.0, nominal_sod_mm(first), 1.0]
    else:
        in_world = scene.initial @ [*centre, 1.0]
    depths = [float((view.camera.camera_from_world @ in_world)[2]) for view in scene.views]
    return tuple(
        depth if 1.0 < depth < (camera.sid_mm or np.inf) else nominal_sod_mm(camera)
        for camera, depth in zip((view.camera for view in scene.views), depths, strict=True)
    )


def _frame_around(view: Radiograph, corners: NDArray[np.float64], margin_mm: float) -> Frame | None:
    """The part (left, top, width, height) of a view that shows `corners` (8, 3) [camera frame, mm], or None for all."""
    camera = view.camera
    if corners[:, 2].min() <= 1.0:
        return None
    margin_px = margin_mm * camera.focal_px / corners[:, 2].mean()
    # Multiples of a coarse block, so that nearly equal poses share one problem.
    block = max(16, 2 ** round(np.log2(max(camera.width, camera.height) / 16)))
    pixels = camera.project(corners)
    size = np.array([camera.width, camera.height])
    low = np.maximum(np.floor((pixels.min(axis=0) - margin_px) / block) * block, 0).astype(int)
    high = np.minimum(np.ceil((pixels.max(axis=0) + margin_px) / block) * block, size).astype(int)
    left_over = high - low
    if (left_over < block).any() or left_over.prod() > (1 - _WORTH_CROPPING) * size.prod():
        return None
    return int(low[0]), int(low[1]), int(left_over[0]), int(left_over[1])
