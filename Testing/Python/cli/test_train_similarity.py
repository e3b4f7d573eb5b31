"""`train --kind similarity`: from a CT to a similarity that `info` describes, and one sentence for what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import xrayreg.cli.train as command
from xrayreg.cli import main
from xrayreg.networks.model.checkpoint import load_similarity, read_card
from xrayreg.settings import TrainingSettings

TINY = ("--pixels", "32", "--engine", "torch", "--device", "cpu", "--minutes", "0", "--iterations", "2", "--quiet")


@pytest.fixture(autouse=True)
def few_images_to_judge_by(monkeypatch):
    real = command._settings_of

    def small(arguments):
        settings = replace(real(arguments), validation_poses=4, validation_xrays=1, precision="float32")
        if settings.similarity is None:
            return settings
        return replace(settings, similarity=replace(settings.similarity, width=0.25, starts=2))

    monkeypatch.setattr(command, "_settings_of", small)


@pytest.fixture
def train(ward, tmp_path):
    """Runs `train` on the ward's CT in this process; returns the exit code."""

    def run(*options: str, out: Path = tmp_path / "sim.pt") -> int:
        return main(["train", "--volume", str(ward.folder / "ct.mha"), "--out", str(out), *TINY, *options])

    return run


def settings_of(*options: str) -> TrainingSettings:
    """What the options become, with no limit on what is read."""
    import argparse

    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    return command._settings_of(parser.parse_args(["train", "--volume", "ct.nii", "--out", "a.pt", *options]))


def test_a_similarity_is_trained_resumed_finetuned_and_described(train, tmp_path, capfd):
    assert train("--kind", "similarity", "--batch", "2") == 0
    card = load_similarity(tmp_path / "sim.pt").card
    assert (card.kind, card.iteration, card.images) == ("patient", 2, 4)
    assert set(card.angles) == {"network", "zncc", "gradient_correlation"}
    assert train("--kind", "similarity", "--resume", "--iterations", "3") == 0
    assert read_card(tmp_path / "sim_training" / "last.pt").iteration == 3
    curve = (tmp_path / "sim_training" / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert "network_whole_deg" in curve[0]
    assert curve[-1].split(",")[0] == "3"
    assert (tmp_path / "sim_training" / "curve.png").stat().st_size > 1000
    tuned = tmp_path / "tuned.pt"
    assert train("--kind", "similarity", "--finetune", str(tmp_path / "sim.pt"), "--batch", "2", out=tuned) == 0
    assert read_card(tuned).parent == load_similarity(tmp_path / "sim.pt").digest
    capfd.readouterr()
    assert main(["info", str(tuned)]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    for word in ("compares an X-ray", "embedding", "of ZNCC", "angle loss"):
        assert word in shown


def test_angles_and_use_are_told(ward, tmp_path, capfd):
    loud = [option for option in TINY if option != "--quiet"]
    ct = ("--volume", str(ward.folder / "ct.mha"), "--out", str(tmp_path / "sim.pt"))
    assert main(["train", *ct, *loud, "--kind", "similarity", "--batch", "2"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "20 to 100 mm from the truth" in told
    assert "gradient correlation" in told
    assert "--similarity" in told
    assert "--init" not in told


def test_a_volume_given_again_is_another_one():
    import argparse

    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    given = parser.parse_args(["train", "--volume", "a.nii", "--volume", "b.nii", "c.nii", "--out", "a.pt"])
    assert given.volume == ["a.nii", "b.nii", "c.nii"]


def test_the_options_reach_the_settings():
    chosen = settings_of(
        *("--kind", "similarity", "--architecture", "correlation", "--gradient-loss", "geodesic", "--volume-network")
    )
    assert chosen.similarity is not None
    assert (chosen.similarity.architecture, chosen.similarity.gradient_loss) == ("correlation", "geodesic")
    assert chosen.similarity.volume_network
    narrow = settings_of("--kind", "similarity", "--width", "0.25", "--decomposition", "opposite")
    assert (narrow.similarity.width, narrow.similarity.decomposition) == (0.25, "opposite")
    assert narrow.network == TrainingSettings().network
    assert (chosen.batch, settings_of("--kind", "similarity").batch) == (8, 32)
    assert settings_of("--kind", "similarity", "--batch", "3").batch == 3
    poses = settings_of()
    assert poses.similarity is None
    assert poses.batch == TrainingSettings().batch
    assert settings_of("--hypotheses", "7").network.hypotheses == 7


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--architecture", "prost"), "--architecture: expected --kind similarity with it"),
        (("--gradient-loss", "direction"), "--gradient-loss: expected --kind similarity with it"),
        (("--width", "0.5"), "--width: expected --kind similarity with it"),
        (("--volume-network",), "--volume-network: expected --kind similarity with it"),
        (("--kind", "similarity", "--hypotheses", "2"), "--hypotheses: expected --kind pose with it"),
        (("--kind", "similarity", "--backbone", "resnet18"), "--backbone: expected --kind pose with it"),
        (("--kind", "similarity", "--pixels", "16"), "image size of a similarity: expected at least 32 pixels"),
        (("--kind", "both"), "expected one of pose, similarity"),
        (
            ("--kind", "similarity", "--architecture", "vgg"),
            "expected one of embedding, prost, ",
        ),
    ],
)
def test_what_does_not_go_together_is_told_in_one_sentence(train, tmp_path, capfd, options, told):
    try:
        code = train(*options)
    except SystemExit as end:
        code = end.code
    assert code == 2
    shown = " ".join(capfd.readouterr().err.split())
    assert told in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "sim.pt").exists()


def test_networks_of_the_other_kind_are_neither_finetuned_nor_resumed(train, tmp_path, capfd):
    assert train("--batch", "2", "--hypotheses", "2") == 0
    assert train("--kind", "similarity", "--resume") == 2
    assert "found a network that predicts poses; use --kind pose" in " ".join(capfd.readouterr().err.split())
    assert train("--kind", "similarity", "--batch", "2", out=tmp_path / "other.pt") == 0
    assert train("--finetune", str(tmp_path / "other.pt"), out=tmp_path / "third.pt") == 2
    assert "found a learned similarity; use --kind similarity" in " ".join(capfd.readouterr().err.split())
    assert main(["register", str(tmp_path / "case.json"), "--init", str(tmp_path / "other.pt")]) == 2
