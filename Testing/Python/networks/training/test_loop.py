"""A run can be repeated, resumed, ended in every way there is, and always leaves a whole network."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
import torch
from training_scenes import SETTINGS, lesson_of, losses, new_network, run_of, trained, weights

import xrayreg.networks.training.loop as loop
import xrayreg.networks.training.pose_regression as pose_regression
from xrayreg.checks import InputError
from xrayreg.networks.model.checkpoint import load_checkpoint
from xrayreg.networks.training.optimizer_step import Learner, clip_adaptively
from xrayreg.networks.training.status import last_checkpoint
from xrayreg.networks.training.validation import overall
from xrayreg.settings import LossSettings, PoseDistribution


@pytest.fixture
def out(tmp_path):
    return tmp_path / "model.pt"


class AfterSteps:
    """Asks to stop once it was asked so many times itself."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_training_learns(out):
    # All patients stand 60 mm to one side: soon found out, unlike how they are turned.
    aside = PoseDistribution(rotation_deg=(3.0,) * 3, translation_mm=(5.0,) * 3, centre_offset_mm=(60.0, 0.0, 0.0))
    settings = replace(SETTINGS, iterations=40, learning_rate=3e-3, poses=aside)
    run = run_of(out, settings)
    network = new_network(settings)
    before = lesson_of(network, settings).validate(torch.device("cpu")).error
    steps, result = trained(run, network)
    assert sum(losses(steps)[-5:]) < 0.7 * sum(losses(steps)[:5])
    assert overall(result.card.validation) < 0.7 * before
    assert (result.ending, result.card.iteration, result.card.images) == ("iterations", 40, 160)
    assert load_checkpoint(out).card == result.card


def test_the_same_seed_gives_the_same_network_and_another_gives_another(out):
    networks = []
    for seed in (5, 5, 6):
        settings = replace(SETTINGS, seed=seed)
        networks.append(new_network())
        trained(run_of(out, settings), networks[-1])
    assert torch.equal(weights(networks[0]), weights(networks[1]))
    assert not torch.equal(weights(networks[0]), weights(networks[2]))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_bit_for_bit_the_run_that_was_never_stopped(out, tmp_path, accumulate):
    settings = replace(SETTINGS, iterations=20, accumulate=accumulate)
    whole = new_network()
    all_steps, _ = trained(run_of(tmp_path / "whole.pt", settings), whole)
    first, result = trained(run_of(out, settings), asked_to_stop=AfterSteps(10))
    assert result.ending == "asked"
    start = load_checkpoint(last_checkpoint(out))
    assert start.training_state is not None
    second, _ = trained(run_of(out, settings, start=start, card=start.card), start.network)
    assert len(losses(first)) == 10
    assert losses(first) + losses(second) == losses(all_steps)
    assert torch.equal(weights(start.network), weights(whole))
    assert second[-1].images == all_steps[-1].images


def test_a_run_ends_when_its_time_is_up(out):
    steps, result = trained(run_of(out, replace(SETTINGS, iterations=0, minutes=1.0 / 60)))
    assert result.ending == "time"
    assert 1.0 <= steps[-1].seconds < 5.0
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_run_ends_when_validation_no_longer_improves(out, monkeypatch):
    settings = replace(SETTINGS, iterations=50, patience=2, validate_every_s=0.0)
    first = lesson_of(new_network()).validate(torch.device("cpu")).figures
    # From the second validation on the network is judged to be worse.
    errors = iter([first] + [{kind: replace(e, mtre_mm=e.mtre_mm + 1) for kind, e in first.items()}] * 50)
    monkeypatch.setattr(pose_regression, "validate", lambda *arguments: next(errors))
    steps, result = trained(run_of(out, settings))
    assert result.ending == "patience"
    assert max(step.iteration for step in steps) == 3
    # The file holds the network of the first validation.
    assert result.card.iteration == 1


def test_a_run_whose_gradients_are_not_finite_stops_and_keeps_the_last_good_network(out, monkeypatch):
    settings = replace(SETTINGS, iterations=50, validate_every_s=0.0)
    real, turns = pose_regression.pose_loss, iter(range(1000))

    def poisoned(*arguments) -> tuple[torch.Tensor, dict[str, float]]:
        loss, parts = real(*arguments)
        return (loss * float("nan") if next(turns) >= 3 else loss), parts

    monkeypatch.setattr(pose_regression, "pose_loss", poisoned)
    steps, result = trained(run_of(out, settings))
    assert result.ending == "diverged"
    assert "finite" in result.reason
    assert any("left out" in step.message for step in steps)
    kept = load_checkpoint(out)
    assert torch.isfinite(weights(kept.network)).all()
    # Some bad gradients are forgiven, but not many.
    assert max(step.iteration for step in steps) < 20


def test_a_run_without_one_usable_gradient_is_refused(out, monkeypatch):
    real = pose_regression.pose_loss
    monkeypatch.setattr(pose_regression, "pose_loss", lambda *arguments: (real(*arguments)[0] * float("inf"), {}))
    with pytest.raises(InputError, match="finite"):
        trained(run_of(out, replace(SETTINGS, iterations=50)))
    assert not out.exists()


