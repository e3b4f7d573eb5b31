"""`train`: from a CT to a network that `info` describes; every way to end it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import xrayreg.cli.train as command
import xrayreg.networks.training.curves as curves
import xrayreg.networks.training.run as training_run
from xrayreg.cli import main
from xrayreg.io import read_case, read_volume
from xrayreg.networks.model.checkpoint import load_checkpoint
from xrayreg.networks.model.fingerprint import is_trained_on

ROOT = Path(__file__).resolve().parents[3]
DRAW_CURVE = curves.draw_curve
TINY = ("--batch", "4", "--pixels", "32", "--hypotheses", "2", "--engine", "torch", "--device", "cpu")


@pytest.fixture(autouse=True)
def few_images_to_judge_by(monkeypatch):
    real = command._settings_of

    def small(arguments):
        from dataclasses import replace

        return replace(real(arguments), validation_poses=4, validation_xrays=1, precision="float32")

    monkeypatch.setattr(command, "_settings_of", small)
    # The picture takes longer than such a run. One test below has it drawn, test_status_and_curves.py looks at it.
    monkeypatch.setattr(curves, "draw_curve", lambda rows, path: path.touch())


@pytest.fixture
def train(ward, tmp_path):
    """Runs `train` on the ward's CT in this process; returns the exit code."""

    def run(*options: str, out: Path = tmp_path / "model.pt", length=("--minutes", "0", "--iterations", "3")) -> int:
        ct = () if "--volume" in options else ("--volume", str(ward.folder / "ct.mha"))
        return main(["train", *ct, "--out", str(out), *TINY, *length, *options])

    return run


def status_of(tmp_path: Path, name: str = "model") -> dict:
    return json.loads((tmp_path / f"{name}_training" / "status.json").read_text(encoding="utf-8"))


