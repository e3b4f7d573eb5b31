"""Small scenes for methods, and budgets of a second or less."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pelvis_scenes import camera, nearby, pelvis, radiograph, truth

from xrayreg.benchmark.methods import METHODS, MethodContext, MethodOutcome, run_method
from xrayreg.metrics import pose_error
from xrayreg.scene import Scene

Pose = NDArray[np.float64]

TINY = {"population": 8, "generations": 6, "evaluations": 25}
# Of the pelvis [mm], and how far off [px] each was marked in the X-rays of 64 pixels.
POINTS = np.array([[88, 0, 0], [-88, 0, 0], [0, 45, -25], [0, -60, 90], [120, 30, 80], [-120, 30, 80.0]])
CLICKS_OFF = np.random.default_rng(0).normal(0, 0.8, (2, len(POINTS), 2))


def landmarks(*views: str) -> dict[str, Any]:
    """The option of methods that need landmarks, for a small scene of those views."""
    clicks = []
    for view, off in zip(views, CLICKS_OFF, strict=False):
        small = camera(view).resized(3)
        pose = small.camera_from_world @ truth()
        clicks.append(small.project(POINTS @ pose[:3, :3].T + pose[:3, 3]) + off)
    return {"points": POINTS, "pixels": clicks}


# Enough to come nearer, not to arrive.
BUDGETS: dict[str, dict[str, Any]] = {
    "xvr": {"scales": [24.0, 12.0], "steps": [20, 5]},
    "diffpose": {"image_px": 48, "steps": 10},
    "prost-gradient": {"image_px": 64},
    "lbfgs": {"scales": [24.0], "steps": 10},
    "lm-xvr": {"scales": [24.0], "steps": 25},
    "zncc": {"descent_px": 64, "steps": 60},
    "zncc+cmaes": {"descent_px": 64, "steps": 30, "image_px": 48, "population": 8, "generations": 8},
    "zncc+ours": {"descent_px": 64, "steps": 60},
    "gradncc": {"descent_px": 64, "steps": 60},
    "xreg": TINY,
    "xreg-landmarks": {**TINY, "landmarks": landmarks("frontal")},
    "cmaes-chen": {"image_px": 48, "population": 8, "generations": 8},
    "lra-cma": {"image_px": 48, "population": 8, "generations": 8},
    "grupp-global": {"population": 12, "generations": 4, "counts": [1, 1, 1, 3, 3, 1], "refined": TINY},
    "grid": {
        "counts": [1, 1, 3, 3, 3, 1],
        "rotation_deg": [1.0, 1.0, 8.0],
        "translation_mm": [12.0, 12.0, 1.0],
        "refined": TINY,
    },
    "ours-lm": {},
    "ours-lm-quick": {},
}


def small_scene(views: tuple[str, ...] = ("frontal",), **changes: object) -> Scene:
    """The pelvis under X-rays of 64 pixels."""
    fields = {"reference": truth(), "initial": nearby(), **changes}
    return Scene(pelvis(), tuple(_small(view) for view in views), **fields)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=2)
def _small(view: str):
    return radiograph(view).reduced(3)


def run(name: str, scene: Scene, seed: int = 0, **options: object) -> MethodOutcome:
    """A method on a scene, on a small budget."""
    return run_method(METHODS[name], scene, MethodContext(seed=seed, options={**BUDGETS.get(name, {}), **options}))


@functools.cache
def near(name: str) -> MethodOutcome:
    """What a method makes of the small scene from nearby."""
    return run(name, small_scene())


def error_mm(scene: Scene, pose: Pose) -> float:
    """mTRE of a pose of the first view's camera."""
    camera = scene.views[0].camera
    assert scene.reference is not None
    return pose_error(camera, pose, camera.camera_from_world @ scene.reference, scene.target_points()).mtre_mm
