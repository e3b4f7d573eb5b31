"""A paper's table run again with stand-ins: complete, cut short at any moment, and refused."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark.study import standins
from benchmark.study.conftest import make_coarse
from benchmark.study.killed_tables import MOMENTS
from benchmark.study.table_standins import begun, failing, method, order, train
from killed_at_each_step import needs_fork

from xrayreg.benchmark.report.paper_report import paper_tables
from xrayreg.benchmark.study.reading import read_evaluation
from xrayreg.benchmark.study.runner import StudyStep
from xrayreg.benchmark.tables.paper_rows import measured_table, write_paper_table
from xrayreg.benchmark.tables.table_networks import PaperTraining, TrainedNetwork, train_missing, under_trained
from xrayreg.benchmark.tables.table_order import TableOrder
from xrayreg.benchmark.tables.table_study import Listener, run_table
from xrayreg.checks import InputError
from xrayreg.io import read_volume
from xrayreg.networks.model.checkpoint import load_any, read_card, save_checkpoint
from xrayreg.networks.model.fingerprint import fingerprint
from xrayreg.networks.training.status import TrainStep, last_checkpoint

pytestmark = pytest.mark.usefixtures("coarse_arms")
XVR_ROWS = ("initial", "xvr", "network", "network+xvr", "network+ours", "ours")


def run(given: TableOrder, listener: Listener | None = None) -> bool:
    return run_table(given, listener, method, train).is_complete


@pytest.fixture(scope="module")
def finished(ct, tmp_path_factory) -> Path:
    """The folder of xvr's table, run to its end."""
    out = tmp_path_factory.mktemp("table") / "out"
    with pytest.MonkeyPatch.context() as patch:
        make_coarse(patch)
        assert run(order(ct, out, "xvr"))
    return out


@pytest.fixture
def mark(ct) -> str:
    return fingerprint(read_volume(ct))


def test_every_row_is_run_on_the_same_cases(finished):
    found = standins.rows(finished / "X-A")
    assert set(found) == {(name, case) for name in XVR_ROWS for case in ("000",)}
    assert len({row.initial_mtre_mm for row in found.values()}) == 1
    assert begun(finished) == ["network False 30"]
    assert not any(row.error for row in found.values())


def test_the_table_has_its_columns_as_csv_and_json(finished):
    assert write_paper_table(finished / "X-A") is not None
    with (finished / "X-A/paper_table.csv").open(encoding="utf-8") as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    assert tuple(lines) == XVR_ROWS
    network = lines["network+xvr"]
    known = ("n", "seed", "training_minutes", "training_iterations", "published_in_words", "renders", "seconds")
    assert [network[name] for name in known] == ["1", "2024", "30.0", "400", "96.2 % rated as successes by experts"] + [
        "100.0",
        "1.0",
    ]
    for metric in ("camera_frame", "far_lever"):
        for figure in ("sr10", "sr10_low", "sr10_high", "median_mm", "best95_mean_mm", "best50_sd_mm"):
            assert float(network[f"{metric}_{figure}"]) >= 0
    assert "core" in network["training_hardware"] and network["under_trained"].startswith("Under-trained: 400")
    assert network["train_longer"].startswith("train --volume ") and "--resume --minutes" in network["train_longer"]
    assert network["comparable"] and network["not_comparable"]
    assert lines["ours"]["network"] == lines["ours"]["training_minutes"] == lines["ours"]["under_trained"] == ""
    content = json.loads((finished / "X-A/paper_table.json").read_text(encoding="utf-8"))
    assert content["complete"] and [row["method"] for row in content["rows"]] == list(XVR_ROWS)
    assert content["rows"][2]["training"]["hardware"] and content["rows"][2]["comparable"]["different"]


def test_the_report_shows_the_table_first_and_says_what_is_comparable(finished):
    table, comparable = paper_tables(read_evaluation(finished / "X-A"))
    assert "run again" in table.heading and "Under-trained" in table.note and "network" in table.note
    assert [row.head for row in table.rows][:2] == ["Fixed pose", "Fixed pose + refinement"]
    assert sum(columns for _, columns in table.groups) == len(table.columns) == len(table.rows[0].cells)
    assert "under-trained" in table.rows[2].cells[-1].small and table.rows[5].cells[-1].text == "none"
    trained = comparable.rows[3].cells[2].text
    assert "xrayreg train --volume" in trained and "run the table again" in trained
    assert all(row.cells[0].text and row.cells[1].text for row in comparable.rows)


