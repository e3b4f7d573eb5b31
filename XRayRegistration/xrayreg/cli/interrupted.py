"""The files of a registration that was interrupted (design.md 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import __version__
from ..io import write_json, write_pose
from ..reasons import ReasonCode
from ..registration.pipeline import world_pose
from ..registration.results import Step
from ..report import CASE, POSE, RESULT, delivered_together, scored
from ..scene import Scene


def write_interrupted(
    out: Path, scene: Scene, step: Step, engine: str, seconds: dict[str, float], case: str | None = None
) -> dict[str, Any]:
    """Write the pose of an unfinished registration to `out`, flagged; returns the content of result.json.

    case: as for `report.write_results`.
    """
    assert step.camera_from_volume is not None
    pose = world_pose(scene, step.camera_from_volume)
    only = len(scene.views) == 1
    cases = [] if case is None else [CASE]
    content = {
        "world_from_volume": pose.tolist(),
        "views": [
            {
                "name": view.name,
                "camera_from_volume": (view.camera.camera_from_world @ pose).tolist(),
                "similarity": step.similarity if only else None,
            }
            for view in scene.views
        ],
        "accepted": False,
        "reason": f"Interrupted: this is the best pose so far, {step.fraction:.0%} of the way ({step.message}).",
        "reason_code": ReasonCode.INTERRUPTED.value,
        "interrupted": True,
        "quality": {"similarity": step.similarity},
        "uncertainty": {},
        **scored(scene, pose),
        "seconds": seconds,
        "renders": None,
        "engine": engine,
        "files": sorted([*cases, POSE, RESULT]),
        "version": __version__,
    }
    with delivered_together(out) as (folder, names):
        write_pose(folder / POSE, pose)
        if case is not None:
            (folder / CASE).write_text(case, encoding="utf-8")
        write_json(folder / RESULT, content)
        names += [*cases, POSE, RESULT]
    return content
