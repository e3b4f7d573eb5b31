"""A trained similarity in the panel: where it is offered and where not, registered with, saved, and gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import panel_driver as user
import pytest
from similarity_files import write_network, write_similarity

SIMILARITY_IN_POSE = (
    "network sim.pt: expected one that finds poses, found a trained similarity (ProST), which compares images; choose "
    "it in the section Register"
)
POSE_IN_SIMILARITY = (
    "similarity phantom.pt: expected a trained similarity, found a network that finds poses; choose it in the section "
    "Initial pose"
)


@pytest.fixture
def similarity(case, tmp_path):
    """A similarity that knows the phantom."""
    from xrayreg.io import read_volume

    return write_similarity(tmp_path / "sim.pt", "prost", read_volume(case.parent / "ct.nii.gz"))


@pytest.fixture
def network(case, tmp_path):
    """A network for the initial pose that knows the phantom, and has learned nothing."""
    from xrayreg.io import read_volume

    return write_network(tmp_path / "phantom.pt", read_volume(case.parent / "ct.nii.gz"))


@pytest.fixture
def loaded(app, widget, case):
    """The panel with the phantom, no network known; the least effort, and no search."""
    import qt

    qt.QSettings().remove("XRayRegistration/networks")
    user.import_case(app, widget, case)
    widget.ui.effortSelector.setCurrentIndex(0)
    widget.ui.startSelector.setCurrentIndex(1)
    return widget


def settle(app, widget):
    """Wait until the cards of all networks have been read."""
    user.settle(app)
    user.until(app, lambda: widget.panel.survey.settled)
    user.settle(app)


def browse(app, widget, button, path):
    button.click()
    user.choose_file(app, path)
    settle(app, widget)


def choose(app, widget, path):
    browse(app, widget, widget.panel.register.similarity.ui.similarityBrowseButton, path)


def offered(selector):
    return [str(selector.itemText(n)) for n in range(int(selector.count))]


def test_each_kind_is_offered_where_it_belongs_alone(app, loaded, similarity, network):
    from XRayRegistrationLib import networks

    ui, pose = loaded.panel.register.similarity.ui, loaded.panel.pose.network.ui
    assert offered(ui.similaritySelector) == offered(pose.networkSelector) == ["none"]
    assert ui.similarityCardLabel.isHidden()
    for path in (similarity, network):
        networks.remember(path)
    loaded.panel.refresh()
    settle(app, loaded)
    assert offered(ui.similaritySelector) == ["none", "sim"]
    assert offered(pose.networkSelector) == ["none", "phantom"]
    assert ui.similaritySelector.currentText == pose.networkSelector.currentText == "none"


def test_a_similarity_as_network_for_the_initial_pose_is_told_where_it_belongs(app, loaded, similarity):
    from xrayreg.checks import InputError

    pose = loaded.panel.pose.network.ui
    browse(app, loaded, pose.networkBrowseButton, similarity)
    assert pose.networkCardLabel.text == pose.fromNetworkButton.toolTip == SIMILARITY_IN_POSE
    assert not pose.fromNetworkButton.enabled
    assert loaded.ui.registerButton.enabled
    loaded.ui.startSelector.setCurrentIndex(loaded.ui.startSelector.findText("Network, then a search if needed"))
    assert loaded.ui.registerButton.toolTip == SIMILARITY_IN_POSE
    for work in (loaded.logic.estimate, loaded.logic.register):
        with pytest.raises(InputError) as told:
            work()
        assert str(told.value) == SIMILARITY_IN_POSE
    # It is known now, where it belongs.
    assert offered(loaded.panel.register.similarity.ui.similaritySelector) == ["none", "sim"]


def test_a_network_for_the_initial_pose_as_similarity_is_told_where_it_belongs(app, loaded, network):
    from xrayreg.checks import InputError

    ui = loaded.panel.register.similarity.ui
    choose(app, loaded, network)
    assert ui.similarityCardLabel.text == loaded.ui.registerButton.toolTip == POSE_IN_SIMILARITY
    assert not loaded.ui.registerButton.enabled
    with pytest.raises(InputError) as told:
        loaded.logic.register()
    assert str(told.value) == POSE_IN_SIMILARITY
    ui.similaritySelector.setCurrentIndex(0)
    user.settle(app)
    assert loaded.ui.registerButton.enabled and ui.similarityCardLabel.isHidden()
    assert offered(loaded.panel.pose.network.ui.networkSelector) == ["none", "phantom"]


def test_a_user_registers_with_a_similarity(app, loaded, similarity, screenshot):
    from XRayRegistrationLib.mrml import outcome

    ui = loaded.panel.register.similarity.ui
    choose(app, loaded, similarity)
    assert ui.similaritySelector.currentText == "sim"
    card = ui.similarityCardLabel.text
    assert card.startswith("Similarity ProST. Trained on ct, ")
    assert card.endswith("Median: gradient 32° from the ideal one (zero-mean correlation: 61°).")
    before, said = user.pose_of(loaded), []
    loaded.ui.registerButton.click()
    assert ui.similaritySelector.toolTip == "A registration is running; cancel it first."

    def ended():
        said.append(loaded.ui.statusLabel.text)
        return not loaded.panel.running

    user.until(app, ended)
    user.settle(app)
    assert said[-1].startswith("Done in ")
    assert any("learned similarity" in line for line in said)
    content = outcome.outcomeOf(loaded.logic.rig()).content
    assert any("sim.pt (prost)" in note for note in content["notes"])
    # Where it leads astray the pose shown is tried too.
    assert loaded.ui.verdictTitleLabel.text == "<b>Accepted</b>"
    screenshot("similarity_used.png", lambda path: app.picture(loaded, path, scroll_px=560))
    loaded.ui.undoButton.click()
    np.testing.assert_allclose(user.pose_of(loaded), before, atol=1e-9)
    assert ui.similaritySelector.currentText == "sim"


def test_without_one_a_registration_asks_none(app, loaded, similarity):
    from XRayRegistrationLib.mrml import outcome

    choose(app, loaded, similarity)
    loaded.panel.register.similarity.ui.similaritySelector.setCurrentIndex(0)
    user.settle(app)
    assert loaded.logic.getParameterNode().similarity == ""
    user.register(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("Done in ")
    assert not any("similarity" in note for note in outcome.outcomeOf(loaded.logic.rig()).content["notes"])


def test_the_choice_and_what_it_has_found_are_saved_with_the_scene(app, loaded, similarity, tmp_path):
    from XRayRegistrationLib.mrml import outcome

    choose(app, loaded, similarity)
    user.register(app, loaded)
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    user.settle(app)
    assert loaded.panel.register.similarity.ui.similaritySelector.currentText == "none"
    app.load_scene(tmp_path / "scene.mrb")
    settle(app, loaded)
    ui = loaded.panel.register.similarity.ui
    assert ui.similaritySelector.currentText == "sim"
    assert ui.similarityCardLabel.text.startswith("Similarity ProST. ")
    assert Path(loaded.logic.getParameterNode().similarity) == similarity
    assert any("sim.pt" in note for note in outcome.outcomeOf(loaded.logic.rig()).content["notes"])


def test_a_file_that_is_gone_is_told(app, loaded, similarity):
    ui = loaded.panel.register.similarity.ui
    choose(app, loaded, similarity)
    similarity.unlink()
    # Between two looks of the panel, as when somebody tidies a folder up.
    user.register(app, loaded)
    assert "sim.pt" in loaded.ui.statusLabel.text and "\n" not in loaded.ui.statusLabel.text
    assert ui.similarityCardLabel.text.startswith("There is no file ")
    assert loaded.ui.registerButton.toolTip == f"There is no file {similarity} any more."
    ui.similaritySelector.setCurrentIndex(0)
    user.settle(app)
    assert loaded.ui.registerButton.enabled
    assert offered(ui.similaritySelector) == ["none"]


def test_a_file_that_is_no_network_is_told(app, loaded, tmp_path):
    (tmp_path / "no.pt").write_text("nothing of the kind")
    choose(app, loaded, tmp_path / "no.pt")
    told = loaded.panel.register.similarity.ui.similarityCardLabel.text
    assert told.startswith("network no.pt: expected a network of this program")
    assert loaded.ui.registerButton.toolTip == told


def test_another_patients_similarity_is_not_offered_but_may_be_used(app, loaded, tmp_path):
    ui = loaded.panel.register.similarity.ui
    choose(app, loaded, write_similarity(tmp_path / "other.pt", "sopi"))
    assert ui.similarityCardLabel.text.endswith("This CT is another one.")
    assert loaded.ui.registerButton.enabled
    ui.similaritySelector.setCurrentIndex(0)
    user.settle(app)
    assert offered(ui.similaritySelector) == ["none"]


def test_one_that_tells_nothing_is_told_and_the_c_arm_stands_still(app, loaded, similarity):
    """A network that gives every pose the same number, as one that was trained for a moment may."""
    import torch

    from xrayreg.networks.model.checkpoint import load_similarity, save_checkpoint

    found = load_similarity(similarity)
    with torch.no_grad():
        for weight in found.network.parameters():
            weight.zero_()
    save_checkpoint(similarity, found)
    choose(app, loaded, similarity)
    before = user.pose_of(loaded)
    user.register(app, loaded)
    assert loaded.ui.statusLabel.text.startswith("similarity sim.pt: expected a number that changes with the pose")
    assert (user.pose_of(loaded) == before).all()
