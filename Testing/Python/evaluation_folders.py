"""Folders as an evaluation leaves them, made up: rows, and cases with images of a generated pelvis."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pelvis_scenes
from numpy.typing import NDArray

from xrayreg.benchmark.statistics import StudyRow, far_lever_mtre, xvr_mtre
from xrayreg.geometry import Camera
from xrayreg.io import write_image, write_nifti
from xrayreg.io.case_file import CaseFile, CaseView, write_case
from xrayreg.metrics import pose_error
from xrayreg.overlay import rendered
from xrayreg.render import Projector, prepare
from xrayreg.scene import attenuation_of

# Methods as (title, share of gross failures, median error [mm], seconds, renders, whether it judges itself).
METHODS: dict[str, tuple[str, float, float, float, int, bool]] = {
    "ours": ("Search and least squares", 0.04, 0.5, 3.0, 900, True),
    "xvr": ("Adam from the start (xvr)", 0.5, 1.6, 40.0, 1500, False),
    "xreg": ("CMA-ES and BOBYQA (xReg)", 0.35, 1.1, 25.0, 4200, False),
    "initial": ("No registration", 0.0, 0.0, 0.0, 0, False),
}


def write_evaluation(
    folder: Path, cases: int = 40, methods: Mapping[str, Any] = METHODS, *, seed: int = 0, images: int = 0
) -> list[StudyRow]:
    """Write arm.json, poses.csv, results.jsonl and table.json; returns the rows.

    images: of so many cases the X-ray and case.json are written too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    true = [pelvis_scenes.moved(pelvis_scenes.truth(), *_change(generator, 4.0, 6.0)) for _ in range(cases)]
    starts = [pelvis_scenes.moved(pose, *_change(generator, 12.0, 30.0)) for pose in true]
    rows = []
    for name, (_, gross, median, seconds, renders, judges) in methods.items():
        for number in range(cases):
            row = _row(generator, name, number, true[number], starts[number], gross, median)
            spent = seconds * generator.uniform(0.8, 1.4)
            good = row["mtre_mm"] is not None and row["mtre_mm"] < 10
            row |= {"seconds": spent, "renders": int(renders * generator.uniform(0.9, 1.2))}
            row |= {"accepted": bool(good if generator.random() < 0.94 else not good) if judges else None}
            row["trace"] = _trace(row, starts[number], true[number]) if name != "initial" else []
            rows.append(StudyRow.from_dict(row))
    for number in range(min(images, cases)):
        write_case_files(folder, f"{number:03d}", true[number], starts[number])
    write_rows(folder, rows)
    with (folder / "poses.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", *(f"m{row}{column}" for row in range(3) for column in range(4))])
        table.writerows([f"{number:03d}", *pose[:3].ravel()] for number, pose in enumerate(true))
    arm = {
        "name": "C-A",
        "title": "Chen's distribution, frontal start",
        "description": "Target rotation N(0, 20 deg) about each axis; start at the nominal frontal view.",
        "cases": cases,
        "seed": seed,
        "metric": "mtre_mm",
        "arm": {
            "camera": {"sid_mm": 1020.0, "pixel_mm": 2.083, "size_px": 192},
            "variants": [{"name": "", "image": {"physics": True, "photons": 2e5, "gamma": 1.0}}],
            "views_deg": [0.0],
        },
        "volume": {"path": "/somewhere/pelvis.nii.gz", "fingerprint": "sha256:1f0e6a", "labels": None},
        "version": "1.0",
    }
    about = {name: {"title": entry[0], "source": "a paper"} for name, entry in methods.items()}
    table = {"methods": about, "versions": {"xrayreg": "1.0", "torch": "2.13"}, "machine": {"cpu": "2 cores"}}
    for name, content in (("arm.json", arm), ("table.json", table)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return rows


def write_rows(folder: Path, rows: list[StudyRow]) -> None:
    """Write results.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row.as_dict()) + "\n" for row in rows]
    (folder / "results.jsonl").write_text("".join(lines), encoding="utf-8")


def write_case_files(folder: Path, case: str, true: NDArray, start: NDArray) -> None:
    """Write the X-ray and case.json of one case, and the volume once."""
    volume = folder / "cases" / "pelvis.nii.gz"
    place = folder / "cases" / case
    place.mkdir(parents=True, exist_ok=True)
    if not volume.exists():
        pelvis = pelvis_scenes.pelvis()
        write_nifti(volume, pelvis.values, pelvis.grid.volume_from_index)
    write_image(place / "xray.tif", np.exp(-rendered(_projector(), camera(), true)))
    view = CaseView(place / "xray.tif", camera(), "transmission")
    targets = pelvis_scenes.pelvis().grid.corners()
    write_case(place / "case.json", CaseFile(volume, (view,), None, (), start, true, targets))


@functools.cache
def _projector() -> Projector:
    return prepare(attenuation_of(pelvis_scenes.pelvis()))


def camera() -> Camera:
    """The camera of every case; its frame is the world."""
    return pelvis_scenes.camera()


def _change(generator: np.random.Generator, turn_deg: float, shift_mm: float) -> tuple[NDArray, NDArray]:
    return generator.normal(0, turn_deg, 3), generator.normal(0, shift_mm, 3) * [1, 1, 2]


def _row(
    generator: np.random.Generator, name: str, case: int, true: NDArray, start: NDArray, gross: float, median: float
) -> dict[str, Any]:
    targets, centre = pelvis_scenes.pelvis().grid.corners(), pelvis_scenes.pelvis().grid.centre
    before = pose_error(camera(), start, true, targets)
    row = {"method": name, "arm": "C-A", "case": f"{case:03d}", "initial_mtre_mm": before.mtre_mm}
    if name != "initial" and generator.random() < 0.02:
        return {**row, "mtre_mm": None, "error": "the search found no pose in front of the source"}
    far = name != "initial" and generator.random() < gross * before.mtre_mm / 60
    size = generator.uniform(0.3, 0.9) if far else median / 60 * np.exp(generator.normal(0, 0.5))
    found = start if name == "initial" else pelvis_scenes.moved(true, *_change(generator, 12 * size, 18 * size))
    error = pose_error(camera(), found, true, targets)
    numbers = {key: value for key, value in error.as_dict().items() if key not in ("mpd_px", "sid_is_nominal")}
    axis = np.array([0.0, 1.0, 0.0])
    others = {
        "mtre_far_mm": far_lever_mtre(found, true, targets, axis, 520.0),
        "mtre_xvr_mm": xvr_mtre(found, true, targets, centre),
        "mtre_diffpose_mm": 0.194 * error.mtre_mm,
        "similarity": float(1 / (1 + error.mtre_mm / 20)),
        "camera_from_volume": found.tolist(),
        "reason": "the similarity no longer rises",
    }
    return {**row, **numbers, **others}


def _trace(row: dict[str, Any], start: NDArray, true: NDArray) -> list[dict[str, Any]]:
    """A dozen poses between the start and the one found, the nearer the later."""
    if row.get("camera_from_volume") is None:
        return []
    found = np.array(row["camera_from_volume"])
    points = []
    for part in np.linspace(0, 1, 12):
        share = 1 - (1 - part) ** 3
        pose = found.copy()
        pose[:3, 3] += (1 - share) * (start[:3, 3] - found[:3, 3])
        spent = max(part, 0.02)
        points.append(
            {
                "seconds": spent * row["seconds"],
                "renders": int(spent * row["renders"]),
                "similarity": share * row["similarity"],
                "mtre_mm": pose_error(camera(), pose, true, pelvis_scenes.pelvis().grid.corners()).mtre_mm,
            }
        )
    return points
