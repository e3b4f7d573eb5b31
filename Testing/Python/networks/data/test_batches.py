"""Batches: a pure function of seed and number, made one ahead on another thread."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace

import pelvis_scenes
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.networks.data.batches import Batch, make_batch, prefetch
from xrayreg.networks.data.subjects import DrrSubject, prepare_subject
from xrayreg.settings import DISTRIBUTIONS, AppearanceSettings, NetworkCamera, PoseDistribution, TrainingSettings

SETTINGS = TrainingSettings(batch=6, camera=NetworkCamera(16), seed=11)


class OnePatient:
    """Always the same subject."""

    def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
        return pelvis()


@functools.lru_cache(maxsize=1)
def pelvis() -> DrrSubject:
    return prepare_subject(pelvis_scenes.pelvis(), voxel_mm=17.0)


def made(number: int, settings: TrainingSettings = SETTINGS) -> Batch:
    return make_batch(OnePatient(), settings, number)


def same(batch: Batch, other: Batch) -> bool:
    return torch.equal(batch.inputs, other.inputs) and torch.equal(batch.poses, other.poses)


def test_a_batch_depends_on_seed_and_number_alone():
    first = made(5)
    made(6)
    torch.manual_seed(123)
    assert same(first, made(5))
    assert not same(first, made(6))
    assert not same(first, made(5, replace(SETTINGS, seed=12)))
    assert first.inputs.shape == (6, 3, 16, 16) and first.integrals.shape == (6, 2, 16, 16)
    assert first.poses.shape == (6, 4, 4) and first.poses.dtype == torch.float64
    assert bool(first.inputs.isfinite().all()) and not first.inputs.requires_grad
    # Zero mean over what is valid, before the extremes are cut off.
    assert float(first.inputs[:, 0].mean().abs()) < 0.2


def test_every_engine_makes_the_same_batch():
    class ByTorch:
        def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
            return prepare_subject(pelvis_scenes.pelvis(), voxel_mm=17.0, engine="torch")

    calm = AppearanceSettings(chance=0.0, noise=(1e-6, 1e-6))
    settings = replace(SETTINGS, appearance=calm)
    torch.testing.assert_close(make_batch(ByTorch(), settings, 4).inputs, made(4, settings).inputs, atol=5e-3, rtol=0)


def test_views_that_hardly_show_the_patient_are_drawn_anew():
    wide = PoseDistribution(translation_mm=(250.0, 250.0, 100.0))
    settings = replace(SETTINGS, poses=wide, batch=40, least_visible=0.4)
    shown = (made(0, settings).integrals.sum(1) > 1e-3).float().mean((1, 2))
    assert float(shown.min()) >= 0.4
    careless = (made(0, replace(settings, least_visible=0.0)).integrals.sum(1) > 1e-3).float().mean((1, 2))
    assert float(careless.min()) < 0.4


def test_a_distribution_beside_the_patient_is_refused():
    beside = replace(DISTRIBUTIONS["chen"], centre_offset_mm=(3000.0, 0.0, 0.0))
    with pytest.raises(InputError, match="widen the camera's field"):
        made(0, replace(SETTINGS, poses=beside))


def test_batches_come_in_order_and_the_next_is_made_while_one_is_used():
    started = [threading.Event() for _ in range(10)]

    def make(number: int) -> int:
        started[number].set()
        return number

    batches = prefetch(make, 3)
    for number in range(3, 6):
        assert next(batches) == number
        assert started[number + 1].wait(10)
        # One ahead and no more: the worker has nothing to do now.
        assert not started[number + 2].is_set()
    batches.close()


def test_closing_ends_the_worker():
    batches = prefetch(lambda number: number)
    next(batches)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_error_comes_in_place_of_its_batch_and_ends_the_worker():
    def make(number: int) -> int:
        if number == 2:
            raise InputError("volume", expected="a readable file", found="none", remedy="check the disk")
        return number

    batches = prefetch(make)
    assert next(batches) == 0 and next(batches) == 1
    with pytest.raises(InputError, match="check the disk"):
        next(batches)
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_prefetched_batches_are_the_same_as_those_made_one_by_one():
    batches = prefetch(made, 2)
    try:
        # The main thread renders too, as a loss on images does.
        for number in (2, 3):
            assert same(next(batches), made(number))
    finally:
        batches.close()
