"""Damaged files end in a sentence or are read, whatever was done to them: a small part of the fuzz corpus.

`Testing/Tools/fuzz_corpus.py` opens as many more as one likes.
"""

from __future__ import annotations

import pytest

from fuzz_corpus import Worker, report, run
from fuzz_making import KINDS, SOUND_EVERY, make_input
from fuzz_worker import flaw_of

SEED = 11
# How many of each kind, and the least share of the damaged ones that must be refused: much of a header is not needed
# to read an image, so that damage to it is no reason to refuse the file.
CORPUS = {"xray": (120, 0.3), "ct": (40, 0.3), "case": (40, 0.6)}


@pytest.fixture(scope="module")
def worker():
    with Worker() as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_end_in_a_result_or_a_sentence(worker, kind):
    count, least_refused = CORPUS[kind]
    outcomes = list(run(worker, kind, count, SEED))
    assert all(outcome.lawful for outcome in outcomes), f"\n{report(outcomes)}"
    sound = [outcome for outcome in outcomes if outcome.input.sound]
    assert len(sound) == -(-count // SOUND_EVERY)
    assert all(outcome.outcome == "ok" for outcome in sound), f"\n{report(outcomes)}"
    damaged = [outcome for outcome in outcomes if not outcome.input.sound]
    assert sum(outcome.outcome == "sentence" for outcome in damaged) >= least_refused * len(damaged)


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_follows_from_its_seed_and_number(tmp_path, kind):
    made = {}
    for name, seed, number in (("a", 1, 5), ("same", 1, 5), ("other seed", 2, 5), ("other number", 1, 6)):
        (tmp_path / name).mkdir()
        what = make_input(kind, seed, number, tmp_path / name).what
        files = sorted(path for path in (tmp_path / name).iterdir() if path.is_file())
        made[name] = what, [(path.name, path.read_bytes()) for path in files]
    assert made["a"] == made["same"]
    assert made["a"] != made["other seed"] and made["a"] != made["other number"]


@pytest.mark.parametrize(
    "sentence",
    ["it failed", "expected a, found \x1b[31mb", "expected a,\nfound b", "expected a, found \u2028b", "found " * 500],
)
def test_a_sentence_that_is_none_is_noticed(sentence):
    assert flaw_of(sentence) is not None
    assert flaw_of("X-ray: expected an image, found none; add one") is None
