"""Pictures of each method's worst cases: edges of the DRR on the X-ray, at the found and at the true pose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...io import parse_case, read_case, read_radiograph
from ...overlay import Anatomy, Style, draw_edges, draw_overlay, pose_edges, prepare_anatomy, resampled, shown_grey
from ...scene import Radiograph, Scene
from ..datasets import Dataset, open_dataset
from ..statistics import GROSS_MM, StudyRow
from ..study.reading import CASES, Evaluation, MethodResults
from .wording import length

Pose = NDArray[np.float64]

# Red and green that differ in brightness and blue, for people with red-green blindness.
FOUND, TRUE = (255, 84, 54), (0, 226, 160)
# Maximum number of pictures per method, and in all; longer side [pixels].
_EACH, _ALL, _SIDE_PX = 3, 36, 720
_FOUND_STYLE = Style(edge_colour=FOUND, width_px=2.3)
_TRUE_STYLE = Style(edge_colour=TRUE, width_px=2.3)


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of a case (uint8 RGB) with its caption; if it could not be drawn, no picture and the reason."""

    case: str
    caption: str
    picture: NDArray[np.uint8] | None
    problem: str = ""


def worst_of(evaluation: Evaluation) -> dict[str, list[StudyRow]]:
    """The rows of each method with the largest errors, largest first, including the worst falsely accepted one; runs
    without a pose cannot be shown."""
    moved = [method for method in evaluation.methods if method.moves]
    each = max(1, min(_EACH, _ALL // max(len(moved), 1)))
    return {method.name: _worst(method, each) for method in moved}


def _worst(method: MethodResults, count: int) -> list[StudyRow]:
    errors = method.errors()
    shown = [n for n, row in enumerate(method.rows) if row.camera_from_volume is not None and math.isfinite(errors[n])]
    order = sorted(shown, key=lambda n: -errors[n])
    picked = order[:count]
    harmful = [n for n in order if method.rows[n].accepted and errors[n] > GROSS_MM]
    if harmful and harmful[0] not in picked:
        picked[-1] = harmful[0]
    return [method.rows[n] for n in picked]


class Gallery:
    """Draws cases of an evaluation, one at a time; a volume is prepared once for all cases that share it."""

    def __init__(self, evaluation: Evaluation) -> None:
        """Nothing is read yet."""
        self._folder, self._told = evaluation.folder / CASES, evaluation.arm.get("dataset")
        self._dataset: Dataset | None = None
        self._drawn_of: Any = None
        self._anatomy: Anatomy | None = None

    def shown(self, row: StudyRow) -> Shown:
        """The picture of one row's case, or the reason why it cannot be drawn."""
        words = caption_of(row)
        try:
            case = self._folder / row.case / "case.json"
            from_dataset = self._told and not case.exists()
            view, true = self._from_dataset(row.case) if from_dataset else self._from_file(case)
            assert self._anatomy is not None
            picture = _drawn(view, self._anatomy, true, np.asarray(row.camera_from_volume, np.float64))
        except (ValueError, OSError) as error:
            return Shown(row.case, words, None, f"Case {row.case} could not be drawn: {error}")
        return Shown(row.case, words, picture)

    def _from_file(self, path: Path) -> tuple[Radiograph, Pose]:
        """The first view of a case's file and its true camera_from_volume (4, 4)."""
        case = parse_case(path)
        if not case.views or case.reference is None:
            raise InputError("case", expected="a view and a reference", found=str(path), remedy="make the case anew")
        key = case.volume, case.series, case.labels, case.structures
        if key != self._drawn_of:
            self._make_ready(read_case(path), key)
        first = case.views[0]
        view = read_radiograph(
            first.image, camera=first.camera, intensity=first.intensity, frame=first.frame, mirrored=first.mirrored
        )
        return view, view.camera.camera_from_world @ case.reference

    def _from_dataset(self, name: str) -> tuple[Radiograph, Pose]:
        """The same of a case of the evaluated dataset."""
        if self._dataset is None:
            self._dataset = open_dataset(str(self._told))
        scene = self._dataset.scene(name)
        if scene.reference is None:
            raise InputError("case", expected="a reference", found="none", remedy="evaluate the data set anew")
        if scene.volume is not self._drawn_of:
            self._make_ready(scene, scene.volume)
        return scene.views[0], scene.views[0].camera.camera_from_world @ scene.reference

    def _make_ready(self, scene: Scene, key: Any) -> None:
        # Without structures to register, labels are not needed.
        volume = scene.volume if scene.structures else replace(scene.volume, labels=None)
        self._anatomy = prepare_anatomy(volume, scene.structures)
        self._drawn_of = key


def _drawn(view: Radiograph, anatomy: Anatomy, true: Pose, found: Pose) -> NDArray[np.uint8]:
    """The view with the edges of the anatomy at two poses camera_from_volume (4, 4), the found one on top."""
    view = resampled(view, _SIDE_PX / max(view.camera.width, view.camera.height))
    grey = shown_grey(view)
    edges = pose_edges(anatomy, view.camera, true)
    picture = draw_overlay(grey, edges, None, _TRUE_STYLE)
    edges = pose_edges(anatomy, view.camera, found)
    return draw_edges(picture, edges, _FOUND_STYLE)


def caption_of(row: StudyRow) -> str:
    """A case's numbers in words."""
    parts = list(_numbers(row))
    if row.accepted is not None:
        parts.append("accepted" if row.accepted else "rejected")
    variant = f" ({row.variant})" if row.variant else ""
    return f"Case {row.case}{variant}: " + "; ".join(parts)


def _numbers(row: StudyRow) -> Iterator[str]:
    for value, words in (
        (row.mtre_mm, "{} mm mTRE"),
        (row.initial_mtre_mm, "from {} mm"),
        (row.mtre_in_plane_mm, "{} mm along the detector"),
        (row.mtre_depth_mm, "{} mm in depth"),
        (row.rotation_deg, "{}° turned"),
        (row.seconds, "{} s"),
    ):
        if math.isfinite(value):
            yield words.format(length(value))