def test_a_network_is_trained_told_and_described(train, ward, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(curves, "draw_curve", DRAW_CURVE)
    assert train() == 0
    told = capfd.readouterr().out
    assert "simulated X-rays" in told
    assert f"--init {tmp_path / 'model.pt'}" in told.replace("\n", "")
    card = load_checkpoint(tmp_path / "model.pt").card
    assert (card.kind, card.iteration, card.images) == ("patient", 3, 12)
    assert set(card.validation) == {"clean", "physics"}
    assert is_trained_on(card, read_volume(ward.folder / "ct.mha"))
    files = {path.name for path in (tmp_path / "model_training").iterdir()}
    assert {"status.json", "settings.json", "curve.csv", "curve.png", "last.pt"} <= files
    assert (tmp_path / "model_training" / "curve.png").read_bytes().startswith(b"\x89PNG")
    status = status_of(tmp_path)
    assert (status["state"], status["fraction"], status["iteration"]) == ("done", 1.0, 3)
    assert status["validation"]["physics"]["images"] == 1
    assert main(["info", str(tmp_path / "model.pt")]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "trained on one CT" in shown
    assert "ct.mha" in shown
    assert "32 x 32 pixels" in shown


def test_json_prints_only_what_was_asked_for(train, tmp_path, capfd):
    assert train("--quiet", "--json") == 0
    content = json.loads(capfd.readouterr().out)
    assert content["model"] == str(tmp_path / "model.pt")
    assert content["settings"]["batch"] == 4


def test_the_options_reach_the_settings(train, ward, tmp_path):
    options = ("--labels", str(ward.folder / "labels.mha"), "--structures", "1,2", "--distribution", "pelvis")
    lengths = ("--sid", "1100", "--field", "350", "--sod", "650", "--learning-rate", "1e-4", "--seed", "9")
    assert train(*options, *lengths, "--quiet") == 0
    card = load_checkpoint(tmp_path / "model.pt").card
    assert card.structures == (1, 2)
    assert (card.settings.camera.sid_mm, card.settings.camera.field_mm, card.settings.camera.image_px) == (
        1100,
        350,
        32,
    )
    assert (card.settings.poses.sod_mm, card.settings.poses.coordinates) == (650, "carm")
    assert (card.frame.sod_mm, card.settings.seed, card.settings.learning_rate) == (650, 9, 1e-4)


def test_the_camera_of_a_case_is_covered(train, one_view, write_case, tmp_path):
    case = write_case(one_view)
    assert train("--camera", str(case), "--quiet") == 0
    camera, view = load_checkpoint(tmp_path / "model.pt").card.settings.camera, read_case(case).views[0].camera
    assert camera.sid_mm == pytest.approx(view.sid_mm)
    assert camera.field_mm >= 0.999 * view.width * view.pixel_mm


def test_a_run_is_resumed_and_a_network_finetuned(train, tmp_path, capfd):
    assert train("--quiet") == 0
    assert capfd.readouterr().out == ""
    assert train("--quiet", "--resume", length=("--minutes", "0", "--iterations", "5")) == 0
    first = load_checkpoint(tmp_path / "model_training" / "last.pt")
    assert (first.card.iteration, first.card.images) == (5, 20)
    tuned = tmp_path / "tuned.pt"
    assert train("--quiet", "--finetune", str(tmp_path / "model.pt"), "--pixels", "64", out=tuned) == 0
    card = load_checkpoint(tuned).card
    assert (card.kind, card.parent) == ("finetuned", load_checkpoint(tmp_path / "model.pt").digest)
    # Architecture and camera are those of the network it began with.
    assert card.settings.camera.image_px == 32
    assert main(["info", str(tuned)]) == 0
    assert "beginning with another network" in " ".join(capfd.readouterr().out.split())


# Validates, and so writes what a run is resumed from, as often as no option has it.
HASTY = """
import runpy
from dataclasses import replace
import xrayreg.cli.train as command
real = command._settings_of
often = {"validate_every_s": 0.3, "validation_poses": 4, "validation_xrays": 1}
command._settings_of = lambda arguments: replace(real(arguments), **often)
runpy.run_module("xrayreg", run_name="__main__")
"""


def ended_by(ward, tmp_path, end, *options: str, program: tuple[str, ...] = ("-m", "xrayreg")) -> subprocess.Popen:
    """A run in another process, ended by `end` once it trains."""
    command = [sys.executable, *program, "train", "--volume", str(ward.folder / "ct.mha"), *TINY, *options]
    child = subprocess.Popen(
        [*command, "--out", str(tmp_path / "model.pt"), "--minutes", "5"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "XRayRegistration")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and child.poll() is None:
        try:
            if status_of(tmp_path)["iteration"] > 0:
                break
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    end(child)
    return child


@pytest.mark.long
def test_ctrl_c_ends_the_run_with_its_best_network(ward, tmp_path):
    child = ended_by(ward, tmp_path, lambda child: child.send_signal(signal.SIGINT))
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "")
    assert "Network:" in out
    assert load_checkpoint(tmp_path / "model.pt").card.iteration > 0
    assert status_of(tmp_path)["state"] == "stopped"
    assert not np.isnan(status_of(tmp_path)["loss"])


def test_a_file_named_stop_ends_the_run_with_its_best_network(ward, tmp_path):
    stop = tmp_path / "model_training" / "stop"
    child = ended_by(ward, tmp_path, lambda child: stop.touch(), "--quiet", program=("-c", HASTY))
    assert (*child.communicate(timeout=60), child.returncode) == ("", "", 0)
    status = status_of(tmp_path)
    assert (status["state"], status["message"]) == ("stopped", "stopped as asked")
    assert 0 < load_checkpoint(tmp_path / "model.pt").card.iteration <= status["iteration"]


@pytest.mark.long
def test_a_network_is_trained_by_one_run_at_a_time(train, ward, tmp_path, capfd):
    told = []

    def second(child):
        told.append(train("--quiet"))
        child.send_signal(signal.SIGINT)

    child = ended_by(ward, tmp_path, second)
    assert child.communicate(timeout=60)[1] == ""
    err = capfd.readouterr().err
    assert (told, err.count("\n")) == ([2], 1)
    assert f"the run of process {child.pid} on " in err
    assert "choose another --out" in err
    # The first went on as if nothing had happened, and nobody holds the network now.
    assert child.returncode == 130
    assert (status_of(tmp_path)["pid"], status_of(tmp_path)["state"]) == (child.pid, "stopped")
    assert train("--quiet") == 0


def test_a_run_that_was_killed_is_resumed(train, ward, tmp_path):
    last = tmp_path / "model_training" / "last.pt"

    def killed(child):
        until = time.monotonic() + 120
        while not last.exists() and time.monotonic() < until and child.poll() is None:
            time.sleep(0.05)
        child.kill()

    child = ended_by(ward, tmp_path, killed, "--quiet", program=("-c", HASTY))
    child.communicate(timeout=60)
    before = load_checkpoint(last).card
    # As a process leaves it that is killed while it writes.
    (tmp_path / ".model-h4lf_1ed.pt").write_bytes(b"half")
    length = ("--minutes", "0", "--iterations", str(before.iteration + 3))
    assert train("--quiet", "--resume", length=length) == 0
    after = load_checkpoint(last).card
    assert (after.iteration, after.images) == (before.iteration + 3, before.images + 12)
    assert any(f"process {child.pid} " in note and "taken over" in note for note in after.notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "model_training"]


def test_ctrl_c_before_there_is_a_network_leaves_none(train, tmp_path, monkeypatch, capfd):
    real = training_run.prepare_training_set

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return real(*arguments, **named)

    monkeypatch.setattr(training_run, "prepare_training_set", interrupted)
    assert train() == 130
    assert "interrupted" in capfd.readouterr().err
    assert not (tmp_path / "model.pt").exists()
    assert status_of(tmp_path)["state"] == "stopped"


BAD = {
    "a missing CT": (("--volume", "nothing.nii"), "volume"),
    "a network without suffix": (("--out", "network"), r"\.pt"),
    "no length": (("--iterations", "0"), "minutes"),
    "an unknown preset": (("--distribution", "moon"), "chen"),
    "a missing network": (("--finetune", "nothing.pt"), "nothing.pt"),
    "nothing to resume": (("--resume",), "resume"),
    "both starts": (("--resume", "--finetune", "a.pt"), "not allowed"),
    "a network that is none": (("--finetune", __file__), "network"),
    "an image that does not fit the network": (("--pixels", "33"), "33"),
    "a camera without length": (("--sid", "0"), "0"),
    "labels without a map": (("--structures", "1"), "label map"),
    "a resnet of odd name": (("--backbone", "resnet9000"), "resnet18"),
    "no images": (("--batch", "0"), "batch"),
}


@pytest.mark.parametrize(("options", "named"), BAD.values(), ids=BAD)
def test_bad_input_is_told_in_one_line_and_no_network_is_written(train, tmp_path, monkeypatch, capfd, options, named):
    monkeypatch.chdir(tmp_path)
    assert train(*options) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert re.search(named, err), err
    assert not list(tmp_path.glob("*.pt"))


def test_a_failure_after_the_start_is_told_in_the_status(train, tmp_path, capfd):
    assert train("--pixels", "33") == 2
    capfd.readouterr()
    status = status_of(tmp_path)
    assert status["state"] == "failed"
    assert "33" in status["message"]


def test_another_ct_does_not_resume_a_run(train, ward, tmp_path, capfd):
    assert train("--quiet") == 0
    brighter = sitk.ReadImage(str(ward.folder / "ct.mha")) + 50
    sitk.WriteImage(brighter, str(tmp_path / "other.mha"))
    assert train("--resume", "--volume", str(tmp_path / "other.mha")) == 2
    assert "others (other.mha)" in capfd.readouterr().err


def test_several_cts_train_a_network_for_any_patient(train, ward, tmp_path):
    folder = tmp_path / "cts"
    folder.mkdir()
    ct = sitk.ReadImage(str(ward.folder / "ct.mha"))
    for number in range(2):
        sitk.WriteImage(ct + 20 * number, str(folder / f"ct{number}.mha"))
    (folder / "broken.mha").write_text("no image")
    assert train("--quiet", "--volume", str(folder)) == 0
    kept = load_checkpoint(tmp_path / "model.pt")
    assert (kept.card.kind, [subject.name for subject in kept.card.subjects]) == ("agnostic", ["ct0.mha", "ct1.mha"])
    assert any("broken.mha is left out" in note for note in kept.card.notes)
    assert kept.template is not None
    np.testing.assert_allclose(kept.template.isocentre, kept.card.subjects[0].isocentre)
