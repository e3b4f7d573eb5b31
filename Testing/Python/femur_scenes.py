"""A pelvis whose femurs have turned in their joints since the CT, under X-rays that no engine has made."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from pelvis_scenes import camera, pelvis, truth

from xrayreg.benchmark.methods.joints import joint_centre
from xrayreg.geometry import Camera, retract
from xrayreg.scene import Radiograph, Scene
from xrayreg.simulation.projector import line_integrals, pixel_rays

Pose = NDArray[np.float64]

MUSCLE = np.float32(0.0203)
PELVIS, FEMUR_LEFT, FEMUR_RIGHT = (1, 2, 3), (4,), (5,)
# In camera axes [deg]: flexed, rolled and spread, each femur in its own way.
TURNS = {FEMUR_LEFT: (9.0, -6.0, 5.0), FEMUR_RIGHT: (-7.0, 8.0, -6.0)}


@functools.lru_cache(maxsize=2)
def head(labels: tuple[int, ...]) -> NDArray[np.float64]:
    """The centre of a femoral head."""
    return joint_centre(pelvis(), labels, PELVIS)


def turned(pose: Pose, labels: tuple[int, ...]) -> Pose:
    """A pose of the pelvis' frame for a femur that has turned in its joint."""
    twist = torch.tensor([[*np.radians(TURNS[labels]), 0.0, 0.0, 0.0]])
    return retract(torch.as_tensor(pose)[None], twist, torch.as_tensor(head(labels)))[0].numpy()


def true_poses() -> dict[tuple[int, ...], Pose]:
    """world_from_volume of each femur."""
    return {labels: turned(truth(), labels) for labels in (FEMUR_LEFT, FEMUR_RIGHT)}


@functools.lru_cache(maxsize=2)
def turned_radiograph(view: str = "frontal") -> Radiograph:
    """The sum of the projections of both femurs and of everything else, each where it is.

    Muscle fills the place that a femur leaves, and gives way where it goes.
    """
    given = camera(view)
    small = given
    values, labels = pelvis().values, pelvis().labels
    assert labels is not None
    mu = np.maximum(values.astype(np.float32) + 1000, 0) * (0.0193 / 1000)
    directions = next(pixel_rays(small, 1))
    total = _projected(np.where(np.isin(labels, (4, 5)), MUSCLE, mu), small, truth(), directions)
    for femur, pose in true_poses().items():
        total = total + _projected(np.where(np.isin(labels, femur), mu - MUSCLE, 0), small, pose, directions)
    image = total.reshape(small.height, small.width).astype(np.float32)
    return Radiograph(np.exp(-image), image, np.ones(image.shape, bool), small, view)


def _projected(mu: NDArray, small: Camera, world_from_volume: Pose, directions: NDArray) -> NDArray[np.float64]:
    pose = small.camera_from_world @ world_from_volume
    return line_integrals(mu, pelvis().grid, pose, directions, 1.0)[0]


def turned_scene(views: tuple[str, ...] = ("frontal",), **changes: object) -> Scene:
    fields = {"reference": truth(), **changes}
    return Scene(pelvis(), tuple(turned_radiograph(view) for view in views), **fields)  # type: ignore[arg-type]