def test_a_study_of_no_paper_has_no_such_table(tmp_path, ct):
    standins.done(standins.order(ct, tmp_path, limit=1))
    assert write_paper_table(tmp_path) is None and paper_tables(read_evaluation(tmp_path)) == []


def test_far_lever_and_published_numbers_stand_side_by_side(tmp_path, ct):
    given = order(ct, tmp_path / "out", budget=3.0)
    assert run(given)
    assert begun(given.out) == ["prost False 1", "sopi False 1", "correlation False 1"]
    table = measured_table(read_evaluation(given.folder("C-A")))
    assert table is not None and len(table.rows) == 9 and not table.missing
    first = table.rows[0].figures
    assert first["far_lever"].median > 1.5 * first["camera_frame"].median
    assert {row.network.name for row in table.rows if row.network} == {"prost", "sopi", "correlation"}


def test_what_is_there_is_neither_trained_nor_run_again_until_a_network_is_another(finished, ct):
    steps: list[StudyStep] = []
    heard = Listener(studied=lambda arm, step: steps.append(step))
    assert run(order(ct, finished, "xvr", budget=0.0), heard)
    assert len(begun(finished)) == 1 and all(step.row is None for step in steps)
    file = finished / "networks/network.pt"
    longer = load_any(file)
    save_checkpoint(file, replace(longer, card=replace(longer.card, iteration=99)))  # type: ignore[arg-type]
    assert run(order(ct, finished, "xvr"), heard)
    again = [step.row.method for step in steps if step.row is not None]
    assert sorted(again) == sorted(["network", "network+xvr", "network+ours"]) and len(begun(finished)) == 1


@pytest.fixture(scope="module")
def killed(ct, tmp_path_factory) -> Path:
    """A folder with one of each moment at which a table was killed."""
    out = tmp_path_factory.mktemp("killed")
    here = Path(__file__).resolve()
    paths = (here.parents[1], here.parents[3] / "XRayRegistration")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "study.killed_tables", str(ct), str(out)], env=environment, check=True, timeout=300
    )
    return out


@pytest.mark.long
@needs_fork
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_goes_on_and_comes_to_the_same(killed, ct, finished, moment):
    given = order(ct, killed / moment, "xvr")
    assert run(given)
    expected = {"training": ["network False 30", "network True 30"], "preparing": 2 * ["network False 30"]}
    assert begun(given.out) == expected.get(moment, ["network False 30"])
    found, whole = standins.rows(given.folder("X-A")), standins.rows(finished / "X-A")
    assert set(found) == {(name, "000") for name in XVR_ROWS}
    for key, row in found.items():
        assert row.mtre_mm == pytest.approx(whole[key].mtre_mm, rel=1e-9)
    assert not list(given.out.rglob(".*"))


def test_asked_to_stop_it_ends_and_keeps_everything(tmp_path, ct):
    given = order(ct, tmp_path / "out", "xvr")
    seen: list[str] = []
    heard = Listener(
        studied=lambda arm, step: seen.append(step.stage),
        trained=lambda name, step: seen.append(step.state),
        asked_to_stop=lambda: seen[-1] == "training",
    )
    assert not run(given, heard)
    assert {method for method, _ in standins.rows(given.folder("X-A"))} == {"initial"}
    assert run(given) and begun(given.out) == ["network False 30", "network True 30"]


