"""Initial poses as methods of their own: the error of a given pose without any refinement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError, require_array
from ...geometry import NOMINAL_SID_MM, NominalView, camera_from_carm, nominal_pose
from ...registration.initial import LandmarkPose, pose_from_landmarks
from ...registration.results import OnStep
from ...scene import Scene
from ...scene.attenuation import rendered_grid
from .method import ANGLES, LANDMARKS, Method, MethodContext, MethodOutcome, require_no_options, settings_with_options


@dataclass(frozen=True)
class FixedSettings:
    """A frontal pose. view: see `NOMINAL_VIEWS`. depth_share: depth of the centre / source-to-image distance."""

    view: NominalView = "pa"
    depth_share: float = 0.85


def _initial(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The case's own initial pose."""
    require_no_options(context)
    assert scene.initial is not None
    return _untouched(scene.views[0].camera.camera_from_world @ scene.initial, "The initial pose as it was given.")


def _fixed(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """One frontal pose at a nominal depth (Grupp's first method: 0.85 of the source-to-image distance)."""
    began = perf_counter()
    settings = settings_with_options(FixedSettings(), context)
    if not 0 < settings.depth_share < 1:
        raise InputError(
            "depth_share", expected="between 0 and 1", found=f"{settings.depth_share:g}", remedy="correct the option"
        )
    sid_mm = scene.views[0].camera.sid_mm or NOMINAL_SID_MM
    pose = nominal_pose(settings.view, _centre(scene), settings.depth_share * sid_mm)
    return _untouched(pose, f"A nominal {settings.view} view.", perf_counter() - began)


def _dicom(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The pose by the C-arm angles of the DICOM header, with the centre of the rendered anatomy as isocentre."""
    began = perf_counter()
    require_no_options(context)
    primary, secondary, sod_mm = require_array(context.options[ANGLES], ANGLES, (3,)).tolist()
    pose = camera_from_carm(primary, secondary, sod_mm, _centre(scene))
    return _untouched(pose, "The C-arm's angles and distance as its header tells them.", perf_counter() - began)


def _landmarks(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """The pose that minimises the reprojection error of the landmarks (PnP)."""
    began = perf_counter()
    require_no_options(context)
    found = landmark_pose(scene, context)
    pose = scene.views[0].camera.camera_from_world @ found.world_from_volume
    return _untouched(pose, found.reason, perf_counter() - began, found.trusted)


def landmark_pose(scene: Scene, context: MethodContext) -> LandmarkPose:
    """The pose from the context's landmarks; raises InputError if they do not determine it."""
    given = context.options[LANDMARKS]
    if not isinstance(given, Mapping) or "points" not in given or "pixels" not in given:
        raise InputError(
            LANDMARKS, expected='a table with "points" and "pixels"', found=_told(given), remedy="give both"
        )
    cameras = [view.camera for view in scene.views]
    centre = _centre(scene)
    return pose_from_landmarks(cameras, given["points"], given["pixels"], centre, given.get("names", ()))


def _centre(scene: Scene) -> NDArray[np.float64]:
    """The centre of the rendered anatomy, which is the pivot of every pose."""
    grid = rendered_grid(scene.volume, scene.structures)
    centre: NDArray[np.float64] = grid.centre
    return centre


def _untouched(
    pose: NDArray[np.float64], reason: str, seconds: float = 0.0, accepted: bool | None = None
) -> MethodOutcome:
    return MethodOutcome(np.asarray(pose), float("nan"), 0, seconds, reason, accepted)


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__


GIVEN = (
    Method("initial", "Initial pose", "The case's own initial pose.", ("initial",), _initial),
    Method("fixed", "Frontal pose", "Grupp et al., IJCARS 15, 2020: method 1's start.", (), _fixed),
    Method("dicom", "C-arm angles", "DICOM PS3.3 C.8.7.5; xvr's registrar of that name.", (ANGLES,), _dicom),
    Method("landmarks", "Landmarks (PnP)", "Least squares on the detector.", (LANDMARKS,), _landmarks),
)
