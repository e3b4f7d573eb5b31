"""The schemas say what reader and writer do: of cases the same are taken, and every result that is written is valid."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from result_schema import require_valid

from xrayreg.checks import InputError
from xrayreg.cli import main
from xrayreg.geometry import Camera
from xrayreg.io import CaseFile, CaseView, case_text, parse_case
from xrayreg.io.case_file import _CAMERA_KEYS, _CASE_KEYS, _INITIAL_KEYS, _REFERENCE_KEYS, _VIEW_KEYS
from xrayreg.metrics import PoseError
from xrayreg.reasons import NoteCode, ReasonCode
from xrayreg.registration.verdict import Evidence, Place, Uncertainty
from xrayreg.schemas import SCHEMAS, schema, schema_text

ROOT = Path(__file__).resolve().parents[3]
EYE = np.eye(4).tolist()
CASE: dict[str, Any] = {
    "volume": "ct.nii.gz",
    "series": "bone",
    "labels": "labels.nii.gz",
    "structures": [1, 2],
    "views": [
        {
            "image": "a.tif",
            "intensity": "auto",
            "frame": 0,
            "mirrored": False,
            "camera": {
                "matrix": [[1000.0, 0.0, 255.5], [0.0, 1000.0, 255.5], [0.0, 0.0, 1.0]],
                "size": [512, 512],
                "camera_from_world": EYE,
                "pixel_mm": 0.5,
            },
        },
        {"image": "b.dcm"},
    ],
    "initial": {"world_from_volume": EYE},
    "reference": {"world_from_volume": EYE, "targets": [[1.0, 2.0, 3.0]]},
    "x-mine": {"anything": [1]},
    "Comment": "free",
}
FREE_KEYS = ["x-", "X-ray", "comment", "COMMENTS", "note 2", "NOTE", "x_", "commen", "not"]
VALID = Draft202012Validator(schema("case"))
# What a place may hold instead of what it should: each kind of JSON value. No number here is a camera of no machine.
OTHERS = [None, True, 7, -7, 0, 1.5, 10**12, "text", "", " ", [], [1], [[1]], {}, {"world_from_volume": EYE}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, but for single numbers of matrices, whose size is no matter of structure."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            if not key.startswith("x-"):
                yield from places(value[key], (*path, key))
    elif isinstance(value, list) and (not value or isinstance(value[0], dict)):
        for n, entry in enumerate(value):
            yield from places(entry, (*path, n))


PLACES = list(places(CASE))


def taken(folder, content: Any) -> bool:
    """Whether the reader takes a case, as far as its structure is asked for."""
    (folder / "case.json").write_text(json.dumps(content), encoding="utf-8")
    try:
        case = parse_case(folder / "case.json")
    except InputError:
        return False
    # These two are refused when the images are opened.
    return bool(case.views) and all(view.frame is None or view.frame >= 0 for view in case.views)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name):
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["title"] == f"{name}.json"


def test_the_keys_of_a_case_are_those_of_the_reader():
    told = schema("case")
    assert tuple(told["properties"]) == _CASE_KEYS
    assert tuple(told["$defs"]["view"]["properties"]) == _VIEW_KEYS
    assert tuple(told["$defs"]["camera"]["properties"]) == _CAMERA_KEYS
    assert tuple(told["properties"]["initial"]["properties"]) == _INITIAL_KEYS
    assert tuple(told["properties"]["reference"]["properties"]) == _REFERENCE_KEYS


def test_the_keys_of_a_result_are_those_of_what_is_written():
    told = schema("result")["properties"]
    evidence = {field.name for kind in (Evidence, Place) for field in fields(kind)} - {"place"}
    assert set(told["quality"]["properties"]) == evidence | {"belief"}
    assert set(told["uncertainty"]["properties"]) == {field.name for field in fields(Uncertainty)}
    assert set(told["score"]["properties"]) == {field.name for field in fields(PoseError)}
    assert told["reason_code"]["enum"] == [code.value for code in ReasonCode]
    assert told["note_codes"]["items"]["enum"] == [code.value for code in NoteCode]


def described(content: dict[str, Any], before: str = "") -> Iterator[str]:
    """The names of all fields of a schema's objects, as the documentation writes them."""
    for key, value in content.get("properties", {}).items():
        yield before + key
        yield from described(value, f"{before}{key}.")
        yield from described(value.get("items", {}), f"{before}{key}[].")


def test_every_field_stands_in_the_documentation():
    page = (ROOT / "Documentation" / "files.md").read_text(encoding="utf-8")
    parts = page.split("## case.json")[1].split("## result.json")
    for text, name in zip(parts, SCHEMAS, strict=True):
        told = schema(name)
        names = {*described(told)}
        for inner, before in (("view", "views[]."), ("camera", "views[].camera.")):
            names |= {*described(told["$defs"].get(inner, {}), before)}
        listed = re.findall(r"^\| `([^`]+)` \| [a-z0-9, ]+ \| (?:yes)? ?\|", text, re.MULTILINE)
        assert sorted(listed) == sorted(names)


