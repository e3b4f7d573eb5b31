"""Bad input ends with exit code 2, one line that names the thing, and no file written."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.cli import main

Case = dict[str, Any]
SIDE_PX = 112


@pytest.fixture
def refused(register, tmp_path, capfd) -> Callable[..., str]:
    """Registers a case that must be refused, and returns the one line that says why, in lower case."""

    def run(case: Case | Path, *options: str, out: Path | None = None) -> str:
        before = sorted(tmp_path.rglob("*"))
        # The torch engine has nothing to compile.
        engine = () if "--engine" in options else ("--engine", "torch")
        code = register(case, *options, *engine, out=out)
        written = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.name != "case.json"]
        printed = capfd.readouterr()
        assert code == 2
        assert not written
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err.lower()

    return run


def spacing_of_zero(path: Path, spacing: float) -> Path:
    """A NIfTI file with a spacing that no writer would write, set in its header."""
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    data = bytearray(image.to_bytes())
    # pixdim[1] of the NIfTI-1 header.
    data[80:84] = np.float32(spacing).tobytes()
    path.write_bytes(gzip.compress(bytes(data)))
    return path


def saved(path: Path, values: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    return path


def tissue(shape: tuple[int, ...] = (6, 6, 6), dtype: type = np.int16) -> np.ndarray:
    values = np.full(shape, -1000, dtype)
    values[..., 2:4] = 60
    return values


VOLUMES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nothing.mha", "nothing.mha"),
    "not an image": (lambda folder: written_text(folder / "ct.nrrd"), "ct.nrrd"),
    "damaged": (lambda folder: written_text(folder / "ct.nii.gz"), "ct.nii.gz"),
    "an empty folder": (lambda folder: made(folder / "series"), "series"),
    "one slice": (lambda folder: saved(folder / "ct.mha", tissue((1, 6, 6))), "slice"),
    "NaN": (lambda folder: saved(folder / "ct.mha", np.full((6, 6, 6), np.nan, np.float32)), "nan"),
    "all air": (lambda folder: saved(folder / "ct.mha", np.full((6, 6, 6), -1000, np.int16)), "air"),
    "spacing of zero": (lambda folder: spacing_of_zero(folder / "ct.nii.gz", 0.0), "spacing"),
    "negative spacing": (lambda folder: spacing_of_zero(folder / "ct.nii.gz", -1.0), "spacing"),
    "four dimensions": (lambda folder: saved_4d(folder / "ct.nii.gz"), "time point"),
}


def written_text(path: Path) -> Path:
    path.write_text("this is no image\n", encoding="utf-8")
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


def saved_4d(path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)), path)
    return path


@pytest.mark.parametrize(("make", "word"), VOLUMES.values(), ids=VOLUMES)
def test_a_volume_that_cannot_be_used_is_refused(make, word, one_view, refused, tmp_path):
    one_view["volume"] = str(make(tmp_path))
    line = refused(one_view)
    assert "volume" in line or "voxel" in line
    assert word in line


def ramp() -> np.ndarray:
    return np.linspace(0, 1, SIDE_PX * SIDE_PX, dtype=np.float32).reshape(SIDE_PX, SIDE_PX)


def coloured(folder: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 255, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(folder / "xray.png"))
    return folder / "xray.png"


def with_value(value: float) -> np.ndarray:
    image = ramp()
    image[3, 4] = value
    return image


XRAYS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nothing.tif", "nothing.tif"),
    "not an image": (lambda folder: written_text(folder / "xray.tif"), "xray.tif"),
    "three channels": (coloured, "grey"),
    "one value": (lambda folder: saved(folder / "xray.tif", np.full((SIDE_PX, SIDE_PX), 7, np.uint16)), "constant"),
    "all saturated": (
        lambda folder: saved(folder / "xray.tif", np.full((SIDE_PX, SIDE_PX), 65535, np.uint16)),
        "saturated",
    ),
    "black and white": (lambda folder: saved(folder / "xray.tif", (ramp() > 0.5).astype(np.uint8)), "black or white"),
    "NaN": (lambda folder: saved(folder / "xray.tif", with_value(np.nan)), "nan"),
    "infinity": (lambda folder: saved(folder / "xray.tif", with_value(np.inf)), "infinity"),
    "another size than the camera's": (lambda folder: saved(folder / "xray.tif", ramp()[:-1]), "112 x 111"),
}


@pytest.mark.parametrize(("make", "word"), XRAYS.values(), ids=XRAYS)
def test_an_xray_that_cannot_be_used_is_refused(make, word, one_view, refused, tmp_path):
    one_view["views"][0]["image"] = str(make(tmp_path))
    line = refused(one_view)
    assert "x-ray" in line
    assert word in line


CAMERAS: dict[str, tuple[Callable[[Case], object], str]] = {
    "missing": (lambda view: view.pop("camera"), "camera"),
    "singular matrix": (lambda view: view["camera"].update(matrix=np.zeros((3, 3)).tolist()), "singular"),
    "negative focal length": (lambda view: negated(view["camera"]["matrix"]), "positive focal lengths"),
    "matrix of another shape": (lambda view: view["camera"].update(matrix=[[1, 0], [0, 1]]), "3 x 3"),
    "no matrix": (lambda view: view["camera"].pop("matrix"), "matrix"),
    "a rotation that is none": (lambda view: stretched(view["camera"]["camera_from_world"]), "rotation"),
    "a reflection": (lambda view: reflected(view["camera"]["camera_from_world"]), "reflection"),
    "a size of three numbers": (lambda view: view["camera"].update(size=[1, 2, 3]), "[width, height]"),
}


def negated(matrix: list[list[float]]) -> None:
    matrix[0][0] = -matrix[0][0]


def stretched(pose: list[list[float]]) -> None:
    pose[0][0] *= 1.1


def reflected(pose: list[list[float]]) -> None:
    for row in pose:
        row[0] = -row[0]


@pytest.mark.parametrize(("spoil", "word"), CAMERAS.values(), ids=CAMERAS)
def test_a_camera_that_cannot_be_one_is_refused(spoil, word, one_view, refused):
    spoil(one_view["views"][0])
    line = refused(one_view)
    assert "camera" in line
    assert word in line


CASES: dict[str, tuple[Callable[[Case], object], str]] = {
    "no volume": (lambda case: case.pop("volume"), "volume"),
    "no views": (lambda case: case.update(views=[]), "views"),
    "a structure that no voxel has": (lambda case: case.update(structures=[1, 99]), "99"),
    "structures without a label map": (lambda case: (case.pop("labels"), case.update(structures=[1])), "label map"),
    "an initial rotation that is none": (lambda case: stretched(case["initial"]["world_from_volume"]), "rotation"),
    "a reference that is a reflection": (lambda case: reflected(case["reference"]["world_from_volume"]), "reflection"),
}


@pytest.mark.parametrize(("spoil", "word"), CASES.values(), ids=CASES)
def test_a_case_that_makes_no_sense_is_refused(spoil, word, one_view, refused):
    spoil(one_view)
    assert word in refused(one_view)


def test_a_volume_entirely_outside_the_view_is_refused(one_view, refused):
    one_view["initial"]["world_from_volume"][0][3] += 5000.0
    line = refused(one_view)
    assert "initial pose" in line
    assert "outside the view" in line


def test_a_volume_behind_the_source_is_refused(one_view, refused):
    one_view["initial"]["world_from_volume"][2][3] -= 5000.0
    assert "outside the view" in refused(one_view)


def moved_labels(ward, folder: Path, shift_mm: float, every: int = 1) -> str:
    """The label map, moved along x, on a grid of its own with every nth voxel."""
    spacing = 5.0 * every
    image = sitk.GetImageFromArray(np.ascontiguousarray(ward.labels[::every, ::every, ::every]))
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([-ward.origin[0] - shift_mm, -ward.origin[1], ward.origin[2]])
    image.SetDirection([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0])
    sitk.WriteImage(image, str(folder / "moved.mha"))
    return str(folder / "moved.mha")


def test_a_label_map_beside_the_volume_is_refused(ward, one_view, refused, tmp_path):
    one_view["labels"] = moved_labels(ward, tmp_path, 2000.0)
    assert "label map" in refused(one_view)


def test_a_label_map_on_another_grid_of_the_same_frame_is_taken(ward, one_view, register, tmp_path):
    one_view["labels"] = moved_labels(ward, tmp_path, 0.0, every=2)
    one_view["structures"] = [1, 2, 3]
    options = ("--init", "case", "--engine", "torch", "--no-pictures", "--quiet")
    assert register(one_view, *options) in (0, 3)
    assert (tmp_path / "out" / "result.json").is_file()


def test_json_that_does_not_parse_is_told_with_its_line(refused, tmp_path):
    (tmp_path / "broken.json").write_text('{\n "volume": }\n', encoding="utf-8")
    assert "line 2" in refused(tmp_path / "broken.json")


def test_a_case_that_is_missing_is_refused(refused, tmp_path):
    assert "nowhere.json" in refused(tmp_path / "nowhere.json")


@pytest.mark.parametrize("inside", [(), ("deeper",)], ids=["the file itself", "below it"])
def test_a_file_in_the_way_of_the_output_is_told_before_anything_is_computed(inside, refused, tmp_path):
    file = tmp_path / "taken"
    file.write_text("mine", encoding="utf-8")
    # The case is missing too; that the output is named proves that it is looked at first.
    line = refused(tmp_path / "nowhere.json", out=file.joinpath(*inside))
    assert "output folder" in line
    assert "taken" in line
    assert file.read_text(encoding="utf-8") == "mine"


def test_an_earlier_result_survives_bad_input(one_view, refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.json").write_text("{}", encoding="utf-8")
    one_view["volume"] = "nothing.mha"
    refused(one_view)
    assert (tmp_path / "out" / "result.json").read_text(encoding="utf-8") == "{}"


OPTIONS = {
    "engine": ("--engine", "warp", "numba"),
    "effort": ("--effort", "heroic", "thorough"),
    "device": ("--device", "abacus", "cpu"),
    "init": ("--init", "wish", "search"),
    "seed": ("--seed", "many", "int"),
}


@pytest.mark.parametrize(("option", "value", "word"), OPTIONS.values(), ids=OPTIONS)
def test_an_unknown_choice_is_told_with_the_known_ones(option, value, word, one_view, refused):
    line = refused(one_view, option, value)
    assert value in line
    assert word in line


def test_a_start_from_the_case_needs_one(one_view, refused):
    del one_view["initial"]
    assert "initial" in refused(one_view, "--init", "case")


def test_an_engine_whose_package_is_missing_is_told_with_the_way_out(one_view, refused, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else find(name, *rest))
    line = refused(one_view, "--engine", "numba")
    assert "pip install numba" in line


COMMANDS = {
    "render without a volume": (["render", "--out", "{out}/drr.png"], "--case"),
    "render to an unknown format": (["render", "--volume", "{ct}", "--out", "{out}/drr.gif"], ".png"),
    "render beside the volume": (
        ["render", "--volume", "{ct}", "--isocentre", "9000", "0", "0", "--out", "{out}/drr.png"],
        "outside the view",
    ),
    "render by a C-arm without length": (["render", "--volume", "{ct}", "--sid", "0", "--out", "{out}/a.png"], "sid"),
    "render exact integrals by a fast engine": (
        ["render", "--volume", "{ct}", "--picture", "siddon", "--engine", "torch", "--out", "{out}/a.png"],
        "reference engine",
    ),
    "render an unknown picture": (
        ["render", "--volume", "{ct}", "--picture", "photo", "--out", "{out}/a.png"],
        "joseph, trilinear, siddon, mip",
    ),
    "render a parallel beam away from the volume": (
        ["render", "--volume", "{ct}", "--beam", "parallel", "--isocentre", "0", "3000", "0", "--out", "{out}/a.png"],
        "outside the view",
    ),
    "simulate a structure that is not there": (
        ["simulate", "--volume", "{ct}", "--labels", "{labels}", "--structures", "77", "--out", "{out}"],
        "77",
    ),
    "simulate with labels that are none": (
        ["simulate", "--volume", "{ct}", "--structures", "1,x", "--out", "{out}"],
        "1,2,3",
    ),
    "info on nothing": (["info", "{out}/nothing.dcm"], "nothing.dcm"),
    "no command": ([], "command"),
    "an unknown command": (["registre"], "register"),
}


@pytest.mark.parametrize(("argv", "word"), COMMANDS.values(), ids=COMMANDS)
def test_the_other_commands_refuse_in_one_line_too(argv, word, ward, tmp_path, capfd):
    out = tmp_path / "out"
    names = {"out": out, "ct": ward.folder / "ct.mha", "labels": ward.folder / "labels.mha"}
    assert main([part.format(**names) for part in argv]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert word in printed.err.lower()
    assert not out.exists()
