"""Datasets without an arm: their own scenes and references, their own cases, and what they know besides."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pelvis_scenes
import pytest
from benchmark.study import standins

from xrayreg.benchmark.datasets import CaseExtras
from xrayreg.benchmark.methods import MethodOutcome
from xrayreg.benchmark.study import runner as conduct_module
from xrayreg.benchmark.study import tasks as workplace
from xrayreg.benchmark.study.runner import StudyOrder, conduct
from xrayreg.benchmark.study.study_folder import StudyFolder
from xrayreg.benchmark.study.summaries import tabulate
from xrayreg.checks import InputError
from xrayreg.geometry import placement_of
from xrayreg.scene import Scene
from xrayreg.scene.attenuation import rendered_grid


@dataclass(frozen=True)
class Shelf:
    """Two cases of a pelvis, the second without a reference."""

    name: str = "shelf"
    cases: tuple[str, ...] = ("first", "second")
    left_out: tuple[str, ...] = ("doubtful",)

    def scene(self, case: str) -> Scene:
        scene = pelvis_scenes.scene(initial=pelvis_scenes.nearby())
        return scene if case == "first" else replace(scene, reference=None)

    def extras(self, case: str) -> CaseExtras:
        return CaseExtras(("a", "b"), np.arange(6.0).reshape(2, 3), np.zeros((1, 2, 2)))


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    for module in (conduct_module, workplace):
        monkeypatch.setattr(module, "open_dataset", lambda path: Shelf())
    return tmp_path / "data"


def test_a_dataset_is_scored_against_its_own_references(tmp_path, shelf):
    conduct(StudyOrder(tmp_path / "out", ("perfect", "start"), dataset=shelf), standins.method)
    rows = StudyFolder(tmp_path / "out").rows()
    assert rows["perfect", "first"].mtre_mm == pytest.approx(0, abs=1e-9)
    assert rows["start", "first"].mtre_mm == pytest.approx(rows["start", "first"].initial_mtre_mm) != 0
    assert "no reference" in rows["perfect", "second"].error
    table = tabulate(tmp_path / "out")
    assert table.name == "shelf" and table.cases == 2
    assert not (tmp_path / "out/cases").exists()
    assert json.loads((tmp_path / "out/arm.json").read_text())["left_out"] == ["doubtful"]


def test_a_part_of_a_dataset_is_its_beginning(tmp_path, shelf):
    conduct(StudyOrder(tmp_path / "out", ("perfect",), dataset=shelf, limit=1), standins.method)
    assert [case for _, case in StudyFolder(tmp_path / "out").rows()] == ["first"]


def test_landmarks_of_a_dataset_reach_the_methods_that_need_them(tmp_path, shelf):
    seen = []

    def spy(scene, context, on_step):
        seen.append(context.options["landmarks"])
        return MethodOutcome(scene.reference, 0.0, 0, 0.0, "Seen.")

    def find(name: str):
        return replace(standins.method("perfect"), needs=("landmarks",), run=spy)

    conduct(StudyOrder(tmp_path / "out", ("perfect",), dataset=shelf, limit=1), find)
    assert np.array_equal(seen[0]["points"], np.arange(6.0).reshape(2, 3)) and seen[0]["names"] == ("a", "b")


def test_methods_that_need_a_start_get_a_frontal_view_where_the_dataset_has_none(tmp_path, shelf, monkeypatch):
    monkeypatch.setattr(Shelf, "scene", lambda self, case: pelvis_scenes.scene())
    seen = {}

    def find(name: str):
        def spy(scene, context, on_step):
            seen[name] = scene.initial
            return MethodOutcome(scene.reference, 0.0, 0, 0.0, "Seen.")

        return replace(standins.method("perfect"), name=name, needs=("initial",) if name == "local" else (), run=spy)

    given = StudyOrder(tmp_path / "out", ("local", "global"), dataset=shelf, limit=1)
    conduct(given, find)
    assert seen["global"] is None
    scene = pelvis_scenes.scene()
    camera = scene.views[0].camera
    # The middle of what is rendered lies on the central ray, and the head points upwards.
    placed = placement_of(camera.camera_from_world @ seen["local"], rendered_grid(scene.volume).centre)
    assert (placed.primary_deg, placed.secondary_deg, placed.roll_deg) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (placed.right_mm, placed.up_mm) == pytest.approx((0, 0), abs=1e-9) and placed.sod_mm > 0
    row = StudyFolder(tmp_path / "out").rows()["local", "first"]
    assert row.initial_mtre_mm > 0 and np.isnan(StudyFolder(tmp_path / "out").rows()["global", "first"].initial_mtre_mm)


def test_a_dataset_is_found_again_from_wherever_its_report_is_made(tmp_path, shelf, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conduct(StudyOrder(Path("out"), ("perfect",), dataset=Path("data"), limit=1), standins.method)
    assert json.loads((tmp_path / "out/arm.json").read_text())["dataset"] == str(tmp_path / "data")


def test_what_is_no_dataset_is_told_and_nothing_written(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/holiday.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="dataset"):
        conduct(StudyOrder(tmp_path / "out", ("perfect",), dataset=tmp_path / "data"), standins.method)
    assert not (tmp_path / "out").exists()
