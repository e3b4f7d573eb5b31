"""Cards and settings survive the way through JSON, and nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from training_scenes import card_of

from xrayreg.checks import InputError
from xrayreg.networks.model.card import MedianErrors, ModelCard
from xrayreg.settings import DISTRIBUTIONS, TrainingSettings
from xrayreg.settings.plain import as_plain, from_plain


def test_a_card_survives_json():
    errors = MedianErrors(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7)
    card = replace(card_of(), kind="agnostic", validation={"physics": errors}, structures=(3,), notes=("a", "b"))
    assert ModelCard.from_dict(json.loads(json.dumps(card.as_dict()))) == card


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_settings_survive_json(name):
    settings = TrainingSettings(poses=DISTRIBUTIONS[name], minutes=2)
    assert from_plain(TrainingSettings, json.loads(json.dumps(as_plain(settings)))) == settings


def test_what_is_left_out_takes_its_default():
    assert from_plain(TrainingSettings, {"batch": 7}) == TrainingSettings(batch=7)


@pytest.mark.parametrize(
    "content",
    [
        {"batch": "many"},
        {"batch": 1.5},
        {"batch": True},
        {"engine": "steam"},
        {"unheard_of": 1},
        {"camera": 3},
        {"poses": {"rotation_deg": [1.0, 2.0]}},
        {"poses": {"primaries_deg": 3.0}},
        [1, 2],
        None,
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises(InputError, match="settings"):
        from_plain(TrainingSettings, content)
