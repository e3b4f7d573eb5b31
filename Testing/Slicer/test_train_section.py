"""The Train section: what can be chosen, what it says while a process trains, and after every kind of end.

The process is fake_training.py, which tells what the real one tells; test_train_and_use.py trains a real network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodes
import panel_driver as user


def test_without_a_ct_every_button_says_what_is_missing(widget):
    ui = widget.panel.train.ui
    assert widget.ui.trainCollapsibleButton.collapsed
    assert ui.trainButton.toolTip == ui.trainResumeButton.toolTip == "Select a CT first."
    assert ui.trainCancelButton.toolTip == "No training is running."
    assert ui.trainCurveLabel.isHidden() and ui.trainCardLabel.isHidden()
    assert ui.modelLineEdit.text == ""


def test_a_network_is_kept_beside_the_scene_under_the_name_of_its_ct(app, widget, tmp_path):
    ui = widget.panel.train.ui
    widget.ui.volumeSelector.setCurrentNode(user.add_ct("Patient: 7"))
    assert Path(ui.modelLineEdit.text) == Path(app.temporaryPath, "XRayRegistration", "networks", "Patient_ 7.pt")
    app.scene.SetURL(str(tmp_path / "scene.mrb"))
    widget.panel.refresh()
    assert Path(ui.modelLineEdit.text) == tmp_path / "Patient_ 7.pt"
    app.scene.SetURL("")


def test_a_user_trains_a_network(app, widget, section, wishes, tmp_path, screenshot):
    ui, fractions, lines = section.ui, [], []
    widget.ui.trainCollapsibleButton.setProperty("collapsed", False)
    user.press(app, widget, ui.trainButton)
    assert ui.trainButton.toolTip == "A training is running; cancel it first."
    assert ui.trainCancelButton.enabled

    def ended():
        fractions.append(ui.trainProgressBar.value)
        lines.append(user.training_said(section))
        return not section.running

    user.until(app, ended)
    user.settle(app)
    assert fractions == sorted(fractions) and fractions[-1] == 100
    (told, *_more) = [line for line in lines if line.startswith("Iteration")]
    assert "812 images/s · " in told and " left · " in told and "°" in told
    assert user.training_said(section) == "Trained for 5:00 min: the time is up."
    assert not ui.trainCurveLabel.isHidden()
    card = ui.trainCardLabel.text
    assert card.startswith("CT: Patient: 7.") and "Median error 1.5° and 0.6/0.8/3.0 mm on simulated X-rays" in card
    (wish,) = wishes
    assert wish.model == tmp_path / "hip.pt" and wish.minutes == 5 and not wish.structures
    # Nobody needs the patient's CT beside the network any more.
    assert not wish.volume.exists() and not wish.volume.parent.exists()
    assert ui.trainButton.enabled and ui.trainButton.text == "Train anew"
    assert not user.without_reason(widget)
    screenshot("trained.png", lambda path: app.picture(widget, path))


def test_what_was_chosen_is_asked_for_and_saved_with_the_scene(app, widget, section, wishes, tmp_path):
    ui = section.ui
    ui.anatomySelector.setCurrentIndex(ui.anatomySelector.findText("Spine, frontal and lateral"))
    ui.minutesSpinBox.setValue(12)
    ui.trainDeviceSelector.setCurrentIndex(ui.trainDeviceSelector.findText("Processor"))
    nodes.reopen(app, tmp_path)
    user.settle(app)
    assert ui.anatomySelector.currentText == "Spine, frontal and lateral"
    assert ui.minutesSpinBox.value == 12 and ui.trainDeviceSelector.currentText == "Processor"
    assert Path(ui.modelLineEdit.text) == tmp_path / "hip.pt"
    user.press(app, widget, ui.trainButton)
    (wish,) = wishes
    assert (wish.distribution, wish.minutes, wish.device) == ("spine", 12, "cpu")
    assert wish.camera is None
    user.until_trained(app, section)


def test_cancel_ends_it_and_keeps_the_network_so_far(app, widget, section, wishes, tmp_path):
    wishes.story = "slow"
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    section.ui.trainCancelButton.click()
    assert user.training_said(section) == "Ending it; the best network so far is kept."
    assert section.ui.trainCancelButton.toolTip == "It is ending already."
    user.until_trained(app, section)
    assert user.training_said(section) == "Cancelled after 3:00 min. The best network so far is kept."
    assert (tmp_path / "hip.pt").is_file()
    assert section.ui.trainResumeButton.enabled


def test_resume_goes_on_for_the_time_that_is_set(app, widget, section, wishes):
    wishes.story = "slow"
    assert section.ui.trainResumeButton.toolTip == "There is no training of this file to go on with."
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    section.ui.trainCancelButton.click()
    user.until_trained(app, section)
    wishes.story = "done"
    section.ui.minutesSpinBox.setValue(4)
    user.press(app, widget, section.ui.trainResumeButton)
    user.until_trained(app, section)
    assert wishes[-1].resume and "--resume" in wishes[-1].arguments()
    # Three minutes had been trained, which count.
    assert wishes[-1].minutes == 7
    assert user.training_said(section) == "Trained for 5:00 min: the time is up."


def test_an_error_of_the_process_is_told_in_its_words(app, widget, section, wishes):
    wishes.story = "failed"
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    assert user.training_said(section) == "CT: expected bone, found only air; choose another CT"
    assert section.ui.trainButton.enabled and section.ui.trainCardLabel.isHidden()


def test_a_process_that_dies_without_a_word_is_told_so(app, widget, section, wishes):
    wishes.story = "silent"
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    assert user.training_said(section).startswith("The training ended without a word (exit code ")
    assert user.training_said(section).endswith("The best network so far is kept.")


def test_a_python_that_does_not_start_is_told(app, widget, section, monkeypatch):
    from XRayRegistrationLib.jobs import training

    monkeypatch.setattr(training, "command", lambda wish: [sys.executable, "-c", "raise RuntimeError('no way')"])
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    assert user.training_said(section) == "The training ended with an error: RuntimeError: no way"


def test_another_ct_has_another_network(app, widget, section, wishes):
    parameters = widget.logic.getParameterNode()
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    first = parameters.volume
    parameters.volume = user.add_ct("Another")
    user.settle(app)
    assert Path(section.ui.modelLineEdit.text).name == "Another.pt"
    assert (
        user.training_said(section) == ""
        and section.ui.trainCardLabel.isHidden()
        and section.ui.trainCurveLabel.isHidden()
    )
    assert section.ui.trainProgressBar.value == 0
    parameters.volume = first
    user.settle(app)
    assert user.training_said(section).startswith("Trained for ")


def test_cancelling_while_the_ct_is_written_starts_nothing(app, widget, section, wishes, tmp_path, monkeypatch):
    from xrayreg.worker import requests
    from xrayreg.worker.service import Handler

    def half(_room, content, on_news):
        """Written for ever, and cleaned up when that is given up."""
        Path(content["path"]).write_text("half")
        try:
            while True:
                on_news(None)
        finally:
            Path(content["path"]).unlink()

    monkeypatch.setattr(requests, "HANDLERS", {**requests.HANDLERS, "training files": Handler(half)})
    section.ui.trainButton.click()
    user.until(app, lambda: "Writing" in user.training_said(section))
    assert list(tmp_path.rglob("*.nii"))
    assert section.ui.trainCancelButton.enabled
    assert widget.ui.volumeSelector.toolTip == "Preparing the training is running; cancel it first."
    section.ui.trainCancelButton.click()
    user.settle(app, 0.3)
    assert not wishes and user.training_said(section) == "Cancelled."
    assert not list(tmp_path.rglob("*.nii"))
    assert section.ui.trainButton.enabled


def test_closing_the_scene_while_the_ct_is_written_starts_nothing(app, widget, section, wishes):
    section.ui.trainButton.click()
    app.scene.Clear(0)
    user.settle(app, 0.3)
    assert not wishes and user.training_said(section) == ""
    assert section.ui.trainButton.toolTip == "Select a CT first."


def test_a_place_that_takes_no_files_becomes_a_line(app, widget, section, wishes, tmp_path):
    (tmp_path / "file").write_text("in the way")
    section.chooseModel(str(tmp_path / "file" / "hip.pt"))
    user.press(app, widget, section.ui.trainButton)
    assert user.training_said(section).startswith("output folder: expected a folder that can be written to")
    assert not wishes


def test_a_full_disk_becomes_a_line(app, widget, section, wishes, monkeypatch):
    from XRayRegistrationLib.jobs import training

    monkeypatch.setattr(training, "_SPARE", 1 << 60)
    user.press(app, widget, section.ui.trainButton)
    assert "MB to put a copy of the CT into" in user.training_said(section) and not wishes


def test_the_dialog_names_the_file(app, widget, section, tmp_path):
    section.ui.modelBrowseButton.click()
    user.choose_file(app, tmp_path / "knee")
    assert Path(section.ui.modelLineEdit.text) == tmp_path / "knee.pt"
    section.ui.modelLineEdit.setText("")
    section.onModel()
    assert Path(section.ui.modelLineEdit.text).name == "Patient_ 7.pt"


def test_choosing_a_ct_loads_no_library(tmp_path):
    """They take seconds, for which the window would stand still."""
    code = (
        "import sys, panel_driver as user; from slicer_harness.application import start; app = start(); "
        "widget = app.openModule(user.MODULE); widget.ui.volumeSelector.setCurrentNode(user.add_ct()); "
        "user.settle(app); assert widget.panel.train.ui.trainButton.enabled; "
        "sys.exit(' '.join({'torch', 'nibabel', 'SimpleITK', 'numba'} & set(sys.modules)) or None)"
    )
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
