"""The landscape of similarities and their capture range: true costs and slopes, starts where they are said to be."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from learned_scenes import checkpoint, standing_in, written
from method_scenes import small_scene
from pelvis_scenes import pelvis
from PIL import Image

from xrayreg.benchmark.landscape import capture_range as capture_module
from xrayreg.benchmark.landscape import survey as survey_module
from xrayreg.benchmark.landscape.capture_range import CaptureRow, capture_runs, captured, read_runs, start_in_bin
from xrayreg.benchmark.landscape.profiles import (
    REACH,
    classic_problems,
    error_of,
    lines_of,
    measured_line,
    median_angles,
)
from xrayreg.benchmark.landscape.survey import SurveyOrder, survey
from xrayreg.benchmark.methods import MethodContext
from xrayreg.benchmark.study.runner import StudyOrder, StudyStep
from xrayreg.checks import InputError
from xrayreg.io import read_volume
from xrayreg.networks.inference.similarity_scene import made_ready

PIVOT = torch.as_tensor(pelvis().grid.centre)


def test_slopes_are_the_derivatives_of_costs_and_both_lead_to_the_truth():
    scene = small_scene()
    with standing_in():
        learned = made_ready(checkpoint(), "sim.pt", scene).objective
    for name, measure in {"learned": learned, **classic_problems(scene)}.items():
        lines = list(lines_of(scene, measure.pivot, random=1, points=9, seed=3))
        assert [line.name for line in lines] == [*REACH, "random 1"]
        for line in (lines[2], lines[3], lines[-1]):
            near = replace(line, offsets=line.offsets * 0.05)
            points = measured_line(name, "000", measure, scene, near)
            costs, offsets = (np.array([getattr(point, what) for point in points]) for what in ("cost", "offset"))
            assert abs(int(costs.argmin()) - 4) <= 1 and costs[[0, -1]].min() > costs[4]
            assert points[0].slope < 0 < points[-1].slope
            rise = np.trapezoid([point.slope for point in points[4:]], offsets[4:])
            # Nine points of a curve with kinks.
            assert rise == pytest.approx(costs[-1] - costs[4], rel=0.25)
            assert points[4].mtre_mm == 0 and math.isnan(points[4].angle_deg)


def test_random_lines_are_told_in_millimetres_of_the_target_points():
    scene = small_scene()
    *_, line = lines_of(scene, PIVOT, random=1, points=5, seed=1)
    measure = classic_problems(scene)["zncc"]
    points = measured_line("zncc", "000", measure, scene, replace(line, offsets=np.array([-10.0, 5.0])))
    assert [point.mtre_mm for point in points] == pytest.approx([10.0, 5.0], rel=0.05)


def test_angles_are_taken_on_random_lines_between_20_and_100_mm():
    scene = small_scene()
    measure = classic_problems(scene)["zncc"]
    axis, *_, line = lines_of(scene, PIVOT, random=1, points=11, seed=1)
    points = [*measured_line("zncc", "000", measure, scene, axis), *measured_line("zncc", "000", measure, scene, line)]
    wanted = [p.angle_deg for p in points if p.line == "random 1" and 20 <= p.mtre_mm <= 100]
    assert len(wanted) >= 7 and median_angles(points)["zncc"] == (float(np.median(wanted)), len(wanted))


@pytest.mark.parametrize("number", [0, 7, 40])
def test_starts_lie_in_their_bin_and_are_the_same_again(number):
    scene = small_scene()
    poses = [start_in_bin(scene, number, (5, 0, number, place)) for place in (0, 1, 0)]
    assert all(2 * number <= error_of(scene, pose) < 2 * number + 2 for pose in poses)
    assert torch.equal(poses[0], poses[2]) and not torch.equal(poses[0], poses[1])


def rows(method: str, errors: list[list[float]]) -> list[CaptureRow]:
    return [
        CaptureRow(method, "000", place, number, 2 * place + 1.0, error, 1, 1.0)
        for place, some in enumerate(errors)
        for number, error in enumerate(some)
    ]


def test_the_range_ends_where_a_bin_first_fails():
    found = captured([*rows("near", [[1, 1], [1, 9], [1, 1]]), *rows("far", [[1, 1], [1, 1]])])
    assert [(one.method, one.range_mm, one.beyond, one.runs) for one in found] == [
        ("near", 2.0, False, 6),
        ("far", 4.0, True, 4),
    ]
    assert found[0].interval.low <= 2.0 <= found[0].interval.high <= 6.0
    assert captured(rows("near", [[1, 1], [1, 9]]), success_mm=10.0)[0].range_mm == 4.0


def test_runs_go_on_after_a_torn_line_and_give_up_where_nothing_succeeds(tmp_path, monkeypatch):
    file, scene = tmp_path / "capture.csv", small_scene()
    ran = []

    def failing(method, scene, context):
        ran.append(method.name)
        raise InputError("here", expected="something", found="nothing", remedy="none")

    monkeypatch.setattr(capture_module, "run_method", failing)
    told: list[tuple[int, int, str]] = []

    def run() -> list[CaptureRow]:
        context = {"initial": MethodContext()}
        return capture_runs(context, {"000": scene}, 40.0, 1, 0, 2.0, file, lambda *step: told.append(step))

    first = run()
    # Five bins without a success are enough.
    assert len(first) == 5 == len(ran) and all(math.isinf(row.error_mm) for row in first)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rstrip().rfind(b"\n") + 8])
    assert len(read_runs(file)) == 4
    assert run() == first and len(ran) == 6 and read_runs(file) == first
    assert run() == first and len(ran) == 6


@pytest.fixture
def order(ct, tmp_path, coarse_arms) -> SurveyOrder:
    with standing_in():
        file = written(tmp_path / "sim.pt", px=32, volume=read_volume(ct))
    study = StudyOrder(tmp_path / "out", ("initial",), arm="V-A", volume=ct, limit=1)
    return SurveyOrder(study, {"prost": tmp_path / file}, points=5, random=1, most_mm=2.0, success_mm=5.0)


def test_a_survey_leaves_pictures_and_figures_and_a_folder_for_no_other(order):
    steps = []
    with standing_in():
        found = survey(order, steps.append)
    folder = order.study.out / "landscape"
    assert {file.name for file in found.files} == {
        "landscape.png", "landscape.pdf", "capture.png", "capture.pdf", "landscape.csv", "capture.csv", "landscape.json"
    }  # fmt: skip
    for name in ("landscape.png", "capture.png"):
        picture = np.asarray(Image.open(folder / name).convert("L"))
        assert min(picture.shape) > 200 and (picture < 128).mean() > 0.002
    with (folder / "landscape.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {row["measure"] for row in table} == {"prost", "zncc", "gradncc"}
    assert len(table) == 3 * 7 * 5
    summary = json.loads(found.summary.read_text(encoding="utf-8"))
    assert [one["method"] for one in summary["capture_range"]] == [
        "prost+ours", "zncc+ours", "gradncc+ours", "ours-lm"
    ]  # fmt: skip
    assert {step.stage for step in steps} >= {"measure", "capture"}
    with standing_in(), pytest.raises(InputError, match="same similarities, starts"):
        survey(replace(order, starts=2), steps.append)


def test_interrupted_runs_leave_the_landscape_whole(order):
    def interrupt(step: StudyStep) -> None:
        if step.stage == "capture":
            raise KeyboardInterrupt

    with standing_in(), pytest.raises(KeyboardInterrupt):
        survey(order, interrupt)
    folder = order.study.out / "landscape"
    assert {file.name for file in folder.iterdir()} >= {
        "landscape.png",
        "landscape.csv",
        "landscape.json",
        "capture.csv",
    }
    summary = json.loads((folder / "landscape.json").read_text(encoding="utf-8"))
    assert set(summary["median_angle_deg"]) == {"prost", "zncc", "gradncc"} and summary["capture_range"] == []
    # And the same order goes on from there.
    with standing_in():
        assert len(survey(order, lambda step: None).capture) == 4


def test_a_landscape_without_similarities_or_capture_is_one_of_the_classic_ones(order):
    found = survey(replace(order, similarities={}, most_mm=0.0), lambda step: None)
    assert set(found.angles) == set(survey_module.CLASSIC) and found.capture == ()
    assert not (order.study.out / "landscape" / "capture.csv").exists()
