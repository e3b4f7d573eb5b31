"""Requests for poses: by registration, by a network, and from landmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry import Projection
from ..metrics import pose_error
from ..reasons import NoteCode, noted
from ..registration.initial import pose_from_landmarks
from ..registration.pipeline import estimate as estimated
from ..registration.pipeline import register as registered
from ..registration.results import Step, with_notes
from ..scene import Scene
from ..settings import registration_settings
from .inputs import scene_of
from .service import Content, OnNews, Room


def register(room: Room, content: Content, on_news: OnNews) -> Content:
    """Register a scene.

    content: scene (inputs.scene_of); effort, init and similarity (settings.registration_settings); load_seconds, spent
    on loading before; notes, sentences on the segments. News are the steps: stage, fraction, message, similarity and
    pose, camera_from_volume (4, 4) [mm] of the first view or None.
    Answer: result (Registration.as_dict); similarity; error_mm, the mTRE against the reference or None.
    """
    scene = scene_of(room, content["scene"])
    settings = registration_settings(content["effort"], init=content["init"], similarity=content["similarity"])

    def on_step(step: Step) -> None:
        if step.stage != "done":
            on_news(_news(step))

    found = registered(scene, settings, on_step, content["load_seconds"])
    return {
        "result": with_notes(found.as_dict(), noted(NoteCode.SEGMENTATION, content["notes"])),
        "similarity": found.evidence.similarity,
        "error_mm": _error_mm(scene, found.world_from_volume),
    }


def estimate(room: Room, content: Content, on_news: OnNews) -> Content:
    """The pose that a network predicts.

    content: scene; init, the network's file. Answer: world_from_volume (4, 4) [mm]; notes, sentences.
    """
    scene = scene_of(room, content["scene"])
    found = estimated(scene, registration_settings(init=content["init"]))
    return {"world_from_volume": found.world_from_volume.tolist(), "notes": list(found.notes)}


def landmarks(room: Room, content: Content, on_news: OnNews) -> Content:
    """The pose from landmarks.

    content: projections of the V views (Projection.as_dict); points (N, 3) in the volume frame [mm]; pixels (V, N, 2)
    as (column, row) of the upright image, NaN where one is not marked; isocentre (3,) in the volume frame [mm]; names.
    Answer: world_from_volume (4, 4) [mm]; residuals_px and residuals_mm (V, N), NaN where one is not marked; reason, a
    sentence. Raises InputError as `pose_from_landmarks` does.
    """
    cameras = [Projection.from_dict(each).camera() for each in content["projections"]]
    points = np.array(content["points"], float).reshape(-1, 3)
    found = pose_from_landmarks(
        cameras,
        points,
        list(np.array(content["pixels"], float).reshape(len(cameras), len(points), 2)),
        content["isocentre"],
        content["names"],
    )
    poses = {name: getattr(found, name).tolist() for name in ("world_from_volume", "residuals_px", "residuals_mm")}
    return {**poses, "reason": found.reason}


def _news(step: Step) -> dict[str, Any]:
    pose = step.camera_from_volume
    return {
        "stage": step.stage,
        "fraction": step.fraction,
        "message": step.message,
        "similarity": step.similarity,
        "pose": None if pose is None else np.asarray(pose).tolist(),
    }


def _error_mm(scene: Scene, world_from_volume: np.ndarray) -> float | None:
    """mTRE [mm] of a pose against the scene's reference, in the first view; None without a reference."""
    if scene.reference is None:
        return None
    camera = scene.views[0].camera
    found, true = (camera.camera_from_world @ np.asarray(pose) for pose in (world_from_volume, scene.reference))
    return float(pose_error(camera, found, true, scene.target_points()).mtre_mm)
