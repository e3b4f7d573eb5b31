"""The problems of one registration: what is rendered, which part of the X-rays is compared, at which resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .problem import Prior, Problem, build_problem
from .scene import Attenuation, Radiograph, Scene, attenuation_of
from .settings import LevelSettings, RegistrationSettings, Term
from .similarity import Similarity

# How far around a rendered structure the X-ray is compared [pixels]: its edges and the windows that hold them.
SUPPORT_MARGIN_PX = 10
# A crop that saves less than this share of the image is not worth it.
_WORTH_CROPPING = 0.4


@dataclass(eq=False)
class Workshop:
    """Makes problems for poses of the first camera and keeps what is dear to make.

    attenuation: what is rendered; pivot: (3,) its centre, about which poses turn [volume frame, mm].
    partial: whether only a part of what the X-ray shows is rendered, so that only its surroundings can be compared.
    """

    scene: Scene
    settings: RegistrationSettings
    attenuation: Attenuation
    pivot: Tensor
    partial: bool
    _made: dict[tuple[object, ...], Problem] = field(default_factory=dict)

    @classmethod
    def for_scene(cls, scene: Scene, settings: RegistrationSettings) -> Workshop:
        """The workshop of a scene."""
        attenuation = attenuation_of(scene.volume, scene.structures)
        partial = bool(scene.structures) or not scene.volume.is_hounsfield
        return cls(scene, settings, attenuation, torch.as_tensor(attenuation.grid.centre), partial)

    @property
    def renders(self) -> int:
        """How many images have been rendered so far."""
        return sum({id(made.projector): made.projector.renders for made in self._made.values()}.values())

    def problem(
        self, level: LevelSettings, around: Tensor, margin_mm: float, prior: Prior | None = None
    ) -> Problem:
        """The problem at a level for poses (B, 4, 4) `around` which it is used.

        margin_mm: how far the structure may move within the image, at the structure's distance.
        """
        base = self._base(level, self._frames(around[0], margin_mm), self._depth_mm(around[0]))
        base = replace(base, prior=prior)
        return base.focused(around, SUPPORT_MARGIN_PX) if self.partial else base

    def _base(self, level: LevelSettings, frames: tuple[_Frame | None, ...], depth_mm: float) -> Problem:
        key = (level.image_px, level.terms, frames)
        if key not in self._made:
            pairs = zip(self.scene.views, frames, strict=True)
            views = tuple(view if frame is None else view.cropped(*frame) for view, frame in pairs)
            self._made[key] = build_problem(
                self.attenuation,
                views,
                Similarity(level.terms),
                image_px=level.image_px,
                depth_mm=depth_mm,
                pivot=self.pivot.numpy(),
                engine=self.settings.engine,
                device=self.settings.device,
            )
        return self._made[key]

    def _depth_mm(self, pose: Tensor) -> float:
        return max(1.0, float(pose[2, :3] @ self.pivot + pose[2, 3]))

    def _frames(self, pose: Tensor, margin_mm: float) -> tuple[_Frame | None, ...]:
        first_from_world = self.scene.views[0].camera.camera_from_world
        volume_corners = self.attenuation.grid.corners()
        frames = []
        for view in self.scene.views:
            camera_from_volume = view.camera.camera_from_world @ np.linalg.inv(first_from_world) @ pose.numpy()
            corners = volume_corners @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]
            frames.append(_frame_around(view, corners, margin_mm))
        return tuple(frames)


_Frame = tuple[int, int, int, int]


def _frame_around(view: Radiograph, corners: NDArray[np.float64], margin_mm: float) -> _Frame | None:
    """The part (left, top, width, height) of a view that shows `corners` (8, 3) [camera frame, mm], or None for all."""
    camera = view.camera
    depth = corners[:, 2].mean()
    if corners[:, 2].min() <= 1.0:
        return None
    margin_px = margin_mm * camera.focal_px / depth
    # Whole multiples of a coarse block, so that nearly equal poses share one problem.
    block = max(16, 2 ** round(np.log2(max(camera.width, camera.height) / 16)))
    pixels = camera.project(corners)
    low = np.maximum(np.floor((pixels.min(axis=0) - margin_px) / block) * block, 0).astype(int)
    high = np.minimum(np.ceil((pixels.max(axis=0) + margin_px) / block) * block, [camera.width, camera.height]).astype(int)
    size = high - low
    if (size < block).any() or size.prod() > (1 - _WORTH_CROPPING) * camera.width * camera.height:
        return None
    return int(low[0]), int(low[1]), int(size[0]), int(size[1])


def judging_level(terms: tuple[Term, ...]) -> LevelSettings:
    """The level at which poses are judged: fine enough to tell bones apart, coarse enough to be deaf to noise."""
    return LevelSettings(128, 0, terms)
