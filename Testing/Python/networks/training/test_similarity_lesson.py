"""A similarity is learned in the loop that pose regression has: repeated, resumed, finetuned and refused as that is."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from training_scenes import CPU, SETTINGS, OnePatient, card_of, followed, losses, patient, subject, weights

from xrayreg.checks import InputError
from xrayreg.networks.model.card import MedianAngles
from xrayreg.networks.model.checkpoint import load_similarity
from xrayreg.networks.model.learned_similarity import LearnedSimilarity
from xrayreg.networks.model.similarity_table import build_for
from xrayreg.networks.training.distributed import Process
from xrayreg.networks.training.embedding_lesson import similarity_lesson
from xrayreg.networks.training.loop import RunInputs, train
from xrayreg.networks.training.schedule import require_sound
from xrayreg.networks.training.similarity_lesson import training_pairs
from xrayreg.networks.training.similarity_validation import (
    ValidationPairs,
    angles_of_network,
    joined_pairs,
    median_angles,
    pairs_of_ct,
    problem_of,
)
from xrayreg.networks.training.status import last_checkpoint
from xrayreg.settings import SIMILARITY_NAMES, AppearanceSettings, SimilaritySettings, TrainingSettings

TINY = SimilaritySettings(width=0.25, starts=2)
RUN = replace(SETTINGS, batch=2, iterations=4, validation_xrays=1, similarity=TINY)


@functools.lru_cache(maxsize=1)
def validation() -> ValidationPairs:
    return joined_pairs([pairs_of_ct(subject(), patient(), RUN)])


def settings_of(name: str, **changes) -> TrainingSettings:
    return replace(RUN, similarity=replace(TINY, architecture=name, **changes))


def new_similarity(settings: TrainingSettings) -> LearnedSimilarity:
    torch.manual_seed(1)
    return build_for(settings)


def learned(out, settings: TrainingSettings, network: LearnedSimilarity | None = None, stop=lambda: False, **changes):
    """All steps of a run, its result and the network."""
    (out.parent / f"{out.stem}_training").mkdir(exist_ok=True)
    made = new_similarity(settings) if network is None else network
    lesson = similarity_lesson(made, OnePatient(), validation())
    run = replace(RunInputs(card_of(settings), out), **changes)
    return (*followed(lambda on_step: train(lesson, run, CPU, stop, on_step)), made)


def after(steps: int):
    """Asks to stop once it was asked so many times itself."""
    turns = iter(range(steps))
    return lambda: next(turns, None) is None


@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_a_resumed_run_is_bit_for_bit_the_run_that_was_never_stopped(tmp_path, name):
    settings = settings_of(name)
    all_steps, _, whole = learned(tmp_path / "whole.pt", settings)
    out = tmp_path / "sim.pt"
    first, result, _ = learned(out, settings, stop=after(2))
    assert result.ending == "asked"
    start = load_similarity(last_checkpoint(out))
    assert start.training_state is not None
    second, _, _ = learned(out, settings, start.network, start=start, card=start.card)
    assert len(losses(first)) == 2
    assert losses(first) + losses(second) == losses(all_steps)
    assert torch.equal(weights(start.network), weights(whole))


def test_a_run_of_a_version_that_named_its_own_weights_otherwise_goes_on_and_says_that_they_start_anew(tmp_path):
    settings, out = settings_of("correlation"), tmp_path / "sim.pt"
    first, _, _ = learned(out, settings, stop=after(2))
    start = load_similarity(last_checkpoint(out))
    assert start.training_state is not None and not any("anew" in step.message for step in first)
    kept = start.training_state["besides"]
    older = {"loss_weights.log_variances": kept.pop("besides.log_variances")}
    start = replace(start, training_state={**start.training_state, "besides": older})
    steps, result, _ = learned(out, settings, start.network, start=start, card=start.card)
    assert any("start anew: besides.log_variances" in step.message for step in steps)
    assert result.ending == "iterations" and len(losses(steps)) == 2
    assert any("start anew" in note for note in load_similarity(last_checkpoint(out)).card.notes)


def test_the_loss_falls_and_the_best_network_is_kept_with_its_angles(tmp_path):
    # Without effects and with starts far off, some tens of steps are enough; as many pairs make the loss steady.
    plain = AppearanceSettings(chance=0, collimation=0, truncation=0, erasing=0, instruments=0, continued=0)
    settings = settings_of("prost", starts=4, start_error_mm=(40.0, 100.0), independent=0.0)
    settings = replace(settings, batch=6, iterations=30, learning_rate=3e-3, appearance=plain)
    steps, result, _ = learned(tmp_path / "sim.pt", settings)
    assert sum(losses(steps)[-10:]) < 0.9 * sum(losses(steps)[:10])
    kept = load_similarity(tmp_path / "sim.pt")
    assert kept.card == result.card
    assert set(kept.card.angles) == {"network", "zncc", "gradient_correlation"}
    assert kept.card.angles["network"].poses == 4
    assert not kept.card.validation
    # What the file holds does as well as its card says.
    angles, problem = angles_of_network(kept.network, validation(), torch.device("cpu"))
    assert not problem
    assert angles.whole_deg == pytest.approx(kept.card.angles["network"].whole_deg, abs=0.1)


def test_finetuning_starts_with_the_weights(tmp_path):
    learned(tmp_path / "sim.pt", settings_of("prost"))
    start = replace(load_similarity(tmp_path / "sim.pt"), training_state=None)
    before = weights(start.network).clone()
    settings = replace(settings_of("prost"), iterations=1, learning_rate=1e-6)
    learned(tmp_path / "tuned.pt", settings, start.network, start=start)
    assert 0 < (weights(start.network) - before).abs().max() < 1e-5


def test_a_volume_network_is_trained_too(tmp_path):
    pytest.importorskip("numba")
    settings = replace(settings_of("prost", volume_network=True), iterations=1, engine="numba")
    before = new_similarity(settings)
    _, _, network = learned(tmp_path / "sim.pt", settings)
    assert network.volume_network is not None
    assert before.volume_network is not None
    assert not torch.equal(weights(network.volume_network), weights(before.volume_network))


@pytest.mark.parametrize(("poison", "reason"), [(float("nan"), "no finite number"), (0.0, "the same for all poses")])
def test_a_similarity_that_is_no_number_or_constant_is_refused(tmp_path, poison, reason):
    network = new_similarity(settings_of("prost"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(poison)
    out = tmp_path / "sim.pt"
    with pytest.raises(InputError, match=f"training: .*{reason}"):
        learned(out, settings_of("prost"), network)
    assert not out.exists()


def test_values_that_are_finite_and_differ_are_no_problem():
    assert not problem_of(torch.tensor([1.0, 2.0]), torch.ones(2, 6))


def test_angles_are_medians_of_the_whole_and_of_its_parts():
    true = torch.eye(6)[:3] + torch.eye(6)[3:]
    found = true.clone()
    found[:, :3] *= -1
    assert median_angles(2 * true, true) == MedianAngles(0.0, 0.0, 0.0, 3)
    angles = median_angles(found, true)
    assert (angles.whole_deg, angles.rotation_deg, angles.translation_deg) == pytest.approx((90.0, 180.0, 0.0))


def test_classical_similarities_point_the_right_way():
    # Downhill of ZNCC's dissimilarity and of the geodesic distance: on average nearer than at random, 90 degrees.
    settings = replace(RUN, validation_xrays=6)
    baselines = joined_pairs([pairs_of_ct(subject(), patient(), settings)]).baselines
    assert baselines["zncc"].poses == 24
    assert baselines["zncc"].whole_deg < 85


def test_a_process_that_does_not_judge_needs_no_pairs():
    nothing = joined_pairs([])
    assert (nothing.by_ct, nothing.baselines) == ((), {})


@pytest.mark.parametrize(
    "changes", [{"starts": 0}, {"start_error_mm": (0.0, 9.0)}, {"start_error_mm": (9.0, 8.0)}, {"scale_mm": 0.0}]
)
def test_impossible_starts_are_told_before_anything_is_read(changes):
    with pytest.raises(InputError, match="of a similarity"):
        require_sound(settings_of("prost", **changes))


def test_each_process_learns_x_rays_of_its_own():
    cpu = torch.device("cpu")
    first, again, other = (training_pairs(OnePatient(), RUN, number, cpu) for number in (0, 0, 1))
    assert torch.equal(first.fixed, again.fixed)
    assert torch.equal(first.camera_from_volume, again.camera_from_volume)
    assert not torch.equal(first.fixed, other.fixed)
    assert first.fixed.shape == (RUN.batch, 1, 32, 32)
    assert len(first.camera_from_volume) == RUN.batch * TINY.starts
    assert Process(cpu, 1, 2).batch_number(0) == 1
