"""Survey of similarities around the true poses of an arm's cases: landscape and capture range, written as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...checks import InputError
from ...io import read_labelled_volume, write_json
from ...networks.inference.similarity_scene import made_ready
from ...networks.model.checkpoint import SimilarityCheckpoint, load_similarity
from ...scene import Scene
from ..methods import MethodContext
from ..plotting import Drawn, save
from ..statistics.comparison import CAPTURE_BIN_MM, CAPTURE_MM
from ..study.runner import StudyOrder, StudyStep, conduct
from ..study.score import scene_of
from ..study.study_folder import StudyFolder, room_for_results
from .capture_range import Captured, capture_runs, captured
from .landscape_figure import draw_capture, draw_landscape
from .profiles import CLASSIC, LinePoint, classic_problems, lines_of, measured_line, median_angles, write_points

FOLDER, POINTS, RUNS, SUMMARY, SETTINGS = "landscape", "landscape.csv", "capture.csv", "landscape.json", "settings.json"
# The refinement alone, for comparison with descents on a similarity that precede it.
REFINEMENT = "ours-lm"
_REFINED = "+ours"

Tell = Callable[[StudyStep], None]


@dataclass(frozen=True)
class SurveyOrder:
    """Settings of a survey.

    study: the arm's cases; its `methods` are ignored. similarities: files by architecture.
    points: per line; random: number of random lines per case. most_mm: largest start error, 0 for no capture range;
    starts: per case and bin of 2 mm. success_mm: error limit of a success.
    """

    study: StudyOrder
    similarities: Mapping[str, Path]
    points: int = 25
    random: int = 4
    most_mm: float = 60.0
    starts: int = 1
    success_mm: float = CAPTURE_MM


@dataclass(frozen=True, eq=False)
class Surveyed:
    """Results of a survey.

    angles: median between a measure's gradient and the geodesic one [degrees] and the number of poses, by measure.
    capture: ranges, by method. files: all files written; summary: the one among them that holds these numbers.
    """

    angles: Mapping[str, tuple[float, int]]
    capture: tuple[Captured, ...]
    files: tuple[Path, ...]
    summary: Path


def survey(order: SurveyOrder, tell: Tell) -> Surveyed:
    """Make the cases, measure, draw, and write everything to the subfolder `landscape` of the study's folder.

    tell: called with the progress. After an interruption the same order continues where it stopped. Raises InputError
    for an order that cannot be carried out, the folder of another survey, and as `conduct` does.
    """
    loaded = {name: load_similarity(file) for name, file in order.similarities.items()}
    conduct(order.study, on_step=tell)
    folder = StudyFolder(order.study.out)
    place = order.study.out / FOLDER
    with room_for_results(order.study.out), folder.alone():
        place.mkdir(exist_ok=True)
        _require_same(place, order, loaded)
        scenes = _scenes(order, folder)
        points = _landscape(order, loaded, scenes, tell)
        write_points(place / POINTS, points)
        angles, drawn = median_angles(points), [draw_landscape(points)]
        # Written before the runs, which take much longer and may be interrupted.
        written = [place / POINTS, *_written(place, angles, [], drawn)]
        found: list[Captured] = []
        if order.most_mm > 0:
            found = _captured(order, scenes, place, tell)
            drawn.append(draw_capture(found, order.success_mm))
            written = [place / POINTS, place / RUNS, *_written(place, angles, found, drawn)]
    return Surveyed(angles, tuple(found), tuple(written), place / SUMMARY)


def _written(
    place: Path, angles: Mapping[str, tuple[float, int]], found: list[Captured], drawn: list[Drawn]
) -> list[Path]:
    """The figures and the summary, as files."""
    write_json(place / SUMMARY, _summary(angles, found, drawn))
    return [*(file for one in drawn for file in save(one.figure, place / one.stem)), place / SUMMARY]


def _scenes(order: SurveyOrder, folder: StudyFolder) -> dict[str, Scene]:
    assert order.study.volume is not None
    volume = read_labelled_volume(order.study.volume, order.study.labels)
    cases = [case for (_, case) in folder.rows()][: order.study.limit]
    return {case: scene_of(folder.case(case), volume) for case in dict.fromkeys(cases)}


def _landscape(
    order: SurveyOrder, loaded: Mapping[str, SimilarityCheckpoint], scenes: Mapping[str, Scene], tell: Tell
) -> list[LinePoint]:
    study, points = order.study, []
    total, done = len(scenes) * (len(loaded) + len(CLASSIC)), 0
    for number, (case, scene) in enumerate(scenes.items()):
        measures: dict[str, Any] = {
            name: made_ready(checkpoint, order.similarities[name].name, scene, study.engine, study.device).objective
            for name, checkpoint in loaded.items()
        }
        for name, measure in {**measures, **classic_problems(scene, study.engine, study.device)}.items():
            seed = (study.seed or 0) + number
            for line in lines_of(scene, measure.pivot, order.random, order.points, seed):
                points += measured_line(name, case, measure, scene, line)
            done += 1
            tell(StudyStep("measure", f"the landscape of {name}", done, total))
    return points


def _captured(order: SurveyOrder, scenes: Mapping[str, Scene], place: Path, tell: Tell) -> list[Captured]:
    study = order.study
    plain = MethodContext(study.seed or 0, study.engine, study.device)
    contexts = {
        f"{name}{_REFINED}": MethodContext(plain.seed, study.engine, study.device, {"similarity": str(file)})
        for name, file in order.similarities.items()
    }
    contexts |= {f"{name}{_REFINED}": plain for name in CLASSIC} | {REFINEMENT: plain}
    rows = capture_runs(
        contexts,
        scenes,
        order.most_mm,
        order.starts,
        study.seed or 0,
        order.success_mm,
        place / RUNS,
        lambda done, total, message: tell(StudyStep("capture", message, done, total)),
    )
    return captured(rows, order.success_mm)


def _require_same(place: Path, order: SurveyOrder, loaded: Mapping[str, SimilarityCheckpoint]) -> None:
    """Raise InputError if a folder holds runs with other similarities, starts or success limits."""
    wanted = {
        "similarities": {name: checkpoint.digest for name, checkpoint in sorted(loaded.items())},
        "starts": order.starts,
        "success_mm": order.success_mm,
        "bin_mm": CAPTURE_BIN_MM,
    }
    file = place / SETTINGS
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != wanted:
        raise InputError(
            f"--out {order.study.out}",
            expected="a landscape of the same similarities, starts and successes",
            found="one of others",
            remedy="name another folder, or delete this one to start anew",
        )
    write_json(file, wanted)


def _summary(angles: Mapping[str, tuple[float, int]], found: list[Captured], drawn: list[Drawn]) -> dict[str, Any]:
    return {
        "median_angle_deg": {name: {"median": angle, "poses": count} for name, (angle, count) in angles.items()},
        "capture_range": [asdict(one) for one in found],
        "figures": {one.stem: one.caption for one in drawn},
    }
