"""A real network, as good as a few iterations make it: trained from the panel, chosen, asked, and started from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import panel_driver as user
import pytest
from similarity_files import write_network

_SHORT = ["--iterations", "20", "--pixels", "32", "--batch", "16"]
_SHORTER = ["--iterations", "4", "--batch", "4"]
# Packages that the backend may use, and Slicer does not bring along.
_ABSENT = ("rich", "matplotlib", "monai", "tensorboardX", "tqdm")
_SITE = f"""
import sys, importlib.util

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {_ABSENT}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
_found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.split(".")[0] in {_ABSENT} else _found(name, package)
)
"""


@pytest.fixture(scope="module")
def python_of_slicer(tmp_path_factory) -> str:
    """A folder that makes a Python lack what Slicer's lacks."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(_SITE)
    return str(folder)


@pytest.fixture(scope="module")
def trained(case, tmp_path_factory) -> Path:
    """A network for the phantom, trained by the command line."""
    model = tmp_path_factory.mktemp("trained") / "phantom.pt"
    command = [sys.executable, "-m", "xrayreg", "train", "--volume", str(case.parent / "ct.nii.gz"), "--quiet"]
    paths = {**os.environ, "PYTHONPATH": str(user.ROOT / "XRayRegistration")}
    subprocess.run([*command, "--out", str(model), *_SHORT], env=paths, check=True)
    return model


@pytest.fixture
def known(case, tmp_path) -> Path:
    """A network for the phantom that has learned nothing: where it is offered depends on its card alone."""
    from xrayreg.io import read_volume

    (tmp_path / "known").mkdir()
    return write_network(tmp_path / "known" / "phantom.pt", read_volume(case.parent / "ct.nii.gz"))


@pytest.fixture
def loaded(app, widget, case, tmp_path, monkeypatch, python_of_slicer):
    """The panel with the phantom; trainings are short, in a Python that lacks what Slicer's lacks."""
    import qt

    from XRayRegistrationLib.jobs import training

    # No network of an earlier test.
    qt.QSettings().remove("XRayRegistration/networks")
    original = training.command
    monkeypatch.setattr(
        training, "command", lambda wish: [*original(wish), *_SHORT, *(_SHORTER if wish.similarity else [])]
    )
    monkeypatch.setenv("PYTHONPATH", python_of_slicer)
    user.import_case(app, widget, case)
    widget.panel.train.chooseModel(str(tmp_path / "phantom.pt"))
    yield widget
    run = training.running()
    if run is not None:
        run.end()


def train(app, widget) -> None:
    user.press(app, widget, widget.panel.train.ui.trainButton)
    # The images to judge by take most of the time, on a busy computer a minute.
    user.until_trained(app, widget.panel.train, 240.0)
    settle(app, widget)


def choose(app, widget, path) -> None:
    part = widget.panel.pose.network
    part.ui.networkBrowseButton.click()
    user.choose_file(app, path)
    settle(app, widget)


def settle(app, widget) -> None:
    """Wait until the cards of all networks have been read."""
    user.settle(app)
    user.until(app, lambda: widget.panel.survey.settled)
    user.settle(app)


def test_a_network_is_trained_appears_and_moves_the_c_arm(app, loaded, tmp_path):
    train_ui, ui = loaded.panel.train.ui, loaded.panel.pose.network.ui
    assert ui.fromNetworkButton.toolTip == "Choose a network first, or train one in the section above."
    train(app, loaded)
    assert train_ui.trainStatusLabel.text.endswith("all iterations are done.")
    assert "Median error " in train_ui.trainCardLabel.text
    # Trained here for this CT: chosen by itself.
    assert ui.networkSelector.currentText == "phantom"
    assert ui.networkCardLabel.text.startswith("Trained on ct, ")
    assert "another" not in ui.networkCardLabel.text
    before = user.pose_of(loaded)
    assert ui.fromNetworkButton.enabled
    ui.fromNetworkButton.click()
    user.finish(app, loaded)
    told = loaded.ui.poseMessageLabel.text
    assert told.startswith("The C-arm stands where the network sees it; it was not refined.")
    after = user.pose_of(loaded)
    assert not np.allclose(after, before)
    np.testing.assert_allclose(after[:3, :3] @ after[:3, :3].T, np.eye(3), atol=1e-6)


