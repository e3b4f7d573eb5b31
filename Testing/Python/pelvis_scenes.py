"""A generated pelvis under simulated X-ray: scenes whose true pose is known and whose images no engine has made."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from xrayreg.geometry import Camera, camera_from_carm, retract
from xrayreg.metrics import PoseError, pose_error
from xrayreg.registration.pipeline import register
from xrayreg.registration.results import Registration, Step
from xrayreg.scene import Radiograph, Scene, Volume, find_field, line_integrals
from xrayreg.settings import RegistrationSettings, registration_settings
from xrayreg.simulation import pelvis_phantom, simulate_xray

Pose = NDArray[np.float64]

SIZE_PX, SID_MM, SOD_MM = 192, 1020.0, 700.0


@functools.cache
def phantom(voxel_mm: float) -> Volume:
    """The generated pelvis, once for all tests that ask for these voxels: more than a second of work, and read only."""
    return pelvis_phantom(voxel_mm)


def pelvis() -> Volume:
    """About 100 x 70 x 100 voxels of 4 mm."""
    return phantom(4.0)


def moved(pose: Pose, rotation_deg: Iterable[float] = (0, 0, 0), shift_mm: Iterable[float] = (0, 0, 0)) -> Pose:
    """The pose turned about the pelvis' centre and shifted, in camera axes."""
    twist = torch.tensor([[*np.radians(list(rotation_deg)), *shift_mm]], dtype=torch.float64)
    return retract(torch.as_tensor(pose)[None], twist, torch.as_tensor(pelvis().grid.centre))[0].numpy()


@functools.lru_cache(maxsize=1)
def frontal() -> Pose:
    return camera_from_carm(0.0, 0.0, SOD_MM, pelvis().grid.centre)


@functools.lru_cache(maxsize=1)
def truth() -> Pose:
    """world_from_volume of every X-ray here; the world is the frontal camera's frame."""
    return moved(frontal(), (4, -6, 3), (10, -8, 15))


@functools.lru_cache(maxsize=1)
def nearby() -> Pose:
    """Nine degrees and 28 mm off the truth."""
    return moved(truth(), (5, 4, -6), (8, -10, 25))


def camera(view: str = "frontal") -> Camera:
    """A camera whose detector is 400 mm wide: frontal, or lateral, a quarter turn about the isocentre from it."""
    world = np.eye(4)
    if view == "lateral":
        world[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
        world[:3, 3] = [-SOD_MM, 0, SOD_MM]
    return Camera.from_sid(SID_MM, 400.0 / SIZE_PX, SIZE_PX, SIZE_PX, world)


@functools.lru_cache(maxsize=4)
def radiograph(view: str = "frontal") -> Radiograph:
    given = camera(view)
    image = simulate_xray(pelvis(), given, given.camera_from_world @ truth()).transmission
    return read(image, given, view)


def read(image: NDArray, given: Camera, name: str = "view") -> Radiograph:
    """The view of an image as recorded, bright where nothing attenuates."""
    recorded = np.ascontiguousarray(image, dtype=np.float32)
    valid, _ = find_field(recorded)
    attenuation, _ = line_integrals(recorded, valid, "transmission")
    return Radiograph(recorded, attenuation, valid, given, name)


def scene(views: tuple[str, ...] = ("frontal",), **changes: object) -> Scene:
    """The pelvis, its X-rays and its true pose; `changes` are further fields of the Scene."""
    fields = {"reference": truth(), **changes}
    return Scene(pelvis(), tuple(radiograph(view) for view in views), **fields)  # type: ignore[arg-type]


def followed(given: Scene, settings: RegistrationSettings) -> tuple[list[Step], Registration]:
    """All steps of a registration, and its result."""
    steps: list[Step] = []
    return steps, register(given, settings, steps.append)


def registered(given: Scene, **settings: object) -> Registration:
    return register(given, registration_settings(**settings))  # type: ignore[arg-type]


def error(given: Scene, result: Registration, view: int = 0) -> PoseError:
    """How far the result is from the scene's reference, in one view."""
    assert given.reference is not None
    seen_by = given.views[view].camera
    estimated, reference = (seen_by.camera_from_world @ pose for pose in (result.world_from_volume, given.reference))
    return pose_error(seen_by, estimated, reference, given.target_points())
