"""The files of a result: all of them or none, and none left over from an earlier run (design.md 5)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..checks import InputError
from ..evaluation import pose_error
from ..io import prepare_output, write_image, write_json, write_pose
from ..overlay import Caption, overlay_view, prepare_anatomy, rendered, view_sheet
from ..pipeline import world_pose
from ..report import write_report
from ..results import Registration, Step
from ..scene import Scene
from ..settings import RegistrationSettings

RESULT = "result.json"
POSE = "pose.tfm"
REPORT = "report.html"


def require_output(out: Path) -> None:
    """Raise InputError when `out` cannot become a folder that takes files; nothing is created."""
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists() or folder.is_symlink())
    problem = "" if os.access(existing, os.W_OK | os.X_OK) else "no permission to write"
    problem = problem if existing.is_dir() else "a file, not a folder"
    if problem:
        raise InputError(
            "output folder",
            expected="a folder that can be written to",
            found=f"{existing} ({problem})",
            remedy="choose another with --out",
        )


def write_results(
    out: Path, scene: Scene, result: Registration, settings: RegistrationSettings, pictures: bool, title: str
) -> dict[str, Any]:
    """Write everything about a registration to the folder `out`; returns the content of result.json."""
    content = result.as_dict() | scored(scene, result.world_from_volume)
    with _delivered_together(out) as (folder, names):
        write_pose(folder / POSE, result.world_from_volume)
        names.append(POSE)
        if pictures:
            shown = _draw(folder, scene, result, settings, content)
            write_report(folder, title, content, shown)
            names += [REPORT, *(f"drr_{view.name}.tif" for view in scene.views), *(name for _, name in shown)]
        content["files"] = sorted([*names, RESULT])
        write_json(folder / RESULT, content)
        names.append(RESULT)
    return content


def write_interrupted(out: Path, scene: Scene, step: Step, engine: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Write the pose of an unfinished registration to `out`, flagged; returns the content of result.json."""
    assert step.camera_from_volume is not None
    pose = world_pose(scene, step.camera_from_volume)
    only = len(scene.views) == 1
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
        "interrupted": True,
        "quality": {"similarity": step.similarity},
        "uncertainty": {},
        **scored(scene, pose),
        "seconds": seconds,
        "renders": None,
        "engine": engine,
        "files": [POSE, RESULT],
        "version": __version__,
    }
    with _delivered_together(out) as (folder, names):
        write_pose(folder / POSE, pose)
        write_json(folder / RESULT, content)
        names += [POSE, RESULT]
    return content


def scored(scene: Scene, world_from_volume: np.ndarray) -> dict[str, Any]:
    """The entry "score" of a result, where the scene has a reference.

    Errors are those in the first view, projection distances the mean over all.
    """
    if scene.reference is None:
        return {}
    targets = scene.target_points()
    poses = [view.camera.camera_from_world for view in scene.views]
    errors = [
        pose_error(view.camera, pose @ world_from_volume, pose @ scene.reference, targets)
        for view, pose in zip(scene.views, poses, strict=True)
    ]
    means = {name: float(np.mean([getattr(error, name) for error in errors])) for name in ("mpd_px", "mpd_mm")}
    return {"score": errors[0].as_dict() | means}


def _draw(
    folder: Path, scene: Scene, result: Registration, settings: RegistrationSettings, content: dict[str, Any]
) -> list[tuple[str, str]]:
    """Draw each view's overlay, sheet and DRR; returns captions and file names of the pictures to show."""
    anatomy = prepare_anatomy(scene.volume, scene.structures, engine=settings.engine, device=settings.device)
    # What the case brings says more as a "before" than the best of a search.
    start = result.started_from if scene.initial is None else scene.initial
    shown = []
    for view in scene.views:
        pose, before = (view.camera.camera_from_world @ world for world in (result.world_from_volume, start))
        sheet = view_sheet(view, anatomy, pose, before, _caption(view.name, result, content))
        write_image(folder / f"sheet_{view.name}.png", sheet)
        write_image(folder / f"overlay_{view.name}.png", overlay_view(view, anatomy, pose))
        write_image(folder / f"drr_{view.name}.tif", rendered(anatomy.whole, view.camera, pose))
        shown.append((f"{view.name}: before, after and compared", f"sheet_{view.name}.png"))
        shown.append((f"{view.name}: the registered anatomy on the X-ray", f"overlay_{view.name}.png"))
    return shown


def _caption(view: str, result: Registration, content: dict[str, Any]) -> Caption:
    similarity = next(entry.similarity for entry in result.views if entry.name == view)
    figures = [
        ("Similarity", f"{similarity:.3f}"),
        ("Expected error", f"{result.evidence.expected_error_mm:.2f} mm"),
        ("Time", f"{result.seconds['total']:.1f} s"),
    ]
    if "score" in content:
        figures.insert(2, ("Error against the reference", f"{content['score']['mtre_mm']:.2f} mm mTRE"))
    return Caption(view, tuple(figures), result.verdict.accepted, result.verdict.reason)


@contextmanager
def _delivered_together(out: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder to write to and a list for the names written, which then move to `out` in that order.

    The files that an earlier result there lists as its own go away first, so that old and new never mix.
    """
    existed = out.exists()
    prepare_output(out)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".unfinished-") as scratch:
            names: list[str] = []
            yield Path(scratch), names
            for name in _files_of_earlier(out):
                (out / name).unlink(missing_ok=True)
            for name in names:
                os.replace(Path(scratch) / name, out / name)
    except BaseException:
        if not existed:
            out.rmdir()
        raise


def _files_of_earlier(out: Path) -> list[str]:
    """The files in `out` that its result.json says it came with, itself first."""
    try:
        listed = json.loads((out / RESULT).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    names = [name for name in listed if isinstance(name, str) and Path(name).name == name]
    return sorted((name for name in names if (out / name).is_file()), key=lambda name: name != RESULT)
