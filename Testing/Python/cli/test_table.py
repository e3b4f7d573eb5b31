"""A result in the terminal: the numbers that were judged, and no more trust than the verdict has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xrayreg.cli.table import show_result
from xrayreg.registration.results import withheld

RESULT = {
    "accepted": True,
    "reason": "It was found so.",
    "quality": {"similarity": 0.7654, "expected_error_mm": 0.4321},
    "uncertainty": {"target_mm": 0.4321},
    "views": [{"name": "front", "similarity": 0.7654}],
    "seconds": {"total": 1.5},
    "renders": 10,
    "engine": "numba",
}


def shown(capsys, **changes: Any) -> str:
    show_result(withheld({**RESULT, **changes}), Path("out"))
    return capsys.readouterr().out


def test_the_similarity_is_the_one_that_was_judged(capsys):
    text = shown(capsys)
    assert text.count("0.765") == 1 and "per view" not in text


def test_similarities_of_several_views_have_a_name_of_their_own(capsys):
    text = shown(capsys, views=[{"similarity": 0.8}, {"similarity": 0.73}])
    assert "0.765" in text
    assert "0.800, 0.730" in text.split("Similarity per view")[1].splitlines()[0]


@pytest.mark.parametrize("accepted", [True, False])
def test_an_expected_error_stands_beside_accepted_alone(capsys, accepted):
    assert ("0.43 mm" in shown(capsys, accepted=accepted)) is accepted


def test_a_pose_that_nobody_judged_has_no_similarity(capsys):
    views = [{"name": "front", "similarity": None}]
    assert "Similarity" not in shown(capsys, accepted=False, unjudged=True, quality={"belief": 0.8}, views=views)