def test_with_too_little_memory_batches_are_halved_and_taken_twice_as_often(out, monkeypatch):
    real = Learner.step

    def narrow(learner: Learner, batches, rate):
        def forward(inputs):
            if len(inputs) > 2:
                raise torch.OutOfMemoryError("a fake one")
            return learner.network(inputs)

        return real(learner, [lambda _, loss_of=loss_of: loss_of(forward) for loss_of in batches], rate)

    monkeypatch.setattr(Learner, "step", narrow)
    steps, result = trained(run_of(out, replace(SETTINGS, batch=8, iterations=4)))
    assert (result.card.settings.batch, result.card.settings.accumulate) == (2, 4)
    assert any("out of memory with 8" in note for note in result.card.notes)
    assert any("out of memory" in step.message for step in steps)
    assert steps[-1].images == 4 * 8


def test_too_little_memory_for_one_image_is_told(out, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("a fake one")

    monkeypatch.setattr(Learner, "step", full)
    with pytest.raises(InputError, match="memory"):
        trained(run_of(out))


def test_a_full_disk_at_the_end_is_told_and_leaves_the_last_good_network(out, monkeypatch):
    settings = replace(SETTINGS, iterations=3, validate_every_s=0.0)
    saved = []
    real = loop.save_checkpoint

    def until_full(path, checkpoint):
        if path == out and saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        return real(path, checkpoint)

    monkeypatch.setattr(loop, "save_checkpoint", until_full)
    monkeypatch.setattr(pose_regression, "overall", lambda validation: 100.0 - len(saved) - next(counter))
    counter = iter(range(100))
    with pytest.raises(InputError, match="No space left on device"):
        trained(run_of(out, settings))
    assert load_checkpoint(out).card.iteration == 1


def test_a_disk_that_has_room_again_gets_the_network(out, monkeypatch):
    settings = replace(SETTINGS, iterations=3, validate_every_s=0.0)
    real, tries = loop.save_checkpoint, iter(range(100))

    def full_at_first(path, checkpoint):
        if next(tries) == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, checkpoint)

    monkeypatch.setattr(loop, "save_checkpoint", full_at_first)
    steps, _ = trained(run_of(out, settings))
    assert any("No space left" in step.message for step in steps)
    assert load_checkpoint(out).card.iteration >= 2


def test_a_disk_without_room_is_told_before_training(out, monkeypatch):
    monkeypatch.setattr(loop.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="free"):
        trained(run_of(out))


def test_a_run_that_is_dropped_in_the_middle_leaves_no_thread_behind(out):
    import threading

    settings = replace(SETTINGS, iterations=50)
    before, cores = set(threading.enumerate()), torch.get_num_threads()

    class Stopped(Exception):
        pass

    def on_step(step):
        if step.iteration == 3:
            raise Stopped

    lesson, process = lesson_of(new_network()), loop.Process(torch.device("cpu"))
    with pytest.raises(Stopped):
        loop.train(lesson, run_of(out, settings), process, bool, on_step)
    assert set(threading.enumerate()) <= before
    assert torch.get_num_threads() == cores


def test_pictures_may_take_part_in_the_loss(out):
    settings = replace(SETTINGS, iterations=2, loss=LossSettings(image=1.0, region=1.0))
    steps, _ = trained(run_of(out, settings))
    assert all(loss > 0 for loss in losses(steps))
    assert {"image", "region"} <= set(steps[-1].parts)


def test_finetuning_starts_with_the_weights_and_nothing_else(out):
    trained(run_of(out))
    start = replace(load_checkpoint(out), training_state=None)
    before = weights(start.network).clone()
    steps, result = trained(
        run_of(out, replace(SETTINGS, iterations=1, learning_rate=1e-6), start=start), start.network
    )
    # One step of AdamW moves no weight by more than about its learning rate.
    assert 0 < (weights(start.network) - before).abs().max() < 1e-5
    assert (steps[-1].iteration, result.card.images) == (1, SETTINGS.batch)


@pytest.mark.parametrize("clipping", ["norm", "adaptive"])
def test_a_clipped_step_is_finite_and_used(out, clipping):
    steps, _ = trained(run_of(out, replace(SETTINGS, iterations=2, clip=0.01, clipping=clipping)))
    assert all("left out" not in step.message for step in steps)


def test_adaptive_clipping_shortens_only_gradients_that_are_large_beside_their_weights():
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [3.0, 4.0]]))
    weight.grad = torch.tensor([[0.3, 0.4], [30.0, 40.0]])
    clip_adaptively([weight], 0.2)
    # Norms: weights 5 and 5, gradients 0.5 and 50, so at most 0.2 * 5 = 1.
    torch.testing.assert_close(weight.grad, torch.tensor([[0.3, 0.4], [0.6, 0.8]]))


def test_float16_finds_its_scale_before_it_gives_up():
    learner = Learner(new_network(), replace(SETTINGS, precision="float16"), loop.Process(torch.device("cpu")))
    inputs, large = torch.ones(2, 3, 32, 32), 1e6

    def loss_of(forward) -> tuple[torch.Tensor, dict[str, float]]:
        return forward(inputs).logits.sum() * large, {}

    # Scaled by 65536 the gradient leaves what float16 can hold; the scale halves at each step that does.
    taken = [learner.step([loss_of], 1e-4).used for _ in range(20)]
    assert not taken[0]
    assert taken[-1]
    assert not learner.is_lost