@pytest.mark.long
def test_a_registration_starts_from_the_network(app, loaded, trained):
    ui = loaded.ui
    ui.startSelector.setCurrentIndex(ui.startSelector.findText("Network, then a search if needed"))
    assert ui.registerButton.toolTip == "Choose a network in the section Initial pose, or another start."
    assert not ui.registerButton.enabled
    choose(app, loaded, trained)
    ui.effortSelector.setCurrentIndex(0)
    user.register(app, loaded)
    assert ui.statusLabel.text.startswith("Done in ")
    from XRayRegistrationLib.mrml import outcome

    content = outcome.outcomeOf(loaded.logic.rig()).content
    assert "network" in content["start"] or "search" in content["start"]


@pytest.mark.long
def test_a_similarity_is_trained_offered_and_used(app, loaded, tmp_path):
    from XRayRegistrationLib.mrml import outcome

    train_ui, ui = loaded.panel.train.ui, loaded.panel.register.similarity.ui
    train_ui.kindSelector.setCurrentIndex(train_ui.kindSelector.findText("Similarity: ProST"))
    loaded.panel.train.chooseModel(str(tmp_path / "phantom-prost.pt"))
    train(app, loaded)
    assert train_ui.trainStatusLabel.text.endswith("all iterations are done.")
    assert not train_ui.trainCurveLabel.isHidden()
    assert ui.similaritySelector.currentText == "none" and ui.similaritySelector.count == 2
    assert loaded.panel.pose.network.ui.networkSelector.count == 1
    ui.similaritySelector.setCurrentIndex(ui.similaritySelector.findText("phantom-prost"))
    settle(app, loaded)
    told = r"Similarity ProST\. Trained on ct, .*: gradient \d+° from the ideal one \(zero-mean correlation: \d+°\)\."
    for label in (train_ui.trainCardLabel, ui.similarityCardLabel):
        assert re.fullmatch(told, label.text), label.text
    loaded.ui.startSelector.setCurrentIndex(1)
    loaded.ui.effortSelector.setCurrentIndex(0)
    user.register(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("Done in ")
    assert any("phantom-prost.pt" in note for note in outcome.outcomeOf(loaded.logic.rig()).content["notes"])


def test_another_patients_network_is_not_offered_and_not_asked(app, loaded, known):
    ui = loaded.panel.pose.network.ui
    choose(app, loaded, known)
    loaded.logic.getParameterNode().volume = user.add_ct("Another")
    settle(app, loaded)
    assert ui.networkSelector.currentText == "phantom"
    assert ui.networkCardLabel.text.endswith("This CT is another one.")
    assert ui.fromNetworkButton.toolTip == "This network was trained on another CT, or on this one turned or resampled."
    ui.networkSelector.setCurrentIndex(0)
    user.settle(app)
    assert ui.networkSelector.count == 1
    assert ui.networkCardLabel.isHidden()


def test_a_file_that_is_no_network_is_told(app, loaded, tmp_path):
    part = loaded.panel.pose.network
    (tmp_path / "no.pt").write_text("nothing of the kind")
    choose(app, loaded, tmp_path / "no.pt")
    assert part.ui.networkSelector.currentText == "no"
    assert part.ui.networkCardLabel.text.startswith("network no.pt: expected a network of this program")
    assert part.ui.fromNetworkButton.toolTip == part.ui.networkCardLabel.text
    (tmp_path / "no.pt").unlink()
    loaded.panel.refresh()
    assert "There is no file" in part.ui.fromNetworkButton.toolTip


def test_the_choice_is_saved_with_the_scene(app, loaded, tmp_path, known):
    choose(app, loaded, known)
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    user.settle(app)
    app.load_scene(tmp_path / "scene.mrb")
    settle(app, loaded)
    ui = loaded.panel.pose.network.ui
    assert ui.networkSelector.currentText == "phantom"
    assert "another" not in ui.networkCardLabel.text and ui.networkCardLabel.text
    assert Path(loaded.logic.getParameterNode().network) == known
