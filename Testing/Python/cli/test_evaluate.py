"""`evaluate` as a user meets it: lists, tables, refusals in one line, and Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from constant_networks import card_for, checkpoint_for
from learned_scenes import standing_in, written
from pelvis_scenes import phantom

from xrayreg.benchmark.methods import METHODS
from xrayreg.benchmark.report import study_report as report
from xrayreg.benchmark.study import summaries
from xrayreg.benchmark.study.protocol import arm_names
from xrayreg.cli import main
from xrayreg.io import read_volume, write_nifti
from xrayreg.networks.model.checkpoint import save_checkpoint

PACKAGE = Path(__file__).resolve().parents[3] / "XRayRegistration"


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Path:
    volume = phantom(8.0)
    path = tmp_path_factory.mktemp("patient") / "ct.nii.gz"
    write_nifti(path, volume.values, volume.grid.volume_from_index)
    return path


@pytest.fixture(scope="module")
def study(ct, tmp_path_factory) -> Path:
    """A study of the start alone on an arm of small images."""
    out = tmp_path_factory.mktemp("study") / "out"
    code = main(["evaluate", "--volume", str(ct), "--arm", "P-A", "--methods", "initial,fixed", "--limit", "3"] + [
        "--workers", "1", "--out", str(out), "--quiet", "--no-report"
    ])  # fmt: skip
    assert code == 0
    return out


def told(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    return captured.err


def test_the_list_shows_every_arm_and_method_in_a_line(capsys):
    assert main(["evaluate", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = [line.split()[0] for line in lines if line.strip()]
    assert set(arm_names()) | set(METHODS) <= set(first)
    assert len(lines) < len(arm_names()) + len(METHODS) + 6


def test_a_study_leaves_its_files_and_prints_its_table(study, capsys):
    assert {"arm.json", "poses.csv", "results.jsonl", "table.csv", "table.json"} <= {f.name for f in study.iterdir()}
    assert main(["evaluate", "--report-only", str(study), "--no-report"]) == 0
    out = capsys.readouterr().out
    assert "P-A" in out and "initial" in out and "fixed" in out and str(study) in out.replace("\n", "")


def test_the_table_can_be_had_as_json(study, capsys):
    assert main(["evaluate", "--report-only", str(study), "--no-report", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["methods"]["initial"]["summary"]["n"] == 3
    # What was said of the run when it was made is still there.
    assert content["settings"]["workers"] == 1


def test_the_start_is_as_far_off_as_the_arm_says(study):
    figures = json.loads((study / "table.json").read_text())["methods"]["initial"]["summary"]
    assert 20 < figures["initial_mtre_mm"] < 160 and figures["mean"] == pytest.approx(figures["initial_mtre_mm"])


def test_the_pose_list_and_the_cases_agree(study):
    lines = (study / "poses.csv").read_text().splitlines()
    assert len(lines) == 4
    columns = lines[0].split(",")
    first = dict(zip(columns, lines[1].split(","), strict=True))
    case = json.loads((study / f"cases/{first['case']}/case.json").read_text())
    reference = np.array(case["reference"]["world_from_volume"])
    assert float(first["reference_03"]) == pytest.approx(reference[0, 3], abs=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--out"),
        (["--out", "{out}"], "--volume"),
        (["--out", "{out}", "--volume", "nowhere.nii.gz"], "nowhere.nii.gz"),
        (["--out", "{out}", "--volume", "{ct}", "--arm", "Q"], "C-A, C-B"),
        (["--out", "{out}", "--volume", "{ct}", "--methods", "ours,magic"], "magic"),
        (["--out", "{out}", "--volume", "{ct}", "--limit", "0"], "--limit"),
        (["--out", "{out}", "--volume", "{ct}", "--workers", "-1"], "--workers"),
        (["--out", "{out}", "--volume", "{ct}", "--dataset", "{ct}"], "--dataset or --volume"),
        (["--out", "{out}", "--dataset", "{here}"], "dataset"),
        (["--out", "{out}", "--volume", "{ct}", "--structures", "1"], "--labels"),
        (["--out", "{out}", "--volume", "{ct}", "--set", "ours.effort"], "METHOD.NAME=VALUE"),
        (["--out", "{ct}", "--volume", "{ct}"], "not a folder"),
        (["--report-only", "{here}"], "results.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, ct, capsys, options, words):
    names = {"out": tmp_path / "out", "ct": ct, "here": tmp_path}
    code = main(["evaluate", *(option.format(**names) for option in options)])
    assert code == 2
    assert words in told(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--limit", "many"], ["--methods", ","], ["--engine", "gpu"], ["--frob"]])
def test_wrong_options_are_one_line_and_code_2(options, capsys):
    assert main(["evaluate", *options]) == 2
    assert "--help" in told(capsys)


@pytest.fixture
def cases(study, tmp_path) -> Path:
    """The folder of that study with its cases alone, as if nothing had been run yet: to make an X-ray takes longest."""
    results = shutil.ignore_patterns("results.jsonl", "table.*")
    return Path(shutil.copytree(study, tmp_path / "cases", ignore=results))


def run_one(ct: Path, out: Path, *options: str) -> int:
    """`evaluate` on the first case."""
    arguments = ["--volume", str(ct), "--arm", "P-A", "--limit", "1", "--workers", "1", "--no-report"]
    return main(["evaluate", *arguments, "--out", str(out), *options])


def test_methods_are_separated_by_commas_or_blanks(ct, cases):
    assert run_one(ct, cases, "--quiet", "--methods", "initial", "fixed,dicom", "initial") == 0
    assert list(json.loads((cases / "table.json").read_text())["methods"]) == ["initial", "fixed", "dicom"]


def test_ctrl_c_while_the_report_is_written_says_that_the_results_are_kept(study, capsys, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", interrupted)
    before = (study / "results.jsonl").read_bytes()
    assert main(["evaluate", "--report-only", str(study)]) == 130
    line = told(capsys)
    assert "all results are kept" in line and f"--report-only {study}" in line
    assert (study / "results.jsonl").read_bytes() == before


def test_a_disk_that_is_full_when_tables_are_written_is_told(study, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(summaries, "write_json", full)
    assert main(["evaluate", "--report-only", str(study), "--no-report"]) == 2
    line = told(capsys)
    assert "the disk is full" in line and "free some room" in line


def test_a_setting_of_a_method_reaches_it_and_why_it_gave_no_pose_is_in_the_table(ct, cases, capsys):
    assert run_one(ct, cases, "--methods", "fixed", "--set", "fixed.depth_share=7") == 0
    out = capsys.readouterr().out
    assert "fixed: 1 case without a pose" in out and "depth_share" in out
    assert "depth_share" in json.loads((cases / "results.jsonl").read_text())["error"]


def test_the_folder_of_another_arm_is_refused(study, ct, capsys):
    code = main(["evaluate", "--volume", str(ct), "--arm", "C-A", "--out", str(study), "--quiet"])
    assert code == 2
    assert "arm P-A" in told(capsys)


@pytest.mark.long
def test_ctrl_c_keeps_the_results_so_far_and_says_so(ct, tmp_path):
    arguments = [
        "evaluate",
        "--volume",
        str(ct),
        "--arm",
        "P-A",
        "--methods",
        "initial,ours",
        "--no-report",
        "--limit",
        "8",
    ]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    process = subprocess.Popen(
        [sys.executable, "-m", "xrayreg", *arguments, "--workers", "2", "--out", str(tmp_path / "out")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    results = tmp_path / "out/results.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (results.exists() and results.stat().st_size > 0):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    # As a terminal does: to all processes of the group.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err + out
    assert "cases so far" in out
    kept = [json.loads(line) for line in results.read_text().splitlines()]
    assert kept and (tmp_path / "out/table.json").exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.long
def test_learned_similarities_are_evaluated_by_their_architecture(ct, tmp_path, capsys):
    with standing_in():
        file = written(tmp_path / "sim.pt", volume=read_volume(ct))
        code = main(["evaluate", "--volume", str(ct), "--arm", "P-A", "--methods", "initial,prost,prost+ours"] + [
            "--similarity", file, "--set", "prost.steps=15", "--set", "prost+ours.steps=15", "--limit", "2",
            "--workers", "1", "--out", str(tmp_path / "out"), "--json", "--no-report",
        ])  # fmt: skip
    assert code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [row["method"] for row in rows] == ["initial", "prost", "prost+ours"] * 2
    assert not any(row["error"] for row in rows)
    for start, descent, refined in (rows[:3], rows[3:]):
        assert descent["mtre_mm"] != start["mtre_mm"] and descent["renders"] >= 13 + 10
        assert refined["renders"] > descent["renders"] and refined["trace"][-1]["level"] > descent["trace"][-1]["level"]
    capsys.readouterr()
    # The cases are there: only what is around their true poses is new.
    code = main(["evaluate", "--landscape", "--volume", str(ct), "--arm", "P-A", "--limit", "1", "--workers", "1"] + [
        "--most-mm", "0", "--out", str(tmp_path / "out")
    ])  # fmt: skip
    assert code == 0
    assert (tmp_path / "out" / "landscape" / "landscape.png").is_file()
    assert "gradncc" in capsys.readouterr().out


def test_similarities_are_refused_with_the_reason(ct, tmp_path, capsys):
    command = ["evaluate", "--volume", str(ct), "--out", str(tmp_path / "out"), "--quiet", "--methods", "prost"]
    assert main(command) == 2
    assert "--similarity" in told(capsys)
    file = written(tmp_path / "sim.pt")
    again = written(tmp_path / "again.pt")
    for both in (("--similarity", file, again), ("--similarity", file, "--similarity", again)):
        assert main([*command, *both]) == 2
        assert "one file of each architecture" in told(capsys)
    network = tmp_path / "model.pt"
    save_checkpoint(network, checkpoint_for(card_for(read_volume(ct), 1)))
    assert main([*command, "--similarity", str(network)]) == 2
    assert "predicts poses; give it with --network" in told(capsys)
    assert main([*command[:-2], "--landscape", "--dataset", str(tmp_path)]) == 2
    assert "--volume" in told(capsys)
