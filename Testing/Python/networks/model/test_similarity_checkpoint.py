"""A learned similarity's file: as safe as a pose network's, and never taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_scenes import SETTINGS, card_of, new_network

from xrayreg.checks import InputError
from xrayreg.networks.model.card import MedianAngles
from xrayreg.networks.model.checkpoint import (
    Checkpoint,
    SimilarityCheckpoint,
    load_any,
    load_checkpoint,
    load_similarity,
    read_card,
    save_checkpoint,
)
from xrayreg.networks.model.correlation import CorrelationSimilarity
from xrayreg.networks.model.similarity_table import build_for
from xrayreg.settings import SIMILARITY_NAMES, SimilarityName, SimilaritySettings

ANGLES = {"network": MedianAngles(30.0, 25.0, 35.0, 16)}


def similarity(name: SimilarityName = "prost") -> SimilarityCheckpoint:
    wanted = SimilaritySettings(architecture=name, width=0.25, decomposition="opposite", volume_network=True)
    card = replace(card_of(replace(SETTINGS, similarity=wanted)), angles=ANGLES)
    torch.manual_seed(3)
    return SimilarityCheckpoint(card, build_for(card.settings))


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "sim.pt"


@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_what_was_saved_is_loaded(path, name):
    saved = similarity(name)
    digest = save_checkpoint(path, replace(saved, training_state={"step": 3}))
    loaded = load_similarity(path)
    assert (loaded.card, loaded.digest, loaded.training_state) == (saved.card, digest, {"step": 3})
    assert not loaded.network.training
    generator = torch.Generator().manual_seed(4)
    fixed, moving = (torch.randn(2, channels, 32, 32, generator=generator) for channels in (1, 3))
    with torch.no_grad():
        said = saved.network.eval().similarity(fixed, moving)
        assert torch.equal(loaded.network.similarity(fixed, moving), said)
    if isinstance(loaded.network, CorrelationSimilarity):
        assert loaded.network.form == "opposite"


def test_each_kind_is_refused_by_name_where_the_other_is_asked_for(path, tmp_path):
    save_checkpoint(path, similarity())
    with pytest.raises(InputError, match=r"found a learned similarity; give it with --similarity") as told:
        load_checkpoint(path)
    assert "\n" not in str(told.value)
    poses = tmp_path / "poses.pt"
    save_checkpoint(poses, Checkpoint(card_of(), new_network()))
    with pytest.raises(InputError, match=r"found a network that predicts poses; give it with --init"):
        load_similarity(poses)
    assert read_card(path).is_similarity
    assert not read_card(poses).is_similarity
    assert isinstance(load_any(path), SimilarityCheckpoint)
    assert isinstance(load_any(poses), Checkpoint)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9999])
def test_a_truncated_file_is_refused(path, share):
    save_checkpoint(path, similarity())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="network"):
        load_similarity(path)


def test_weights_of_another_architecture_are_refused(path):
    saved = similarity("sopi")
    save_checkpoint(path, replace(saved, card=similarity("prost").card))
    with pytest.raises(InputError, match="fit each other"):
        load_similarity(path)


def test_a_card_of_the_other_kind_is_refused(path):
    saved = similarity()
    save_checkpoint(path, replace(saved, card=card_of()))
    with pytest.raises(InputError, match="fit each other"):
        load_similarity(path)
