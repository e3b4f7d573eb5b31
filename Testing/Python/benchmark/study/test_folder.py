"""A study's folder keeps what it has: resumed, torn, interrupted, locked, another study's, and on a full disk."""

from __future__ import annotations

import errno
import json
import math
import platform
from dataclasses import replace

import pytest
from benchmark.study import standins
from benchmark.study.standins import done, order, rows, stopped

from xrayreg.benchmark.study import study_folder as folder_module
from xrayreg.benchmark.study.runner import conduct
from xrayreg.checks import InputError

pytestmark = pytest.mark.usefixtures("coarse_arms")


def test_what_is_there_is_not_done_again(tmp_path, ct):
    done(order(ct, tmp_path))
    before = (tmp_path / "results.jsonl").read_bytes()
    xray = (tmp_path / "cases/000/xray.tif").stat().st_mtime_ns
    steps = done(order(ct, tmp_path, "perfect", "start", limit=4))
    assert (tmp_path / "results.jsonl").read_bytes().startswith(before)
    assert (tmp_path / "cases/000/xray.tif").stat().st_mtime_ns == xray
    assert steps[-1].total == 5  # one more case for the first method, four for the second
    assert len(rows(tmp_path)) == 8
    assert json.loads((tmp_path / "arm.json").read_text())["cases"] == 4
    # Asked for fewer again, the folder keeps what it has.
    done(order(ct, tmp_path, limit=2))
    assert json.loads((tmp_path / "arm.json").read_text())["cases"] == 4


def test_a_line_torn_when_the_machine_stopped_is_done_again(tmp_path, ct):
    done(order(ct, tmp_path))
    whole_text = (tmp_path / "results.jsonl").read_text()
    (tmp_path / "results.jsonl").write_text(whole_text[: len(whole_text) - 60])
    steps = done(order(ct, tmp_path))
    assert steps[-1].total == 1
    assert len(rows(tmp_path)) == 3
    assert [json.loads(line)["case"] for line in (tmp_path / "results.jsonl").read_text().splitlines()] == [
        "000",
        "001",
        "002",
    ]


def test_a_case_torn_when_the_machine_stopped_is_made_again(tmp_path, ct):
    done(order(ct, tmp_path))
    image = (tmp_path / "cases/001/xray.tif").read_bytes()
    (tmp_path / "cases/001/case.json").unlink()
    (tmp_path / "cases/001/xray.tif").write_bytes(image[:100])
    (tmp_path / "cases/001/.known-abcdefgh.json").write_text("{")
    steps = done(order(ct, tmp_path, "perfect", "start"))
    assert [step.total for step in steps if step.stage == "make"][-1] == 1
    assert (tmp_path / "cases/001/xray.tif").read_bytes() == image
    assert not list((tmp_path / "cases/001").glob(".*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_in_the_middle_a_study_keeps_what_it_has_and_goes_on(tmp_path, ct, workers):
    given = order(ct, tmp_path, "perfect", "halfway", workers=workers)
    stopped(given, lambda step: step.stage == "run" and step.done == 2)
    assert len(rows(tmp_path)) == 2
    assert not (tmp_path / ".patient.npy").exists()
    steps = done(order(ct, tmp_path, "perfect", "halfway", workers=workers))
    assert steps[-1].total == 4 and len(rows(tmp_path)) == 6


def test_stopped_while_cases_are_made_the_large_file_is_gone(tmp_path, ct):
    def one_is_made(step):
        made = step.stage == "make" and step.done == 1
        assert not made or (tmp_path / ".patient.npy").exists()
        return made

    stopped(order(ct, tmp_path), one_is_made)
    assert not (tmp_path / ".patient.npy").exists() and (tmp_path / "cases/000/case.json").exists()


def test_what_a_killed_run_left_behind_is_taken_away(tmp_path, ct):
    done(order(ct, tmp_path))
    (tmp_path / ".patient.npy").write_bytes(b"large")
    done(order(ct, tmp_path))
    assert not (tmp_path / ".patient.npy").exists()


def test_a_folder_of_another_study_is_refused_with_what_differs(tmp_path, ct):
    done(order(ct, tmp_path))
    before = (tmp_path / "arm.json").read_bytes()
    for change, words in (({"arm": "V-A"}, "arm C-A, seed 2024"), ({"seed": 5}, "seed differ")):
        with pytest.raises(InputError, match=words) as told:
            done(replace(order(ct, tmp_path), **change))
        assert "name another folder" in str(told.value)
    assert (tmp_path / "arm.json").read_bytes() == before


def test_a_second_study_in_the_folder_is_refused_while_the_first_goes_on(tmp_path, ct):
    refused = []

    def on_step(step):
        if step.stage == "run" and step.done == 1:
            with pytest.raises(InputError, match="no other evaluation that writes to it, found the run of process"):
                done(order(ct, tmp_path))
            refused.append(step)

    assert conduct(order(ct, tmp_path), standins.method, on_step) == tmp_path
    assert refused
    assert len(rows(tmp_path)) == 3 and not (tmp_path / "lock").exists()


def test_what_a_study_killed_at_its_very_beginning_leaves_is_no_obstacle(tmp_path, ct):
    (tmp_path / "lock").write_text(json.dumps({"pid": 0, "host": platform.node(), "born": "", "started": ""}))
    done(order(ct, tmp_path))
    assert len(rows(tmp_path)) == 3 and not (tmp_path / "lock").exists()


def test_what_killed_processes_have_half_written_is_swept_up(tmp_path, ct):
    done(order(ct, tmp_path))
    (tmp_path / ".arm-abcdefgh.json").write_text("{")
    done(order(ct, tmp_path))
    assert not list(tmp_path.glob(".*"))


def test_a_folder_with_other_files_is_refused(tmp_path, ct):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        done(order(ct, tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_damaged_identity_is_told(tmp_path, ct):
    done(order(ct, tmp_path))
    (tmp_path / "arm.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        done(order(ct, tmp_path))


def test_a_disk_that_fills_up_is_told_and_the_results_so_far_stay(tmp_path, ct, monkeypatch):
    written = 0
    sync = folder_module.os.fsync

    def fills(number: int) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(folder_module.os, "fsync", fills)
    with pytest.raises(InputError, match="goes on where it stopped"):
        done(order(ct, tmp_path))
    monkeypatch.undo()
    assert len(rows(tmp_path)) >= 2


def test_a_disk_that_fills_up_while_cases_are_made_is_told(tmp_path, ct, monkeypatch):
    import xrayreg.benchmark.study.case_making as making

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(making, "write_image", full)
    with pytest.raises(InputError, match="goes on where it stopped"):
        done(order(ct, tmp_path))
    assert not (tmp_path / ".patient.npy").exists()


def test_numbers_of_a_failed_run_are_no_numbers_in_the_file(tmp_path, ct):
    done(order(ct, tmp_path, "breaks"))
    line = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])
    assert line["mtre_mm"] is None and line["initial_mtre_mm"] > 0
    assert math.isnan(rows(tmp_path)["breaks", "000"].mtre_mm)
