"""Scoring of a method on a case: one row of a study, also if the method fails."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...geometry import Camera, nominal_pose, nominal_sod_mm
from ...io import parse_case, read_radiograph
from ...metrics import pose_error
from ...registration.results import OnStep, unheeded
from ...scene import Scene, Volume
from ...scene.attenuation import rendered_grid
from ..methods import Method, MethodContext, MethodOutcome, run_method
from ..statistics import StudyRow, diffpose_mtre, far_lever_mtre, xvr_mtre
from .case_making import CASE, KNOWN

Pose = NDArray[np.float64]

# Number of trace points kept of a run.
_TRACE = 40


def scene_of(folder: Path, volume: Volume) -> Scene:
    """The scene of a case in `folder`; its `volume`, with labels if the case has some, is read once for all cases."""
    case = parse_case(folder / CASE)
    views = []
    for view in case.views:
        views.append(read_radiograph(view.image, camera=view.camera, intensity=view.intensity))
    return Scene(volume, tuple(views), case.structures, case.initial, case.reference, case.targets)


def started(scene: Scene) -> Scene:
    """The scene with an initial pose; if it has none, the nominal frontal one, as for methods that need none."""
    if scene.initial is not None:
        return scene
    camera = scene.views[0].camera
    grid = rendered_grid(scene.volume, scene.structures)
    pose = nominal_pose("pa", grid.centre, nominal_sod_mm(camera))
    return replace(scene, initial=np.linalg.inv(camera.camera_from_world) @ pose)


def options_of(folder: Path, method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method on a case: those given, and the additional data of the case that the method needs."""
    file = folder / KNOWN
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    needed = {name: _nan_for_null(value) for name, value in known.items() if name in method.needs}
    return {**needed, **options}


def scored_run(
    method: Method,
    scene: Scene,
    context: MethodContext,
    blank: StudyRow,
    levers: Mapping[str, Any],
    on_step: OnStep = unheeded,
) -> StudyRow:
    """The row of `method` on `scene`; an exception is recorded as the row's error.

    blank: a row with only the names. levers: additional arguments of `scored`.
    on_step: called with the method's steps; KeyboardInterrupt from it ends the run and is passed on to the caller.
    """
    row, began = blank, perf_counter()
    if scene.reference is None:
        return replace(row, error="The case has no reference pose to be measured against.")
    try:
        targets = scene.target_points()
        if scene.initial is not None:
            row = replace(row, initial_mtre_mm=_error(scene, scene.initial, targets).mtre_mm)
        outcome = run_method(method, scene, context, on_step)
        return scored(row, scene, outcome, targets, **levers)
    except InputError as error:
        sentence = str(error)
    except Exception as error:
        # A method that fails on a case must not end the study; the row records the error.
        sentence = f"{type(error).__name__}: {error}"
    return replace(row, error=" ".join(sentence.split()), seconds=perf_counter() - began)


def scored(
    row: StudyRow,
    scene: Scene,
    outcome: MethodOutcome,
    targets: NDArray[np.float64],
    *,
    surface: NDArray[np.float64] | None,
    axis: NDArray[np.float64] | None,
    pivot: NDArray[np.float64],
    lever_mm: float,
) -> StudyRow:
    """The row with an outcome and all its errors, measured in the first view.

    targets (N, 3), surface (M, 3): points in the volume frame [mm]. axis: (3,) of the nominal view's central ray there,
    by default of the true one. pivot: (3,) isocentre. lever_mm: see `far_lever_mtre`.
    """
    assert scene.reference is not None
    camera = scene.views[0].camera
    pose, reference = outcome.camera_from_volume, camera.camera_from_world @ scene.reference
    row = replace(
        row,
        similarity=float(outcome.similarity),
        seconds=float(outcome.seconds),
        renders=int(outcome.renders),
        accepted=None if outcome.accepted is None else bool(outcome.accepted),
        reason=outcome.reason,
        reason_code=outcome.reason_code,
    )
    if not np.isfinite(pose).all():
        return replace(row, error="The pose it gave is not a number.")
    error = pose_error(camera, pose, reference, targets)
    axis = reference[2, :3] if axis is None else axis
    return replace(
        row,
        mtre_mm=error.mtre_mm,
        mtre_surface_mm=math.nan if surface is None else pose_error(camera, pose, reference, surface).mtre_mm,
        mtre_in_plane_mm=error.mtre_in_plane_mm,
        mtre_depth_mm=error.mtre_depth_mm,
        mpd_mm=error.mpd_mm,
        mrpd_mm=error.mrpd_mm,
        rotation_deg=error.rotation_deg,
        rotation_in_plane_deg=error.rotation_in_plane_deg,
        rotation_out_of_plane_deg=error.rotation_out_of_plane_deg,
        translation_mm=error.translation_mm,
        dgeo_mm=error.dgeo_mm,
        mtre_far_mm=far_lever_mtre(pose, reference, targets, axis, lever_mm),
        mtre_xvr_mm=xvr_mtre(pose, reference, targets, pivot),
        mtre_diffpose_mm=diffpose_mtre(error.mtre_mm),
        camera_from_volume=pose.tolist(),
        trace=_trace(outcome, camera, reference, targets),
    )


def _error(scene: Scene, world_from_volume: Pose, targets: NDArray[np.float64]) -> Any:
    camera = scene.views[0].camera
    assert scene.reference is not None
    found, true = (camera.camera_from_world @ pose for pose in (world_from_volume, scene.reference))
    return pose_error(camera, found, true, targets)


def _trace(
    outcome: MethodOutcome, camera: Camera, reference: Pose, targets: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """The trace of a method with its errors, thinned out."""
    points = outcome.trace
    if len(points) > _TRACE:
        points = tuple(points[n] for n in np.unique(np.linspace(0, len(points) - 1, _TRACE).astype(int)))
    return [
        {
            "seconds": round(point.seconds, 4),
            "renders": point.renders,
            "similarity": _finite(point.similarity),
            "level": getattr(point, "level", 0),
            "mtre_mm": round(pose_error(camera, point.camera_from_volume, reference, targets).mtre_mm, 4),
        }
        for point in points
        if np.isfinite(point.camera_from_volume).all()
    ]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _nan_for_null(value: Any) -> Any:
    """Lists with NaN in place of None, as JSON has no NaN."""
    if isinstance(value, list):
        return [_nan_for_null(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _nan_for_null(entry) for name, entry in value.items()}
    return math.nan if value is None else value
