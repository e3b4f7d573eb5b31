"""The progress of a run, and its learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.networks.training.schedule import fraction_done, learning_rate, require_sound, seconds_left
from xrayreg.settings import TrainingSettings

SETTINGS = TrainingSettings(minutes=2.0, iterations=100, learning_rate=1e-3, warm_up=0.1)


def test_time_or_iterations_count_whichever_is_further():
    assert fraction_done(SETTINGS, 30.0, 10) == 0.25
    assert fraction_done(SETTINGS, 30.0, 40) == 0.4
    assert fraction_done(SETTINGS, 300.0, 10) == 1.0
    assert fraction_done(replace(SETTINGS, minutes=0.0), 1e6, 40) == 0.4
    assert fraction_done(replace(SETTINGS, iterations=0), 60.0, 10**6) == 0.5


def test_what_is_left_is_told_by_the_limit_that_comes_first():
    assert seconds_left(SETTINGS, 30.0, 10) == 90.0
    assert seconds_left(SETTINGS, 30.0, 75) == pytest.approx(10.0)
    assert seconds_left(replace(SETTINGS, minutes=0.0), 30.0, 0) is None


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    fractions = np.linspace(0, 1, 1001)
    rates = np.array([learning_rate(SETTINGS, fraction) for fraction in fractions])
    peak = int(rates.argmax())
    assert (fractions[peak], rates[peak]) == (pytest.approx(0.1), pytest.approx(1e-3))
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[0] > 0
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    # Half way down the cosine stands at half.
    assert learning_rate(SETTINGS, 0.55) == pytest.approx(5e-4)
    assert learning_rate(replace(SETTINGS, warm_up=0.0), 0.0) == 1e-3


@pytest.mark.parametrize("limits", [(0.0, 0), (-1.0, 5), (1.0, -5), (float("nan"), 0), (float("inf"), 0)])
def test_a_run_without_an_end_is_refused(limits):
    with pytest.raises(InputError, match="minutes"):
        require_sound(replace(SETTINGS, minutes=limits[0], iterations=limits[1]))


@pytest.mark.parametrize("change", [{"batch": 0}, {"accumulate": 0}, {"learning_rate": 0.0}, {"seed": -1}])
def test_a_run_that_cannot_learn_is_refused(change):
    with pytest.raises(InputError):
        require_sound(replace(SETTINGS, **change))
