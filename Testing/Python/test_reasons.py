"""Codes of reasons and notes: a closed list, each given somewhere, each documented."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from xrayreg.reasons import MEANINGS, NOTE_MEANINGS, Note, NoteCode, ReasonCode, noted
from xrayreg.registration.results import with_notes
from xrayreg.registration.verdict import Evidence, Place, judge

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration"


GOOD = Evidence(similarity=0.8, contrast=12.0, gap=0.4, in_view=0.9, expected_error_mm=0.5, mirror_gap=0.3)
# For each code that evidence can lead to, what of good evidence is changed, and words of the sentence.
JUDGED = {
    ReasonCode.ACCEPTED: ({}, "Estimated error"),
    ReasonCode.NOT_COMPUTED: ({"contrast": math.nan}, "could not be computed"),
    ReasonCode.SOURCE_INSIDE: ({"place": Place(source_inside=True)}, "source would lie inside"),
    ReasonCode.BEHIND_SOURCE: ({"place": Place(behind_source=0.4)}, "behind the X-ray source"),
    ReasonCode.BEHIND_DETECTOR: ({"place": Place(behind_detector=0.4)}, "behind the detector"),
    ReasonCode.OUT_OF_VIEW: ({"in_view": 0.01}, "usable image"),
    ReasonCode.MIRRORED: ({"mirror_gap": -0.2}, "flipped"),
    ReasonCode.WEAK: ({"similarity": 0.1}, "too weak"),
    ReasonCode.WEAK_VIEW: ({"weakest_view": 0.1}, "One of the X-rays"),
    ReasonCode.SYMMETRIC: ({"mirror_gap": 0.0}, "symmetric"),
    ReasonCode.BETTER_ELSEWHERE: ({"gap": -0.1}, "explains the X-ray better"),
    ReasonCode.AMBIGUOUS: ({"gap": 0.01}, "Another pose"),
    ReasonCode.IMPRECISE: ({"expected_error_mm": 9.0}, "leave the pose open"),
}
# Those that do not come from evidence alone; each has a test where it is given.
OTHERS = {ReasonCode.UNCONFIRMED, ReasonCode.ASSUMED, ReasonCode.INTERRUPTED, ReasonCode.UNJUDGED}


def test_each_sentence_of_the_verdict_has_its_own_code():
    for code, (change, words) in JUDGED.items():
        verdict = judge(replace(GOOD, **change))
        assert verdict.code is code and verdict.accepted is (code is ReasonCode.ACCEPTED)
        assert [other for other, (_, told) in JUDGED.items() if told in verdict.reason] == [code], words
    assert set(JUDGED) | OTHERS == set(ReasonCode)


def given_in(folder: Path, enum: str) -> set[str]:
    """Names of the members of an enumeration that the sources use, but for where it is declared."""
    found = set()
    for path in folder.rglob("*.py"):
        if path.name == "reasons.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enum:
                found.add(node.attr)
    return found


@pytest.mark.parametrize("codes", [ReasonCode, NoteCode])
def test_each_code_is_given_somewhere_and_no_other(codes):
    assert given_in(MODULE, codes.__name__) == set(codes.__members__)


@pytest.mark.parametrize(("codes", "meanings"), [(ReasonCode, MEANINGS), (NoteCode, NOTE_MEANINGS)])
def test_each_code_has_a_meaning_and_stands_in_the_documentation_with_it(codes, meanings):
    assert list(meanings) == list(codes)
    page = (ROOT / "Documentation" / "files.md").read_text(encoding="utf-8")
    for code, meaning in meanings.items():
        assert f"| `{code.value}` | {meaning} |" in page


@pytest.mark.parametrize("codes", [ReasonCode, NoteCode])
def test_codes_are_words_that_any_program_can_take(codes):
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", code.value) for code in codes)


def test_every_verdict_is_made_with_a_code():
    # mypy holds it too; here it is seen that nobody makes one from a text.
    for path in (MODULE / "xrayreg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Verdict":
                told = ast.unparse(node.args[2])
                assert told.startswith("ReasonCode.") or told == "against[0]", path


def test_notes_are_added_with_their_codes_behind_those_there_are():
    content = {"notes": ["One."], "note_codes": ["volume"], "accepted": True}
    told = with_notes(content, noted(NoteCode.PICTURES, ["Two.", "Three."]))
    assert told["notes"] == ["One.", "Two.", "Three."] and told["accepted"]
    assert told["note_codes"] == ["volume", "pictures", "pictures"]
    assert content["notes"] == ["One."], "the content itself stays"
    assert with_notes({}, [Note(NoteCode.XRAY, "One.")]) == {"notes": ["One."], "note_codes": ["xray"]}
