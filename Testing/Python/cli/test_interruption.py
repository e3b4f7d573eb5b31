"""Ctrl-C keeps the best pose so far, flagged, or leaves nothing behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import numpy as np
import pytest

import xrayreg.pipeline
import xrayreg.report.folder
from xrayreg.io import read_pose
from xrayreg.pieces import divisible

OPTIONS = ("--init", "case", "--engine", "torch")


@pytest.fixture
def ctrl_c_at(monkeypatch):
    """Lets the registration of this test send itself a SIGINT at the first step that meets a condition."""

    def arrange(condition, times: int = 1) -> None:
        real = xrayreg.pipeline.register

        def register(*arguments, **named) -> Iterator[xrayreg.pipeline.Step]:
            sent = False
            for step in real(*arguments, **named):
                if not sent and condition(step):
                    sent = True
                    for _ in range(times):
                        signal.raise_signal(signal.SIGINT)
                yield step

        monkeypatch.setattr(xrayreg.pipeline, "register", register)

    return arrange


def has_pose(step) -> bool:
    return step.camera_from_volume is not None


def test_ctrl_c_writes_the_best_pose_so_far_flagged(one_view, register, ctrl_c_at, tmp_path, capfd):
    ctrl_c_at(has_pose)
    handler = signal.getsignal(signal.SIGINT)
    assert register(one_view, *OPTIONS) == 130
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"result.json", "pose.tfm"}
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["accepted"] is False
    assert result["interrupted"] is True
    assert result["reason"].startswith("Interrupted: ")
    assert result["score"]["mtre_mm"] > 0
    # Transform files hold some fifteen digits.
    np.testing.assert_allclose(read_pose(out / "pose.tfm"), result["world_from_volume"], atol=1e-9)
    assert "Interrupted" in capfd.readouterr().out
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_keeps_the_pose_of_the_step_before(one_view, register, ctrl_c_at, tmp_path):
    poses = []

    def second_pose(step) -> bool:
        poses.extend([step] * has_pose(step))
        return len(poses) == 2

    ctrl_c_at(second_pose, times=2)
    assert register(one_view, *OPTIONS, "--quiet") == 130
    assert json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["interrupted"] is True


def test_ctrl_c_before_there_is_a_pose_leaves_nothing(one_view, register, ctrl_c_at, tmp_path, capfd):
    ctrl_c_at(lambda step: step.stage == "prepare", times=2)
    assert register(one_view, *OPTIONS) == 130
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr() == ("", "xrayreg: interrupted before there was a result; nothing was written\n")


def test_ctrl_c_while_pictures_are_drawn_keeps_the_pose(one_view, register, tmp_path, monkeypatch):
    @divisible
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)
        yield

    monkeypatch.setattr(xrayreg.report.folder, "view_sheet", interrupted)
    assert register(one_view, *OPTIONS, "--quiet") == 130
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "pose.tfm"}
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    # The registration was over, so its pose is as good as it gets: voxels are 5 mm, and most of the error is depth.
    assert result["score"]["mtre_mm"] < 2.0


def test_a_picture_that_fails_leaves_no_half_result(one_view, register, tmp_path, monkeypatch, capfd):
    @divisible
    def full(*_):
        yield
        raise OSError(28, "No space left on device", "sheet_front.png")

    monkeypatch.setattr(xrayreg.report.folder, "view_sheet", full)
    assert register(one_view, *OPTIONS) == 2
    assert not (tmp_path / "out").exists()
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "No space left" in printed