def test_a_full_and_a_least_case_are_valid(tmp_path):
    for case in (CASE, {"volume": "ct", "views": [{"image": "b.dcm"}]}):
        VALID.validate(case)
        assert taken(tmp_path, case)


def test_a_case_that_is_written_is_valid(tmp_path):
    view = CaseView(tmp_path / "a.tif", Camera.from_sid(1000, 0.5, 60, 40), "attenuation", frame=3, mirrored=True)
    pose = np.eye(4)
    full = CaseFile(tmp_path / "ct", (view,), tmp_path / "labels", (1, 2), pose, pose, np.zeros((2, 3)), "3")
    for case in (full, CaseFile(tmp_path / "ct", (CaseView(tmp_path / "a.dcm"),))):
        VALID.validate(json.loads(case_text(case, tmp_path)))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_whatever_stands_in_a_place_the_schema_takes_what_the_reader_takes(place, tmp_path):
    for value in OTHERS:
        case = copy.deepcopy(CASE)
        inner = case
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        assert VALID.is_valid(case) is taken(tmp_path, case), f"{place}: {value!r}"


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_without_a_key_the_schema_takes_what_the_reader_takes(place, tmp_path):
    case = copy.deepcopy(CASE)
    inner = case
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    assert VALID.is_valid(case) is taken(tmp_path, case)


@settings(max_examples=60)
# Letters beyond ASCII may have one lower case for several: there "lower" and a pattern differ.
@given(data=st.data(), key=st.text(st.characters(codec="ascii"), max_size=12) | st.sampled_from(FREE_KEYS))
def test_a_key_of_any_name_is_taken_by_both_or_by_none(tmp_path_factory, data, key):
    objects = [place for place in ((), *PLACES) if isinstance(at(CASE, place), dict)]
    place = data.draw(st.sampled_from(objects))
    assume(key not in at(CASE, place))
    case = copy.deepcopy(CASE)
    at(case, place)[key] = "text"
    assert VALID.is_valid(case) is taken(tmp_path_factory.mktemp("keys"), case)


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("views", 0, "camera", "matrix"), [[1.0, 0.0], [0.0, 1.0]]),
        (("views", 0, "camera", "matrix"), [["1", 0, 0], [0, 1, 0], [0, 0, 1]]),
        (("views", 0, "camera", "size"), [512]),
        (("views", 0, "camera", "size"), [512, 512.5]),
        (("views", 0, "calibration"), "rig.txt"),
        (("initial", "world_from_volume"), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (("reference", "targets"), [[1.0, 2.0]]),
        (("reference", "targets"), [[True, 1.0, 2.0]]),
        (("structures",), [1, 0]),
        (("structures",), ["1"]),
        (("structures",), [1.5]),
    ],
)
def test_matrices_and_lists_of_another_shape_are_refused_by_both(place, value, tmp_path):
    case = copy.deepcopy(CASE)
    at(case, place[:-1])[place[-1]] = value
    assert not VALID.is_valid(case) and not taken(tmp_path, case)


def test_all_example_cases_are_valid(shared_data):
    cases = [*shared_data("simulated").glob("*.json"), *shared_data("rando").glob("*.json")]
    assert len(cases) > 8
    for case in (*cases, shared_data("wrist", "case.json")):
        VALID.validate(json.loads(case.read_text(encoding="utf-8")))


RESULT = {
    "world_from_volume": EYE,
    "views": [{"name": "a", "camera_from_volume": EYE, "similarity": None}],
    "accepted": False,
    "reason": "Set by hand.",
    "files": ["result.json"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"accepted": "no"},
        {"reason_code": "because"},
        {"notes": ["One."], "note_codes": []},
        {"views": []},
        {"world_from_volume": EYE[:3]},
        {"quality": {"similarity": "high"}},
        {"quality": {"other": 1.0}},
        {"another": 1},
    ],
)
def test_a_damaged_result_is_not_valid(change):
    require_valid(RESULT)
    with pytest.raises((ValidationError, AssertionError)):
        require_valid({**RESULT, **change})


@pytest.mark.parametrize("name", SCHEMAS)
def test_info_prints_a_schema(name, capfd):
    assert main(["info", "--schema", name]) == 0
    printed = capfd.readouterr()
    assert printed.out == schema_text(name) and printed.err == ""


@pytest.mark.parametrize("arguments", [[], ["case.json", "--schema", "case"]])
def test_info_needs_a_path_or_a_schema(arguments, capfd):
    assert main(["info", *arguments]) == 2
    assert "PATH, or --schema" in capfd.readouterr().err
