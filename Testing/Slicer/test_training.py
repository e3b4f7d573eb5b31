"""A training in the background: what its process is given, and that it outlives panel, scene and Slicer.

The process is fake_training.py, which tells what the real one tells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import nodes
import numpy as np
import panel_driver as user
import pytest


def test_the_process_gets_the_ct_in_ras_world_and_the_ticked_structures(app, widget, section, wishes):
    from xrayreg.io import read_labels, read_volume
    from XRayRegistrationLib.mrml.world import worldFromIndex

    wishes.story = "slow"
    ct = nodes.add_ct(name="Oblique")
    nodes.transform(nodes.turned(), ct)
    first = nodes.box(slice(5, 20), slice(5, 30), slice(10, 40))
    second = nodes.box(slice(22, 35), slice(5, 30), slice(10, 40))
    bones = nodes.add_segmentation(first, second)
    nodes.transform(nodes.turned(), bones)
    parameters = widget.logic.getParameterNode()
    parameters.volume, parameters.segmentation, parameters.structures = ct, bones, ["bone_2"]
    user.settle(app)
    assert section.ui.trainStructuresLabel.text == "only bone 2"
    user.press(app, widget, section.ui.trainButton)
    (wish,) = wishes
    assert wish.structures == (2,)
    volume = read_volume(wish.volume)
    import slicer

    np.testing.assert_array_equal(volume.values, slicer.util.arrayFromVolume(ct))
    # NIfTI keeps seven digits.
    np.testing.assert_allclose(volume.grid.volume_from_index, worldFromIndex(ct, "CT"), atol=1e-4)
    labels = read_labels(wish.labels, volume)
    np.testing.assert_array_equal(labels, 1 * first + 2 * second)
    section.ui.trainCancelButton.click()
    user.until_trained(app, section)


def test_the_camera_is_that_of_the_widest_xray(app, widget, section, wishes):
    user.choose_xray(app, widget, user.add_xray("small", (64, 48)))
    user.press(app, widget, section.ui.trainButton)
    sid, field = wishes[0].camera
    (view,) = widget.logic.rig().views
    assert sid == pytest.approx(view.projection.sid_mm)
    assert field == pytest.approx(64 * view.projection.pixel_mm[0])
    user.until_trained(app, section)
    user.choose_xray(app, widget, user.add_xray("wide", (64, 48), 2.0))
    from XRayRegistrationLib.mrml import importing

    rig = widget.logic.rig()
    wide = rig.views[1].projection.changed("test", pixel_mm=(20.0, 20.0))
    importing.setGeometry(rig, rig.views[1], wide)
    user.press(app, widget, section.ui.trainButton)
    assert wishes[1].camera[1] / wishes[1].camera[0] == pytest.approx(64 * 20.0 / wide.sid_mm)
    user.until_trained(app, section)


def test_a_process_that_does_not_listen_is_ended(app, widget, section, wishes, monkeypatch):
    from XRayRegistrationLib.jobs import runFolder

    monkeypatch.setattr(runFolder, "PATIENCE_S", 0.5)
    monkeypatch.setattr(runFolder, "LAST_PATIENCE_S", 5.0)
    wishes.story = "deaf"
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    pid = section.run.pids()[-1]
    section.ui.trainCancelButton.click()
    user.until_trained(app, section)
    assert user.training_said(section) == "Cancelled after 2:00 min. The best network so far is kept."
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_cancel_that_the_process_swept_away_is_told_again(app, widget, section, wishes):
    """A run removes the file `stop` that it finds when it begins."""
    wishes.story = "slow"
    user.press(app, widget, section.ui.trainButton)
    section.ui.trainCancelButton.click()
    user.until_trained(app, section)
    assert user.training_said(section).startswith("Cancelled after ")


def test_it_goes_on_without_module_and_scene_and_is_found_again(app, widget, section, wishes, tmp_path, monkeypatch):
    from XRayRegistrationLib.jobs import training

    wishes.story = "slow"
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    app.exit(widget)
    user.settle(app)
    app.scene.Clear(0)
    user.settle(app)
    assert section.run.moment().running
    app.enter(widget)
    assert "Iteration" in user.training_said(section)
    app.closeModule(widget)
    # As in a Slicer that was started anew, which holds no process.
    monkeypatch.setattr(training, "_runs", {})
    opened = app.openModule(user.MODULE)
    found = opened.panel.train
    assert found.run is not section.run and "Iteration" in user.training_said(found)
    assert found.ui.trainButton.toolTip in ("Select a CT first.", "A training is running; cancel it first.")
    found.ui.trainCancelButton.click()
    user.until_trained(app, found)
    assert user.training_said(found) == "Cancelled after 3:00 min. The best network so far is kept."
    assert (tmp_path / "hip.pt").is_file()


def test_what_ended_meanwhile_is_told_when_its_ct_is_back(app, widget, section, wishes, tmp_path, monkeypatch):
    from XRayRegistrationLib import networks
    from XRayRegistrationLib.jobs import training

    wishes.story = "slow"
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    app.save_scene(tmp_path / "scene.mrb")
    app.closeModule(widget)
    app.scene.Clear(0)
    (tmp_path / "hip_training" / "stop").touch()
    monkeypatch.setattr(training, "_runs", {})
    while training.running() is not None:
        time.sleep(0.05)
    opened = app.openModule(user.MODULE)
    assert user.training_said(opened.panel.train) == ""
    app.load_scene(tmp_path / "scene.mrb")
    user.settle(app)
    assert user.training_said(opened.panel.train) == "Cancelled after 3:00 min. The best network so far is kept."
    assert tmp_path / "hip.pt" in networks.known()
    assert not list((tmp_path / "hip_training").glob("input/*"))


def test_writing_a_large_ct_lets_the_window_live(app, widget, section, wishes):
    """Each step of writing 64 MB stays far below what one notices; the bound leaves room for a busy computer."""
    import slicer

    values = np.random.default_rng(0).integers(-1000, 1500, (128, 512, 512)).astype(np.int16)
    node = slicer.util.addVolumeFromArray(values, np.diag([0.7, 0.7, 1.0, 1.0]), "Large")
    widget.logic.getParameterNode().volume = node
    steps, longest = widget.logic.trainingSteps(), 0.0
    # Reading is shared with everything else and measured there.
    written = (step for step in steps if "Writing" in step[1])
    next(written)
    while True:
        began = time.monotonic()
        if next(written, None) is None:
            break
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.1
    assert len(wishes) == 1


def test_scripts_start_a_training_and_follow_it(app, widget, section, wishes):
    run = widget.logic.startTraining(more=("--iterations", "3"))
    assert wishes[0].arguments()[-2:] == ["--iterations", "3"]
    while run.moment().running:
        time.sleep(0.05)
    assert run.moment().state == "done" and run.hasNetwork()
    assert [row["iteration"] for row in run.curve()] == [100, 200, 300, 400, 500]


def test_a_training_that_a_power_failure_ended_is_not_taken_for_the_program_that_has_its_number_now(app, tmp_path):
    from XRayRegistrationLib.jobs.runFolder import Run

    run = Run(tmp_path / "hip.pt")
    run.folder.mkdir()
    status = {"state": "training", "pid": os.getpid(), "iteration": 7}
    (run.folder / "status.json").write_text(json.dumps({**status, "updated": datetime.now(UTC).isoformat()}))
    assert run.moment().running
    (run.folder / "status.json").write_text(json.dumps({**status, "updated": "2020-02-02T20:20:20+00:00"}))
    assert run.moment().state == "failed"
    assert run.moment().message == "The training ended without a word."


def test_half_a_file_tells_nothing_new(app, tmp_path):
    from XRayRegistrationLib.jobs.runFolder import Run

    run = Run(tmp_path / "hip.pt")
    run.folder.mkdir()
    status = json.dumps({"state": "done", "message": "the time is up", "iteration": 7})
    (run.folder / "status.json").write_text(status)
    assert run.moment().iteration == 7
    (run.folder / "status.json").write_text(status[:20])
    (run.folder / "curve.csv").write_text("seconds,clean_mtre_mm\n1,2\n2,three")
    assert run.moment().iteration == 7
    assert run.curve() == []


def test_a_process_lives_on_when_slicer_ends(tmp_path):
    """What it says goes to a file, so that it need not end when nobody listens any more."""
    code = "import time, pathlib; time.sleep(1); print('still here'); pathlib.Path('after').touch()"
    parent = (
        "import sys, types; sys.modules['slicer.i18n'] = types.SimpleNamespace(tr=str); "
        f"from XRayRegistrationLib.worker import python; python.launch([sys.executable, '-c', {code!r}], 'log.txt')"
    )
    paths = {**os.environ, "PYTHONPATH": str(user.ROOT / "XRayRegistration")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", parent], cwd=tmp_path, env=paths, check=True)
    assert not (tmp_path / "after").exists()
    end = time.monotonic() + 30
    while not (tmp_path / "after").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (tmp_path / "after").exists()
    assert (tmp_path / "log.txt").read_text().strip() == "still here"


def test_saving_the_scene_elsewhere_does_not_lose_the_network(app, widget, section, wishes, tmp_path):
    """What is suggested lies beside the scene, and the scene may move while a network is trained."""
    section.chooseModel("")
    app.scene.SetURL(str(tmp_path / "before" / "scene.mrb"))
    (tmp_path / "before").mkdir()
    user.press(app, widget, section.ui.trainButton)
    app.scene.SetURL(str(tmp_path / "scene.mrb"))
    user.until_trained(app, section)
    app.scene.SetURL("")
    assert section.run.model == tmp_path / "before" / "Patient_ 7.pt"
    assert widget.logic.getParameterNode().network == str(section.run.model)
    assert user.training_said(section).startswith("Trained for ")
