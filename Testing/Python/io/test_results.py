"""Results appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from killed_at_each_step import killed_at_each_step, needs_fork
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.io import prepare_output, results, safe_name, write_image, write_json, write_nifti, write_pose
from xrayreg.io.results import replace_file, replacing


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


def limited(work, most: int) -> BaseException | None:
    """What `work` raises where no file may have more bytes: the system refuses the rest, as a full disk does."""
    resource = pytest.importorskip("resource")
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        work()
    except OSError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    return None


NOISE = np.random.default_rng(0)
WRITERS = {
    "x.png": lambda path: write_image(path, NOISE.integers(0, 255, (50, 50, 3)).astype(np.uint8)),
    "x.tif": lambda path: write_image(path, NOISE.normal(size=(30, 30)).astype(np.float32)),
    "colour.tif": lambda path: write_image(path, NOISE.integers(0, 255, (20, 20, 3)).astype(np.uint8)),
    "x.tfm": lambda path: write_pose(path, np.eye(4)),
    "x.json": lambda path: write_json(path, {"numbers": list(range(2000))}),
    "x.nii": lambda path: write_nifti(path, np.zeros((8, 9, 10), np.int16), np.eye(4)),
    "x.nii.gz": lambda path: write_nifti(path, NOISE.integers(0, 999, (8, 9, 10)).astype(np.int16), np.eye(4)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_without_room_for_the_whole_file_there_is_an_error_with_its_name_and_the_old_one_stays(tmp_path, name):
    """SimpleITK says nothing when the last bytes of a small file find no room."""
    path = tmp_path / name
    WRITERS[name](path)
    size, old = path.stat().st_size, path.read_bytes()
    for most in sorted({0, 1, 7, 8, 100, 4095, 4096, size // 2, size - 200, size - 13, size - 12, size - 1}):
        if not 0 <= most < size:
            continue
        error = limited(lambda: WRITERS[name](path), most)
        assert error is not None and error.filename == str(path), most
        assert path.read_bytes() == old
        assert [found.name for found in tmp_path.iterdir()] == [name]
    assert limited(lambda: WRITERS[name](path), 1 << 20) is None


@needs_fork
@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_any_step_a_writer_leaves_the_old_file_or_the_new_and_the_next_sweeps_up(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    for _ in killed_at_each_step(lambda: WRITERS[name](path)):
        content = path.read_bytes()
        assert content == b"old" or len(content) > 100
        replace_file(path, lambda temporary: temporary.write_bytes(b"old"))
        assert {found.name for found in tmp_path.iterdir()} == {name}


def test_nothing_of_a_living_writer_or_of_somebody_else_is_swept_up(tmp_path):
    path = tmp_path / "x.json"
    others = [".x-abcdefgh.json", ".x-abcdefghijkl.json", ".x-.json", ".y-abcdefgh.json"]
    for name in others:
        (tmp_path / name).write_text("keep")
    with replacing(path) as temporary:
        write_json(path, {"a": 1})
        assert temporary.exists()
        assert {found.name for found in tmp_path.iterdir()} == {"x.json", temporary.name, *others}
        temporary.write_text("{}")


def test_a_long_name_gets_a_neighbour_too(tmp_path):
    for name in ("x" * 245 + ".json", "é" * 120 + ".json"):
        write_json(tmp_path / name, {"a": 1})
        assert [found.name for found in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_names_of_files_are_short_enough_for_any_file_system():
    for text in ("x" * 400, "é" * 300, "\U0001f9b4" * 100, "a/b" * 100):
        name = safe_name(text)
        assert 0 < len(f"overlay_{name}_12.png".encode()) <= 255 and "/" not in name
