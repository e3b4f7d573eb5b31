"""Studies from order to tables with methods that take no time: resumed, interrupted, broken and refused."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study import standins

from xrayreg.checks import InputError
from xrayreg.evaluation import StudyRow
from xrayreg.io import write_nifti
from xrayreg.pieces import whole
from xrayreg.study import conduct as conduct_module
from xrayreg.study import folder as folder_module
from xrayreg.study.conduct import StudyOrder, StudyStep, conduct
from xrayreg.study.folder import StudyFolder
from xrayreg.study.protocol import Arm, ArmCamera, arm_named
from xrayreg.study.summaries import tabulate, write_tables


@pytest.fixture(autouse=True)
def coarse_arms(monkeypatch) -> None:
    """The arms with few pixels and rays, and the patient on large voxels."""

    def coarse(name: str) -> Arm:
        arm = arm_named(name)
        edge = arm.camera.size_px * arm.camera.pixel_mm
        variants = tuple(replace(v, image=replace(v.image, rays_per_side=1)) for v in arm.variants)
        cine = replace(arm.cine, frames=min(arm.cine.frames, 6))
        return replace(arm, camera=ArmCamera(arm.camera.sid_mm, edge / 32, 32), variants=variants, cine=cine)

    monkeypatch.setattr(conduct_module, "arm_named", coarse)
    monkeypatch.setattr(conduct_module, "VOXEL_MM", 5.0)
    monkeypatch.setattr(
        conduct_module,
        "resampled_patient",
        type("", (), {"pieces": staticmethod(lambda volume, file: _RESAMPLED.pieces(volume, file, 5.0))}),
    )


_RESAMPLED = conduct_module.resampled_patient


def order(ct: Path, out: Path, *methods: str, **changes: object) -> StudyOrder:
    fields = {"arm": "C-A", "volume": ct, "limit": 3, "engine": "torch", **changes}
    return StudyOrder(out, methods or ("perfect",), **fields)  # type: ignore[arg-type]


def done(given: StudyOrder) -> list[StudyStep]:
    story = conduct(given, standins.method)
    return [step for step in story if step is not None]


def rows(out: Path) -> dict[tuple[str, str], StudyRow]:
    return StudyFolder(out).rows()


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
    steps = done(order(ct, tmp_path, "perfect", "start"))
    assert [step.total for step in steps if step.stage == "make"][-1] == 1
    assert (tmp_path / "cases/001/xray.tif").read_bytes() == image


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_in_the_middle_a_study_keeps_what_it_has_and_goes_on(tmp_path, ct, workers):
    story = conduct(order(ct, tmp_path, "perfect", "halfway", workers=workers), standins.method)
    for step in story:
        if step is not None and step.stage == "run" and step.done == 2:
            break
    story.close()
    assert len(rows(tmp_path)) == 2
    assert not (tmp_path / ".patient.npy").exists()
    steps = done(order(ct, tmp_path, "perfect", "halfway", workers=workers))
    assert steps[-1].total == 4 and len(rows(tmp_path)) == 6


def test_stopped_while_cases_are_made_the_large_file_is_gone(tmp_path, ct):
    story = conduct(order(ct, tmp_path), standins.method)
    for step in story:
        if step is not None and step.stage == "make" and step.done == 1:
            assert (tmp_path / ".patient.npy").exists()
            break
    story.close()
    assert not (tmp_path / ".patient.npy").exists() and (tmp_path / "cases/000/case.json").exists()


def test_what_a_killed_run_left_behind_is_taken_away(tmp_path, ct):
    done(order(ct, tmp_path))
    (tmp_path / ".patient.npy").write_bytes(b"large")
    done(order(ct, tmp_path))
    assert not (tmp_path / ".patient.npy").exists()


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


def test_a_cine_is_chained_from_the_pose_found_before(tmp_path, ct):
    done(order(ct, tmp_path, "follows", arm="T-A", limit=8))
    found = [rows(tmp_path)["follows", f"{n:03}"] for n in range(8)]
    poses = [np.array(row.camera_from_volume) for row in found]
    for before, row, case in zip(poses, found[1:6], range(1, 6), strict=False):
        reference = json.loads((tmp_path / f"cases/{case:03}/case.json").read_text())["reference"]["world_from_volume"]
        # A start at the last pose is off by what was left there and one step of the path.
        shift = np.linalg.norm((before - np.array(reference))[:3, 3])
        assert row.mtre_mm < row.initial_mtre_mm and row.initial_mtre_mm < shift + 80
    # Within a run the start follows the path; a new run starts as its own first frame does.
    assert found[0].initial_mtre_mm > 5 and found[6].initial_mtre_mm > 5


def test_a_cine_stopped_in_the_middle_goes_on_as_if_it_had_not_been(tmp_path, ct):
    done(order(ct, tmp_path / "whole", "follows", arm="T-A", limit=6))
    story = conduct(order(ct, tmp_path / "parts", "follows", arm="T-A", limit=6), standins.method)
    for step in story:
        if step is not None and step.stage == "run" and step.done == 3:
            break
    story.close()
    done(order(ct, tmp_path / "parts", "follows", arm="T-A", limit=6))
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "Z-Z"}, "C-A"),
        ({"arm": None}, "--dataset"),
        ({"volume": None}, "--volume"),
        ({"volume": Path("nowhere.nii.gz")}, "nowhere"),
        ({"structures": (1,)}, "--labels"),
        ({"limit": 0}, "--limit"),
        ({"workers": 0}, "--workers"),
        ({"dataset": Path("d")}, "both"),
        ({"methods": ("perfect", "magic")}, "magic"),
        ({"methods": ()}, "--methods"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_told_and_nothing_written(tmp_path, ct, change, words):
    with pytest.raises(InputError, match=words):
        whole(conduct(replace(order(ct, tmp_path / "out"), **change), standins.method))
    assert not (tmp_path / "out").exists()


def test_what_a_method_needs_and_no_case_can_bring_is_told_at_once(tmp_path, ct):
    def find(name: str):
        return replace(standins.method("perfect"), needs=(name,))

    given = order(ct, tmp_path / "out", "network")
    with pytest.raises(InputError, match="--network"):
        whole(conduct(given, find))
    with pytest.raises(InputError, match=r"nowhere\.pt"):
        whole(conduct(replace(given, options={"perfect": {"network": "nowhere.pt"}}), find))
    with pytest.raises(InputError, match="--structures"):
        whole(conduct(order(ct, tmp_path / "out", "structures"), find))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_study_is_refused_with_what_differs(tmp_path, ct):
    done(order(ct, tmp_path))
    before = (tmp_path / "arm.json").read_bytes()
    for change, words in (({"arm": "V-A"}, "arm C-A, seed 2024"), ({"seed": 5}, "seed differ")):
        with pytest.raises(InputError, match=words) as told:
            done(replace(order(ct, tmp_path), **change))
        assert "name another folder" in str(told.value)
    assert (tmp_path / "arm.json").read_bytes() == before


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
    import xrayreg.study.making as making

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
