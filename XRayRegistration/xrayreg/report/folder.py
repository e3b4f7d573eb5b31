"""The files of a result, replaced atomically: all or none, without files of an earlier run (design.md 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io import safe_name, write_image, write_json, write_pose
from ..io.delivery import delivered
from ..metrics import pose_error
from ..overlay import Anatomy, Caption, overlay_view, prepare_anatomy, rendered, view_sheet
from ..registration.results import OnStep, Step, unheeded, withheld
from ..scene import Radiograph, Scene
from ..settings import DeviceName, EngineName
from .page import write_report

RESULT = "result.json"
CASE = "case.json"
POSE = "pose.tfm"
REPORT = "report.html"


@dataclass(frozen=True, eq=False)
class Screenshot:
    """A picture (uint8 RGB) of the result made by the caller, with its caption and the stem of its file."""

    caption: str
    stem: str
    picture: NDArray[np.uint8]


def write_results(
    out: Path,
    scene: Scene,
    content: Mapping[str, Any],
    title: str,
    *,
    before: ArrayLike | None = None,
    pictures: bool = True,
    screenshots: Sequence[Screenshot] = (),
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    case: str | None = None,
    on_step: OnStep = unheeded,
) -> dict[str, Any]:
    """Write everything about a registration to the folder `out`; returns the content of result.json.

    content: `Registration.as_dict`, or a part of it; "world_from_volume", "views" and "reason" are required, and
        "unjudged" is true for a pose without a verdict. A score is added where the scene has a reference, and the
        expected error of a pose that is not accepted is left out.
    before: world_from_volume (4, 4) [mm] for the picture of the start, instead of the one in `content`.
    pictures: whether pictures and the report are written. case: text of a case.json to write beside the result.
    on_step: called before each picture; an error that it raises leaves nothing written and reaches the caller.
    No files are left behind after cancellation or failure. Raises InputError for a folder that cannot be written to.
    """
    told = {**withheld(content), **scored(scene, np.asarray(content["world_from_volume"]))}
    with delivered_together(out) as (folder, names):
        write_pose(folder / POSE, told["world_from_volume"])
        names.append(POSE)
        if case is not None:
            (folder / CASE).write_text(case, encoding="utf-8")
            names.append(CASE)
        if pictures:
            begun = before if before is not None else told.get("started_from")
            on_step(Step("write", 0.0, "preparing the pictures"))
            anatomy = prepare_anatomy(scene.volume, scene.structures, engine=engine, device=device)
            stems = _stems([view.name for view in scene.views])
            shown = _drawn(folder, scene, stems, anatomy, told, begun, on_step)
            for shot, stem in zip(screenshots, _stems([shot.stem for shot in screenshots]), strict=True):
                write_image(folder / f"{stem}.png", shot.picture)
                shown.append((shot.caption, f"{stem}.png"))
            on_step(Step("write", 0.95, "writing the report"))
            write_report(folder, title, told, shown)
            names += [REPORT, *(f"drr_{stem}.tif" for stem in stems), *(name for _, name in shown)]
        told["files"] = sorted([*names, RESULT])
        write_json(folder / RESULT, told)
        names.append(RESULT)
    return told


def scored(scene: Scene, world_from_volume: NDArray[np.float64]) -> dict[str, Any]:
    """The entry "score" of a result, where the scene has a reference.

    Errors are those in the first view, projection distances are means over all views.
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


def delivered_together(out: Path) -> AbstractContextManager[tuple[Path, list[str]]]:
    """A temporary folder and a list for the names written, whose files are moved to `out` all at once (io.delivery).

    The files listed by an earlier result there are removed with it, so that old and new never mix. Raises InputError
    when `out` cannot be written to.
    """
    return delivered(out, files_of_earlier)


def _drawn(
    folder: Path,
    scene: Scene,
    stems: Sequence[str],
    anatomy: Anatomy,
    content: Mapping[str, Any],
    before: ArrayLike | None,
    on_step: OnStep,
) -> list[tuple[str, str]]:
    """Draw each view's sheet, overlay and DRR; returns captions and file names of the pictures to show."""
    shown = []
    for number, (view, stem) in enumerate(zip(scene.views, stems, strict=True)):
        pose = view.camera.camera_from_world @ np.asarray(content["world_from_volume"])
        begun = None if before is None else view.camera.camera_from_world @ np.asarray(before)
        share = 0.9 / len(scene.views)
        on_step(Step("write", share * number, f"{view.name}: comparing X-ray and DRR"))
        sheet = view_sheet(view, anatomy, pose, begun, _caption(view, content))
        write_image(folder / f"sheet_{stem}.png", sheet)
        on_step(Step("write", share * (number + 0.6), f"{view.name}: drawing the overlay"))
        overlay = overlay_view(view, anatomy, pose)
        write_image(folder / f"overlay_{stem}.png", overlay)
        on_step(Step("write", share * (number + 0.9), f"{view.name}: rendering the DRR"))
        write_image(folder / f"drr_{stem}.tif", rendered(anatomy.whole, view.camera, pose))
        compared = "compared" if begun is None else "before, after and compared"
        shown.append((f"{view.name}: {compared}", f"sheet_{stem}.png"))
        registered = "at this pose" if content.get("unjudged") else "as registered"
        shown.append((f"{view.name}: the anatomy on the X-ray, {registered}", f"overlay_{stem}.png"))
    return shown


def _caption(view: Radiograph, content: Mapping[str, Any]) -> Caption:
    quality = content.get("quality", {})
    expected = quality.get("expected_error_mm")
    # The similarity that was judged, and that of this view where there are several.
    of_views = [entry.get("similarity") for entry in content["views"] if entry.get("name") == view.name]
    of_view = of_views[0] if of_views and len(content["views"]) > 1 else None
    seconds = content.get("seconds", {}).get("total")
    error = content.get("score", {}).get("mtre_mm")
    figures = (
        ("Similarity", quality.get("similarity"), "{:.3f}"),
        ("Similarity in this view", of_view, "{:.3f}"),
        ("Expected error", expected, "{:.2f} mm"),
        ("Error against the reference", error, "{:.2f} mm mTRE"),
        ("Time", seconds, "{:.1f} s"),
    )
    told = tuple((name, pattern.format(value)) for name, value, pattern in figures if value is not None)
    accepted = None if content.get("unjudged") else content.get("accepted")
    return Caption(view.name, told, accepted, content["reason"])


def _stems(names: Sequence[str]) -> list[str]:
    """A unique file stem per name, with a number appended where an earlier one is equal."""
    stems: list[str] = []
    for name in names:
        stem = safe = safe_name(name)
        number = 2
        while stem.casefold() in [taken.casefold() for taken in stems]:
            stem, number = f"{safe}_{number}", number + 1
        stems.append(stem)
    return stems


def files_of_earlier(out: Path) -> list[str]:
    """The files in `out` that its result.json lists, itself first."""
    try:
        listed = json.loads((out / RESULT).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    names = [name for name in listed if isinstance(name, str) and Path(name).name == name]
    return [RESULT, *(name for name in names if name != RESULT and (out / name).is_file())]
