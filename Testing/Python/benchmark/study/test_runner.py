"""Studies from order to tables with methods that take no time: complete, broken and refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from benchmark.study import standins
from benchmark.study.standins import done, order, rows, stopped

from xrayreg.benchmark.study.protocol import arm_named
from xrayreg.benchmark.study.runner import conduct
from xrayreg.benchmark.study.summaries import tabulate, write_tables
from xrayreg.checks import InputError
from xrayreg.io import write_nifti

pytestmark = pytest.mark.usefixtures("coarse_arms")


def test_a_study_leaves_cases_poses_results_and_tables(tmp_path, ct):
    steps = done(order(ct, tmp_path / "s", "perfect", "halfway", "start"))
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"arm.json", "poses.csv", "cases", "results.jsonl"}
    found = rows(tmp_path / "s")
    assert set(found) == {(m, c) for m in ("perfect", "halfway", "start") for c in ("000", "001", "002")}
    for case in ("000", "001", "002"):
        assert found["perfect", case].mtre_mm == pytest.approx(0, abs=1e-9)
        start = found["start", case]
        assert start.mtre_mm == pytest.approx(start.initial_mtre_mm) and start.mtre_mm > 5
        assert found["perfect", case].mtre_surface_mm == pytest.approx(0, abs=1e-9)
        assert start.mtre_far_mm > 0 and start.mtre_diffpose_mm == pytest.approx(0.194 * start.mtre_mm)
        assert found["perfect", case].accepted is True and start.accepted is None
    last = steps[-1]
    assert (last.stage, last.done, last.total) == ("run", 9, 9)
    assert [step.done for step in steps if step.stage == "make"][-1] == 3
    table = write_tables(tmp_path / "s", {"engine": "torch"})
    assert [row.method for row in table.rows] == ["perfect", "halfway", "start"]
    assert table.rows[0].figures.sr1.percent == 100
    content = json.loads((tmp_path / "s/table.json").read_text())
    assert content["complete"] and content["settings"] == {"engine": "torch"}
    assert content["methods"]["halfway"]["against_first"]["n"] == 3
    assert "do not interpret" in content["methods"]["perfect"]["published_metrics"]["mtre_xvr_mm"]["warning"]
    lines = (tmp_path / "s/table.csv").read_text().splitlines()
    assert len(lines) == 4 and len({line.count(",") for line in lines}) == 1
    told = {line["method"]: line for line in csv.DictReader(lines)}
    assert told["perfect"]["accepted"] == "100.0" and told["perfect"]["accepted_right_2mm"] == "3"
    assert float(told["perfect"]["wrong_of_accepted_high_10mm"]) == pytest.approx(56.15, abs=0.01)  # of 0 in 3
    assert told["start"]["accepted"] == told["start"]["accepted_right_2mm"] == ""


def test_the_trace_is_thinned_and_measured(tmp_path, ct):
    done(order(ct, tmp_path, "halfway"))
    trace = rows(tmp_path)["halfway", "000"].trace
    assert 10 < len(trace) <= 40
    assert trace[0]["mtre_mm"] > trace[-1]["mtre_mm"] and trace[-1]["renders"] == 100


def test_several_processes_give_the_results_of_one(tmp_path, ct):
    done(order(ct, tmp_path / "one", "perfect", "halfway"))
    done(order(ct, tmp_path / "two", "perfect", "halfway", workers=2))
    first, second = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert set(first) == set(second)
    for key, row in first.items():
        assert row.as_dict() == second[key].as_dict()
    assert (tmp_path / "one/cases/001/xray.tif").read_bytes() == (tmp_path / "two/cases/001/xray.tif").read_bytes()


def test_a_method_that_breaks_on_a_case_leaves_a_sentence_and_the_study_goes_on(tmp_path, ct):
    done(order(ct, tmp_path, "breaks", "lost", "perfect"))
    found = rows(tmp_path)
    assert found["breaks", "001"].error == "ValueError: a number that is none"
    assert "not a number" in found["lost", "001"].error
    figures = {row.method: row.figures for row in tabulate(tmp_path).rows}
    assert figures["breaks"].failed == figures["lost"].failed == 3 and figures["breaks"].gfr.percent == 100
    assert figures["perfect"].failed == 0


def test_a_case_whose_x_ray_cannot_be_read_leaves_a_sentence(tmp_path, ct):
    done(order(ct, tmp_path))
    (tmp_path / "cases/001/xray.tif").write_bytes(b"no image")
    done(order(ct, tmp_path, "start"))
    found = rows(tmp_path)
    assert "xray.tif" in found["start", "001"].error and not found["start", "002"].error


def test_a_process_that_dies_costs_its_case_alone(tmp_path, ct):
    done(order(ct, tmp_path, "dies", "perfect", workers=2, limit=2))
    found = rows(tmp_path)
    assert len(found) == 4
    assert "SIGKILL" in found["dies", "000"].error and not found["perfect", "001"].error


@pytest.mark.parametrize("name", ["follows", "blinks"])
def test_a_frame_starts_from_the_last_pose_that_was_not_rejected(tmp_path, ct, name):
    done(order(ct, tmp_path, name, arm="T-A", limit=8))
    found = [rows(tmp_path)[name, f"{n:03}"] for n in range(8)]
    assert {row.accepted for row in found} == ({True} if name == "follows" else {True, False})
    start = None
    for number, row in enumerate(found):
        case = json.loads((tmp_path / f"cases/{row.case}/case.json").read_text())
        own, true = (np.array(case[part]["world_from_volume"]) for part in ("initial", "reference"))
        # Runs have six frames here; a new one starts as its own first frame does.
        start = None if number == 6 else start
        offset = (own if start is None else start) - true
        expected = np.linalg.norm(np.array(case["reference"]["targets"]) @ offset[:3, :3].T + offset[:3, 3], axis=1)
        assert row.initial_mtre_mm == pytest.approx(expected.mean(), rel=1e-9)
        start = np.array(row.camera_from_volume) if row.accepted else start


@pytest.mark.parametrize("name", ["follows", "blinks"])
def test_a_cine_stopped_in_the_middle_goes_on_as_if_it_had_not_been(tmp_path, ct, name):
    done(order(ct, tmp_path / "whole", name, arm="T-A", limit=6))
    given = order(ct, tmp_path / "parts", name, arm="T-A", limit=6)
    stopped(given, lambda step: step.stage == "run" and step.done == 3)
    done(given)
    first, second = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    for key, row in first.items():
        assert row.initial_mtre_mm == pytest.approx(second[key].initial_mtre_mm, rel=1e-12)


def test_variants_have_their_own_figures(tmp_path, ct):
    done(order(ct, tmp_path, "perfect", "start", arm="R-A", limit=22))
    table = tabulate(tmp_path)
    assert len(table.variants) == 2 * len(arm_named("R-A").variants)
    assert {row.figures.n for row in table.variants} == {2} and {row.figures.n for row in table.rows} == {22}


def test_the_arm_that_is_scored_otherwise_is_told_by_its_own_metric(tmp_path, ct):
    done(order(ct, tmp_path / "a", "start", arm="C-A"))
    done(order(ct, tmp_path / "b", "start", arm="C-B"))
    a, b = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert [row.mtre_mm for row in a.values()] == pytest.approx([row.mtre_mm for row in b.values()])
    assert tabulate(tmp_path / "b").metric == "mtre_far_mm"
    far = np.mean([row.mtre_far_mm for row in b.values()])
    assert tabulate(tmp_path / "b").rows[0].figures.mean == pytest.approx(far)
    assert far > 1.5 * np.mean([row.mtre_mm for row in b.values()])


def test_named_bones_are_what_errors_are_measured_at(tmp_path, ct):
    done(order(ct, tmp_path, "start", labels=ct.parent / "labels.nii.gz", structures=(3,), limit=1))
    case = json.loads((tmp_path / "cases/000/case.json").read_text())
    targets = np.array(case["reference"]["targets"])
    extent = np.ptp(targets, axis=0)
    assert case["structures"] == [3] and (extent > 40).all() and (extent < 160).all()  # a sacrum


def test_an_arm_of_bones_alone_shows_nothing_else(tmp_path, ct):
    labels = ct.parent / "labels.nii.gz"
    for name in ("P-A", "P-A-bones"):
        done(order(ct, tmp_path / name, "start", arm=name, labels=labels, structures=(3,), limit=1))
    whole_one, bones = (
        sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / name / "cases/000/xray.tif")) for name in ("P-A", "P-A-bones")
    )
    # Around the sacrum nothing attenuates: most of the image is as bright as the air; soft tissue darkens all of P-A's.
    bright = 0.8 * bones.max()
    assert (bones > bright).mean() > 0.5 > (whole_one > bright).mean()
    assert bones.min() < 0.6 * bones.max()
    poses = [(tmp_path / name / "poses.csv").read_text() for name in ("P-A", "P-A-bones")]
    assert poses[0] == poses[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "Z-Z"}, "C-A"),
        ({"arm": None}, "--dataset"),
        ({"volume": None}, "--volume"),
        ({"volume": Path("nowhere.nii.gz")}, "nowhere"),
        ({"structures": (1,)}, "--labels"),
        ({"arm": "P-A-bones"}, "--structures"),
        ({"limit": 0}, "--limit"),
        ({"workers": 0}, "--workers"),
        ({"dataset": Path("d")}, "both"),
        ({"methods": ("perfect", "magic")}, "magic"),
        ({"methods": ()}, "--methods"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_told_and_nothing_written(tmp_path, ct, change, words):
    with pytest.raises(InputError, match=words):
        conduct(replace(order(ct, tmp_path / "out"), **change), standins.method)
    assert not (tmp_path / "out").exists()


def test_what_a_method_needs_and_no_case_can_bring_is_told_at_once(tmp_path, ct):
    def find(name: str):
        return replace(standins.method("perfect"), needs=(name,))

    given = order(ct, tmp_path / "out", "network")
    with pytest.raises(InputError, match="--network"):
        conduct(given, find)
    with pytest.raises(InputError, match=r"nowhere\.pt"):
        conduct(replace(given, options={"perfect": {"network": "nowhere.pt"}}), find)
    with pytest.raises(InputError, match="--structures"):
        conduct(order(ct, tmp_path / "out", "structures"), find)
    assert not (tmp_path / "out").exists()


def test_a_volume_too_small_for_the_arm_is_told(tmp_path):
    values = np.full((10, 12, 12), -1000, np.int16)
    values[2:8, 2:8, 2:8] = 300
    write_nifti(tmp_path / "tiny.nii.gz", values, np.diag([2.0, 2, 2, 1]))
    with pytest.raises(InputError, match="24 x 20 mm"):
        done(order(tmp_path / "tiny.nii.gz", tmp_path / "out"))


def test_a_bone_cut_out_of_its_ct_is_no_patient(tmp_path):
    values = np.zeros((60, 60, 60), np.int16)
    values[20:40, 20:40, 20:40] = 1300
    write_nifti(tmp_path / "bone.nii.gz", values, np.diag([4.0, 4, 4, 1]))
    with pytest.raises(InputError, match="Hounsfield"):
        done(order(tmp_path / "bone.nii.gz", tmp_path / "out"))
