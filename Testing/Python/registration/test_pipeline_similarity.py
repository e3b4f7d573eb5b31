"""Registrations that ask a learned similarity first: none the worse for it, told in notes, and judged as ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from constant_networks import card_for, saying
from constant_networks import written as written_network
from learned_scenes import Difference, Nothing, standing_in, written
from pelvis_scenes import error, frontal, moved, nearby, pelvis, registered, scene, truth

from xrayreg.checks import InputError
from xrayreg.networks.model.checkpoint import SimilarityCheckpoint, save_checkpoint
from xrayreg.networks.model.learned_similarity import FeatureComparison
from xrayreg.networks.model.similarity_table import build_for
from xrayreg.registration import pipeline
from xrayreg.registration.results import Step
from xrayreg.settings import RegistrationSettings, SimilaritySettings, SimilarityStart

# Few enough to be quick, enough to see that the slope is followed.
QUICK = SimilarityStart(hypotheses=6, descents=1, steps=15)


class Contrary(Difference):
    """Takes what is least alike for alike: leads astray wherever it starts."""

    def compare(self, fixed, moving):
        return FeatureComparison(-super().compare(fixed, moving).similarity)


@pytest.fixture
def similarity(tmp_path) -> str:
    with standing_in():
        return written(tmp_path / "sim.pt")


def test_it_is_told_what_was_done_and_the_same_comes_out_again(similarity):
    given = scene(initial=moved(truth(), (6, 4, -9), (12, -10, 20)))
    with standing_in():
        result, again = (registered(given, similarity=similarity, learned=QUICK) for _ in range(2))
    assert result.verdict.accepted and error(given, result).mtre_mm < 1.0
    assert np.array_equal(again.world_from_volume, result.world_from_volume) and again.renders == result.renders
    assert result.start in ("the learned similarity's pose 1 of 1", "the case's initial pose")
    told = [note for note in result.notes if "learned similarity" in note]
    assert len(told) == 1 and "sim.pt (prost) ranked hypotheses" in told[0] and "verdict do not depend" in told[0]
    # A slope of fifteen steps, seven hypotheses and thirteen poses that tell whether it tells anything.
    assert result.renders > 35 and result.seconds["similarity"] > 0


def test_where_no_search_was_asked_for_only_the_given_pose_is_followed(similarity):
    given = scene(initial=nearby())
    with standing_in():
        result = registered(given, similarity=similarity, init="case", learned=QUICK)
    assert error(given, result).mtre_mm < 1.0
    assert "ranked" not in "".join(result.notes)
    assert result.start in ("the learned similarity's pose 1 of 1", "the case's initial pose")


def test_one_that_leads_astray_costs_time_and_nothing_else(tmp_path):
    given = scene(initial=nearby())
    with standing_in(Contrary):
        result = registered(given, similarity=written(tmp_path / "sim.pt"), learned=QUICK)
    assert result.verdict.accepted and error(given, result).mtre_mm < 1.0


def test_without_an_initial_pose_it_starts_from_nominal_views(similarity):
    given = scene()
    with standing_in():
        result = registered(given, similarity=similarity, learned=QUICK)
    assert result.verdict.accepted and error(given, result).mtre_mm < 1.0


def test_it_follows_a_networks_poses_where_there_is_a_network(similarity, tmp_path, unrotated_augmentations):
    near = moved(truth(), (2, -2, 1), (2, -1, 8))
    network = written_network(tmp_path / "model.pt", saying(card_for(pelvis(), 1), near[None]))
    given = scene(initial=frontal())
    with standing_in():
        result = registered(given, similarity=similarity, init=network, learned=replace(QUICK, hypotheses=0))
    assert result.verdict.accepted and error(given, result).mtre_mm < 1.0
    assert result.start in ("the learned similarity's pose 1 of 1", "the network's hypothesis 1 of 1")


@pytest.mark.parametrize("volume_network", [False, True])
def test_code_for_a_networks_maps_is_loaded_before_the_registration_and_only_where_needed(
    tmp_path, monkeypatch, volume_network
):
    asked = []
    monkeypatch.setattr(pipeline, "kernels_are_cached", lambda *given: asked.append(given) or False)
    settings = replace(card_for(pelvis(), 1).settings, similarity=SimilaritySettings(volume_network=volume_network))
    made, file = replace(card_for(pelvis(), 1), settings=settings), tmp_path / "sim.pt"
    save_checkpoint(file, SimilarityCheckpoint(made, build_for(settings)))
    steps: list[Step] = []
    pipeline.warmed_up(RegistrationSettings(similarity=str(file)), steps.append)
    assert asked == [("auto", "auto", volume_network)]
    assert list(dict.fromkeys(step.message for step in steps)) == [
        "compiling the render engine for this computer, once"
    ]


def test_what_is_no_similarity_or_tells_nothing_is_refused(similarity, tmp_path):
    given = scene(initial=nearby())
    with pytest.raises(InputError, match="similarity"):
        registered(given, similarity=str(tmp_path / "none.pt"))
    network = written_network(tmp_path / "model.pt", saying(card_for(pelvis(), 1), truth()[None]))
    with pytest.raises(InputError, match="predicts poses"):
        registered(given, similarity=network)
    with standing_in(Nothing), pytest.raises(InputError, match="the same number"):
        registered(given, similarity=similarity)
