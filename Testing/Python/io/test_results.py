"""Results appear whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.io import prepare_output, results, write_image, write_json


def test_json_holds_plain_numbers_and_null_for_what_is_none(tmp_path):
    content = {
        "pose": np.eye(2),
        "count": np.int64(3),
        "score": np.float32(0.5),
        "nan": float("nan"),
        "inside": [np.inf, (1, np.nan)],
        "flag": np.bool_(True),
        "none": None,
        1: "é",
        "path": Path("a/b"),
    }
    write_json(tmp_path / "result.json", content)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8")) == {
        "pose": [[1.0, 0.0], [0.0, 1.0]],
        "count": 3,
        "score": 0.5,
        "nan": None,
        "inside": [None, [1, None]],
        "flag": True,
        "none": None,
        "1": "é",
        "path": str(Path("a/b")),
    }


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_json(tmp_path / "result.json", {"old": 1})
    with pytest.raises(TypeError, match=r"no JSON for a object"):
        write_json(tmp_path / "result.json", {"new": object()})

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(results.os, "replace", full)
    with pytest.raises(OSError, match=r"no space left"):
        write_json(tmp_path / "result.json", {"new": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text()) == {"old": 1}


def test_results_have_the_rights_of_any_new_file(tmp_path):
    write_json(tmp_path / "result.json", {})
    (tmp_path / "plain").write_text("")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("result.json", "plain")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("name", ["x.tif", "x.tiff"])
def test_a_float_image_is_kept_exactly(tmp_path, name):
    image = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    write_image(tmp_path / name, image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_grey_picture_is_kept_exactly(tmp_path, dtype):
    image = np.arange(35).reshape(5, 7).astype(dtype)
    write_image(tmp_path / "x.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), image)


def test_a_colour_picture_is_kept_exactly(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    write_image(tmp_path / "x.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png").convert("RGB")), image)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("x.png", np.zeros((5, 7), np.float32)),
        ("x.tif", np.zeros((5, 7))),
        ("x.jpg", np.zeros((5, 7), np.uint8)),
        ("x.png", np.zeros((5, 7, 4), np.uint8)),
    ],
)
def test_an_image_the_format_cannot_hold_is_refused(tmp_path, name, image):
    with pytest.raises(ValueError, match=r"x.* expected"):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_is_made_and_nothing_in_it(tmp_path):
    path = prepare_output(tmp_path / "a" / "b")
    assert path.is_dir() and list(path.iterdir()) == []
    assert prepare_output(path) == path


@pytest.mark.parametrize("below", ["", "b"])
def test_a_file_in_the_way_is_told(tmp_path, below):
    (tmp_path / "a").write_text("keep me")
    with pytest.raises(
        InputError, match=r"output folder: expected a folder that can be written to.*choose another folder"
    ):
        prepare_output(tmp_path / "a" / below)
    assert (tmp_path / "a").read_text() == "keep me"
