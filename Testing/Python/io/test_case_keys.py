"""Every key of a case is known, or refused with the one that was probably meant."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import CaseFile, CaseView, parse_case, write_case
from xrayreg.io.case_file import _CAMERA_KEYS, _CASE_KEYS, _INITIAL_KEYS, _REFERENCE_KEYS, _VIEW_KEYS

EYE = np.eye(4).tolist()
CASE: dict[str, Any] = {
    "volume": "ct.nii.gz",
    "labels": "labels.nii.gz",
    "structures": [1],
    "views": [
        {
            "image": "a.tif",
            "intensity": "auto",
            "frame": 0,
            "mirrored": False,
            "camera": {
                "matrix": [[2000.0, 0.0, 255.5], [0.0, 2000.0, 255.5], [0.0, 0.0, 1.0]],
                "size": [512, 512],
                "camera_from_world": EYE,
                "pixel_mm": 0.5,
            },
        }
    ],
    "initial": {"world_from_volume": EYE},
    "reference": {"world_from_volume": EYE, "targets": [[1.0, 2.0, 3.0]]},
}
# Where in a case an object lies, and the keys it may have.
PLACES: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "case": ((), _CASE_KEYS),
    "view": (("views", 0), _VIEW_KEYS),
    "camera": (("views", 0, "camera"), _CAMERA_KEYS),
    "initial": (("initial",), _INITIAL_KEYS),
    "reference": (("reference",), _REFERENCE_KEYS),
}


def parsed(folder: Path, content: Any) -> CaseFile:
    (folder / "case.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return parse_case(folder / "case.json")


def with_key(place: tuple[Any, ...], key: str, value: Any = 1) -> dict[str, Any]:
    case = copy.deepcopy(CASE)
    inner: Any = case
    for step in place:
        inner = inner[step]
    inner[key] = value
    return case


def test_the_case_itself_is_taken(tmp_path):
    assert parsed(tmp_path, CASE).structures == (1,)


@pytest.mark.parametrize(("place", "keys"), PLACES.values(), ids=PLACES)
def test_a_key_with_two_letters_exchanged_or_one_left_out_is_refused_with_the_right_one(tmp_path, place, keys):
    for key in keys:
        for spoilt in (key[:-1], key[:1] + key[2:], key[1] + key[0] + key[2:], key.upper(), key + "s"):
            if spoilt in keys:
                continue
            with pytest.raises(InputError, match="expected keys that are known here") as caught:
                parsed(tmp_path, with_key(place, spoilt))
            assert f'"{spoilt}"' in caught.value.found
            assert f'write "{key}"' in caught.value.remedy


@pytest.mark.parametrize(("place", "keys"), PLACES.values(), ids=PLACES)
@settings(max_examples=8)
@given(suffix=st.text(max_size=8))
def test_keys_for_people_and_other_programs_are_free(tmp_path_factory, place, keys, suffix):
    folder = tmp_path_factory.mktemp("free")
    for key in (f"x-{suffix}", f"comment{suffix}", f"Note{suffix}"):
        assert parsed(folder, with_key(place, key, {"anything": [suffix]})).structures == (1,)


def test_a_key_like_none_is_refused_with_all_that_are_known(tmp_path):
    with pytest.raises(InputError, match="known are image, intensity, frame, mirrored, camera, calibration"):
        parsed(tmp_path, with_key(("views", 0), "zzz"))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = json.dumps(CASE).replace('"structures": [1]', '"structures": [1], "structures": [2]')
    with pytest.raises(InputError, match='"structures" twice'):
        parsed(tmp_path, text)


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ((), "views", [{}]),
        ((), "volume", ""),
        ((), "volume", "a\0b"),
        ((), "volume", "\ud800"),
        ((), "structures", [10**12]),
        (("views", 0), "frame", 1e3),
        (("views", 0), "frame", True),
        (("views", 0), "frame", 10**30),
        (("views", 0), "image", ""),
        (("views", 0), "intensity", ["auto"]),
        (("views", 0), "intensity", {}),
        (("views", 0, "camera"), "size", [0, 512]),
        (("views", 0, "camera"), "size", [10**9, 10**9]),
        (("views", 0, "camera"), "size", [True, 512]),
        (("views", 0, "camera"), "pixel_mm", True),
        (("views", 0, "camera"), "pixel_mm", -0.5),
        (("views", 0, "camera"), "matrix", [["2000", "0", "255"], ["0", "2000", "255"], ["0", "0", "1"]]),
        (("views", 0, "camera"), "matrix", [[True, 0, 0], [0, True, 0], [0, 0, True]]),
        (("views", 0, "camera"), "matrix", [[1e300, 0, 255], [0, 1e300, 255], [0, 0, 1]]),
        (("views", 0, "camera"), "matrix", [[None] * 3] * 3),
        (("initial",), "world_from_volume", (np.eye(4) * [1, 1, 1, 1e300]).tolist()),
        (("initial",), "world_from_volume", [[1, 0, 0, 1e9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        (("initial",), "world_from_volume", [[1e200, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        (("initial",), "world_from_volume", [[[[1]]]]),
        (("reference",), "targets", [[True, 1, 2]]),
        (("reference",), "targets", 7),
    ],
)
def test_values_of_another_kind_or_beyond_measure_are_refused_in_one_line(tmp_path, place, key, value):
    with pytest.raises(InputError) as caught:
        parsed(tmp_path, with_key(place, key, value))
    assert "\n" not in str(caught.value)


def test_what_the_program_writes_it_reads(tmp_path):
    view = CaseView(tmp_path / "a.tif", Camera.from_sid(1000, 0.5, 60, 40), "attenuation", frame=3, mirrored=True)
    pose = np.eye(4)
    case = CaseFile(tmp_path / "ct", (view,), tmp_path / "labels", (1, 2), pose, pose, np.zeros((2, 3)))
    write_case(tmp_path / "case.json", case)
    again = parse_case(tmp_path / "case.json")
    assert (again.structures, again.views[0].frame, again.views[0].mirrored) == ((1, 2), 3, True)


def test_all_example_cases_are_taken(shared_data):
    cases = [*shared_data("simulated").glob("*.json"), *shared_data("rando").glob("*.json")]
    assert len(cases) > 8
    for case in (*cases, shared_data("wrist", "case.json")):
        assert parse_case(case).views
