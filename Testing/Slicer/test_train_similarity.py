"""Training a similarity in the panel: beside a network for the initial pose, and told in its own figures.

The process is fake_training.py, which tells what the real one tells.
"""

from __future__ import annotations

from pathlib import Path

import nodes
import panel_driver as user
import pytest
from similarity_files import write_similarity


def choose_kind(app, section, text):
    selector = section.ui.kindSelector
    selector.setCurrentIndex(selector.findText(text))
    user.settle(app)


def test_every_architecture_that_is_known_can_be_chosen(widget):
    from xrayreg.settings import SIMILARITY_NAMES

    selector = widget.panel.train.ui.kindSelector
    offered = [(str(selector.itemText(n)), str(selector.itemData(n))) for n in range(int(selector.count))]
    assert offered == [
        ("Initial pose (pose regression)", ""),
        ("Similarity: Embedding (ours)", "embedding"),
        ("Similarity: ProST", "prost"),
        ("Similarity: ProST (transformer)", "prost-vit"),
        ("Similarity: Correlation-driven", "correlation"),
        ("Similarity: SOPI", "sopi"),
    ]
    assert {name for _text, name in offered if name} == set(SIMILARITY_NAMES)
    assert selector.toolTip


def test_a_user_trains_a_similarity(app, widget, section, wishes, tmp_path, screenshot):
    choose_kind(app, section, "Similarity: ProST")
    section.chooseModel(str(tmp_path / "hip-prost"))
    widget.ui.trainCollapsibleButton.setProperty("collapsed", False)
    user.press(app, widget, section.ui.trainButton)
    assert section.ui.kindSelector.enabled
    lines = []

    def ended():
        lines.append(user.training_said(section))
        return not section.running

    user.until(app, ended)
    user.settle(app)
    (told, *_more) = [line for line in lines if line.startswith("Iteration")]
    assert "812 images/s · " in told and told.endswith("° from the ideal one")
    assert user.training_said(section) == "Trained for 5:00 min: the time is up."
    (wish,) = wishes
    asked = wish.arguments()
    assert asked[asked.index("--kind") :][:4] == ["--kind", "similarity", "--architecture", "prost"]
    assert wish.model == tmp_path / "hip-prost.pt"
    assert not section.ui.trainCurveLabel.isHidden()
    card = section.ui.trainCardLabel.text
    assert card.endswith("Median: gradient 32° from the ideal one (zero-mean correlation: 61°).")
    # What Register does changes only when somebody wants it to.
    assert widget.logic.getParameterNode().network == ""
    screenshot("similarity_trained.png", lambda path: app.picture(widget, path))


def test_a_network_for_the_initial_pose_is_asked_for_as_ever(app, widget, section, wishes):
    user.press(app, widget, section.ui.trainButton)
    assert "--kind" not in wishes[0].arguments() and "--architecture" not in wishes[0].arguments()
    user.until_trained(app, section)


def test_no_kind_overwrites_the_file_of_another(app, widget, section, wishes, tmp_path):
    app.scene.SetURL(str(tmp_path / "scene.mrb"))
    names = []
    for number in range(int(section.ui.kindSelector.count)):
        section.ui.kindSelector.setCurrentIndex(number)
        user.settle(app)
        names.append(Path(section.ui.modelLineEdit.text))
    app.scene.SetURL("")
    # Somebody has chosen the first one.
    assert names[0] == tmp_path / "hip.pt"
    assert names[1] == tmp_path / "Patient_ 7-embedding.pt"
    assert len(set(names)) == 6
    section.ui.kindSelector.setCurrentIndex(0)
    user.settle(app)
    assert Path(section.ui.modelLineEdit.text) == tmp_path / "hip.pt"


def test_each_kind_shows_its_own_training(app, widget, section, wishes, tmp_path):
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    assert widget.logic.getParameterNode().network == str(tmp_path / "hip.pt")
    choose_kind(app, section, "Similarity: SOPI")
    assert user.training_said(section) == "" and section.ui.trainCardLabel.isHidden()
    assert section.ui.trainButton.text == "Train"
    assert section.ui.trainResumeButton.toolTip == "There is no training of this file to go on with."
    section.chooseModel(str(tmp_path / "hip-sopi.pt"))
    user.press(app, widget, section.ui.trainButton)
    user.until_trained(app, section)
    assert "gradient" in section.ui.trainCardLabel.text
    assert widget.logic.getParameterNode().network == str(tmp_path / "hip.pt")
    assert (tmp_path / "hip.pt").is_file() and (tmp_path / "hip-sopi.pt").is_file()


def test_cancel_and_resume_go_on_with_the_similarity(app, widget, section, wishes, tmp_path):
    choose_kind(app, section, "Similarity: Correlation-driven")
    section.chooseModel(str(tmp_path / "sim.pt"))
    wishes.story = "slow"
    user.press(app, widget, section.ui.trainButton)
    user.until_training(app, section)
    section.ui.trainCancelButton.click()
    user.until_trained(app, section)
    assert user.training_said(section) == "Cancelled after 3:00 min. The best network so far is kept."
    wishes.story = "done"
    user.press(app, widget, section.ui.trainResumeButton)
    user.until_trained(app, section)
    assert wishes[-1].resume and wishes[-1].similarity == "correlation" and wishes[-1].minutes == 8


def test_the_kind_is_saved_with_the_scene(app, widget, section, tmp_path):
    choose_kind(app, section, "Similarity: ProST (transformer)")
    section.chooseModel(str(tmp_path / "sim.pt"))
    nodes.reopen(app, tmp_path)
    user.settle(app)
    assert section.ui.kindSelector.currentText == "Similarity: ProST (transformer)"
    assert Path(section.ui.modelLineEdit.text) == tmp_path / "sim.pt"
    app.scene.Clear(0)
    user.settle(app)
    assert section.ui.kindSelector.currentText == "Initial pose (pose regression)"


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_holds_another_kind_is_kept(app, widget, section, wishes, tmp_path, resume):
    """Typed by somebody, or chosen in the dialog, which asks nothing because resuming begins with it too."""
    (tmp_path / "sim_training").mkdir()
    (tmp_path / "sim_training" / "last.pt").touch()
    section.chooseModel(str(write_similarity(tmp_path / "sim.pt", "sopi")))
    user.press(app, widget, section.ui.trainResumeButton if resume else section.ui.trainButton)
    assert user.training_said(section) == (
        "sim.pt: expected a network for the initial pose, found a network for the similarity SOPI; choose another file"
    )
    choose_kind(app, section, "Similarity: ProST")
    section.chooseModel(str(tmp_path / "sim.pt"))
    user.press(app, widget, section.ui.trainButton)
    assert user.training_said(section).startswith("sim.pt: expected a network for the similarity ProST, found ")
    assert not wishes
