"""`evaluate --table` as a user meets it: refusals in one line, Ctrl-C, and the table."""

from __future__ import annotations

import json
import signal

import pytest
from benchmark.study import table_standins
from benchmark.study.conftest import make_coarse
from benchmark.study.standins import write_patient

from xrayreg.benchmark.tables import table_study
from xrayreg.cli import main

RUN = table_study.run_table


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture
def stand_ins(monkeypatch):
    """The table's methods and trainings take no time; gives the steps of training at which Ctrl-C comes."""
    strikes: list[str] = []

    def run(order, listener, train=table_standins.train):
        def trained(name, step):
            listener.trained(name, step)
            if step.state in strikes:
                strikes.remove(step.state)
                signal.raise_signal(signal.SIGINT)

        heard = table_study.Listener(listener.studied, trained, listener.asked_to_stop)
        return RUN(order, heard, table_standins.method, train)

    make_coarse(monkeypatch)
    monkeypatch.setattr(table_study, "run_table", run)
    return strikes


def options(ct, out, *more: str) -> list[str]:
    given = ["evaluate", "--table", "xvr", "--volume", str(ct), "--out", str(out), "--limit", "1", "--engine", "torch"]
    return [*given, "--workers", "1", "--no-report", *more]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--table", "miccai2030"], "isbi2024, prost, xvr"),
        (["--arm", "C-A"], "--table or --arm"),
        (["--methods", "ours"], "--table or --methods"),
        (["--dataset", "{ct}"], "--table or --dataset"),
        (["--network", "{ct}"], "--table or --network"),
        (["--similarity", "{ct}"], "--table or --similarity"),
        (["--set", "ours.effort=quick"], "--table or --set"),
        (["--budget", "0.2"], "at least 1 minutes, 1 for network, found 0.2"),
        (["--volume", "nowhere.nii.gz"], "nowhere.nii.gz"),
        (["--budget", "soon"], "--budget"),
    ],
)
def test_what_cannot_be_combined_is_one_line_and_code_2(ct, tmp_path, capsys, more, words):
    assert main(options(ct, tmp_path / "out", *(option.format(ct=ct) for option in more))) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1 and not captured.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--table", "xvr", "--volume", "{ct}"], "--out with --table"),
        (["--table", "xvr", "--out", "o"], "--volume with --table"),
        (["--budget", "3", "--volume", "{ct}", "--out", "o"], "--table with it"),
    ],
)
def test_what_is_missing_is_one_line_and_code_2(ct, capsys, given, words):
    assert main(["evaluate", *(option.format(ct=ct) for option in given)]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1


def test_a_network_that_cannot_be_trained_is_told_with_the_command_that_tries_again(
    ct, tmp_path, capsys, stand_ins, monkeypatch
):
    whole, fails = table_study.run_table, table_standins.failing("network")
    monkeypatch.setattr(table_study, "run_table", lambda *given: whole(*given, train=fails))
    out = tmp_path / "out"
    assert main(options(ct, out)) == 3
    captured = capsys.readouterr()
    last = captured.err.strip().splitlines()[-1]
    assert "incomplete: network could not be trained (memory: expected enough" in last
    assert last.endswith(
        f"to try again: xrayreg evaluate --table xvr --volume {ct} --out {out} --limit 1 --workers 1 --engine torch"
    )
    assert "Network + refinement: its network could not be trained: memory:" in captured.out
    monkeypatch.setattr(table_study, "run_table", whole)
    assert main(options(ct, out)) == 0
    assert "could not be trained" not in capsys.readouterr().out


def test_ctrl_c_keeps_everything_and_tells_the_command_that_goes_on(ct, tmp_path, capsys, stand_ins):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stand_ins.append("training")
        out = tmp_path / "a folder"
        assert main(options(ct, out, "--budget", "4")) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    captured = capsys.readouterr()
    command = captured.err.strip().splitlines()[-1].partition("to go on: ")[2]
    assert command == (
        f"xrayreg evaluate --table xvr --volume {ct} --out '{out}' --limit 1 --budget 4 --workers 1 --engine torch"
    )
    assert main(options(ct, out, "--budget", "4")) == 0
    assert table_standins.begun(out) == ["network False 4", "network True 4"]
    printed = capsys.readouterr().out
    for words in ("run again on arm X-A", "Network + refinement", "under-trained", "Not comparable:", "--resume"):
        assert words in printed
    assert {"paper.json", "paper_table.csv", "paper_table.json", "table.csv"} <= {
        f.name for f in (out / "X-A").iterdir()
    }
    # Again from the folder alone, as other evaluations; and as JSON.
    assert main(["evaluate", "--report-only", str(out / "X-A"), "--no-report"]) == 0
    assert "run again on arm X-A" in capsys.readouterr().out
    assert main(options(ct, out, "--json")) == 0
    assert json.loads(capsys.readouterr().out)[0]["rows"][0]["title"] == "Fixed pose"
