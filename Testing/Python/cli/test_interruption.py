"""Ctrl-C keeps the best pose so far, flagged, or leaves nothing behind."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

import xrayreg.io.transforms
import xrayreg.registration.pipeline
import xrayreg.report.folder
from xrayreg.cli.session import LEFT_OUT
from xrayreg.io import read_pose

OPTIONS = ("--init", "case", "--engine", "torch")


@pytest.fixture(autouse=True)
def sigint():
    """Python's own handler, which a shell takes from what it starts in the background, and nohup from all."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c_at(monkeypatch):
    """Lets the registration of this test send itself a SIGINT at the first step that meets a condition."""

    def arrange(condition, times: int = 1) -> None:
        real = xrayreg.registration.pipeline.register

        def register(scene, settings, on_step, load_seconds):
            sent = False

            def interrupting(step) -> None:
                nonlocal sent
                if not sent and condition(step):
                    sent = True
                    for _ in range(times):
                        signal.raise_signal(signal.SIGINT)
                on_step(step)

            return real(scene, settings, interrupting, load_seconds)

        monkeypatch.setattr(xrayreg.registration.pipeline, "register", register)

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
    assert result["reason"].startswith("Interrupted: ") and result["reason_code"] == "interrupted"
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


def drawing(monkeypatch, *signals: int) -> None:
    """Lets every drawing of a sheet send that many SIGINTs, the first call the first number of them."""
    left = list(signals)

    def interrupted(*_):
        for _ in range(left.pop(0)):
            signal.raise_signal(signal.SIGINT)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(xrayreg.report.folder, "view_sheet", interrupted)


def test_ctrl_c_while_pictures_are_drawn_keeps_the_result_as_it_was_judged(one_view, register, tmp_path, monkeypatch):
    judged = register(one_view, *OPTIONS, "--quiet", "--no-pictures", out=tmp_path / "plain")
    drawing(monkeypatch, 1)
    assert register(one_view, *OPTIONS, "--quiet") == judged
    assert judged in (0, 3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "pose.tfm"}
    plain, result = (
        json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8")) for name in ("plain", "out")
    )
    assert "interrupted" not in result
    assert result["accepted"] is (judged == 0)
    for same in ("accepted", "reason", "files", "quality", "world_from_volume", "score"):
        assert result[same] == plain[same]
    assert result["notes"] == [*plain["notes"], LEFT_OUT]
    assert result["note_codes"] == [*plain["note_codes"], "pictures"]


def test_a_library_that_raises_ctrl_c_by_itself_costs_only_the_pictures(one_view, register, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(xrayreg.report.folder, "view_sheet", interrupted)
    assert register(one_view, *OPTIONS, "--quiet") in (0, 3)
    assert LEFT_OUT in json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["notes"]


def test_a_second_ctrl_c_while_pictures_are_drawn_writes_nothing(one_view, register, tmp_path, monkeypatch, capfd):
    drawing(monkeypatch, 2)
    assert register(one_view, *OPTIONS, "--quiet") == 130
    assert not (tmp_path / "out").exists()
    assert "nothing was written" in capfd.readouterr().err


def test_a_picture_that_fails_leaves_no_half_result(one_view, register, tmp_path, monkeypatch, capfd):
    def full(*_):
        raise OSError(28, "No space left on device", "sheet_front.png")

    monkeypatch.setattr(xrayreg.report.folder, "view_sheet", full)
    assert register(one_view, *OPTIONS) == 2
    assert not (tmp_path / "out").exists()
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "sheet_front.png: the disk is full" in printed and "free some room" in printed


def test_an_error_of_the_writer_leaves_the_earlier_result(one_view, register, tmp_path, monkeypatch, capfd):
    assert register(one_view, *OPTIONS, "--quiet", "--no-pictures") in (0, 3)
    earlier = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_):
        # ITK's writers say what went wrong, but raise a RuntimeError.
        raise RuntimeError("itk::ERROR: could not write")

    monkeypatch.setattr(xrayreg.io.transforms.sitk, "WriteTransform", full)
    assert register(one_view, *OPTIONS, "--quiet", "--no-pictures") == 2
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1 and "pose.tfm: an error while writing (itk::ERROR: could not write" in printed
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == earlier