def test_a_training_that_fails_leaves_out_its_rows_alone_and_is_tried_again(tmp_path, ct):
    given = order(ct, tmp_path / "out")
    outcome = run_table(given, None, method, failing("prost"))
    assert not outcome.stopped and not outcome.is_complete
    assert begun(given.out) == ["sopi False 10", "correlation False 10"]
    why = "memory: expected enough, found too little for prost; free some"
    assert outcome.untrained == {"prost": why}
    table = write_paper_table(given.folder("C-A"))
    assert table is not None and {row.row.network for row in table.rows} == {"", "sopi", "correlation"}
    assert [missing.row.method for missing in table.missing] == ["prost", "prost+cmaes"]
    content = json.loads((given.folder("C-A") / "paper_table.json").read_text(encoding="utf-8"))
    assert not content["complete"] and why in content["missing"][0]["reason"]
    with (given.folder("C-A") / "paper_table.csv").open(encoding="utf-8") as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    assert why in lines["prost+cmaes"]["problem"] and lines["prost"]["n"] == "0" and not lines["sopi"]["problem"]
    main, comparable = paper_tables(read_evaluation(given.folder("C-A")))
    assert main.rows[-1].cells[0].text == "not trained" and "could not be trained" in main.note
    assert why in comparable.rows[-1].cells[2].text
    # Again: that training and its rows, and nothing else.
    steps: list[StudyStep] = []
    assert run(given, Listener(studied=lambda arm, step: steps.append(step)))
    assert begun(given.out)[2:] == ["prost False 10"]
    assert {step.row.method for step in steps if step.row is not None} == {"prost", "prost+cmaes"}
    table = measured_table(read_evaluation(given.folder("C-A")))
    assert table is not None and not table.missing


def test_results_of_a_network_that_is_gone_and_cannot_be_trained_again_are_left_out(tmp_path, ct):
    given = order(ct, tmp_path / "out", "xvr")
    assert run(given)
    for file in (given.network("network"), last_checkpoint(given.network("network"))):
        file.unlink()
    assert run_table(given, None, method, failing("network")).untrained
    assert {name for name, _ in standins.rows(given.folder("X-A"))} == {"initial", "xvr", "ours"}


def test_missing_networks_share_the_budget_and_keep_their_shares(tmp_path, ct, mark):
    given = order(ct, tmp_path)
    stop = _After(5)
    assert not train_missing(given, mark, stop, lambda: stop.reached, train)
    assert begun(tmp_path) == ["prost False 10", "sopi False 10"]
    # The same budget means the same shares, although one network less is missing.
    assert train_missing(given, mark, train=train)
    assert begun(tmp_path)[2:] == ["sopi True 10", "correlation False 10"]
    assert train_missing(given, mark, train=train) and len(begun(tmp_path)) == 4


def test_another_budget_is_shared_by_what_is_missing_then(tmp_path, ct, mark):
    stop = _After(5)
    train_missing(order(ct, tmp_path), mark, stop, lambda: stop.reached, train)
    assert train_missing(order(ct, tmp_path, budget=8.0), mark, train=train)
    assert begun(tmp_path)[2:] == ["sopi True 4", "correlation False 4"]


@pytest.mark.parametrize(
    ("change", "words"), [({"structures": (3,)}, "other structures"), ({}, "another CT"), ({"table": "prost"}, "poses")]
)
def test_networks_of_something_else_are_refused(tmp_path, ct, mark, change, words):
    train_missing(order(ct, tmp_path), mark, train=train)
    before = read_card(tmp_path / "networks/prost.pt")
    other = mark if change else "0" * 16
    with pytest.raises(InputError, match=words) as told:
        train_missing(replace(order(ct, tmp_path), **change), other, train=train)
    assert "name another --out" in str(told.value)
    assert read_card(tmp_path / "networks/prost.pt") == before


def test_a_budget_that_is_too_small_is_told_with_the_least_and_nothing_written(tmp_path, ct):
    with pytest.raises(InputError, match="at least 3 minutes, 1 for each of prost, sopi, correlation, found 2;"):
        run(order(ct, tmp_path / "out", budget=2.0))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused(tmp_path, ct):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        run(order(ct, tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_network_is_under_trained_until_it_has_the_papers_iterations():
    found = TrainedNetwork("prost", "", 30.0, 500, 4000)
    said = under_trained(found, PaperTraining(100_000, 2, "its code"))
    assert said.startswith("Under-trained: 500 iterations of 8 images in 30 minutes; 0.5 % of 100000 iterations of 2")
    assert under_trained(found, PaperTraining(500, 2, "its code")) == ""


class _After:
    """Counts steps; reached: whether there were so many."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __call__(self, name: str, step: TrainStep) -> None:
        self._left -= 1

    @property
    def reached(self) -> bool:
        return self._left <= 0
