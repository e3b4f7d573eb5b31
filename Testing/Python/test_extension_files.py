"""The extension's description, catalogue entry, file lists and CMake files agree with each other and with the disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import list_sources

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "Testing" / "Slicer" / "cmake"
RAW = "https://raw.githubusercontent.com/XRayRegistration/SlicerXRayRegistration/main/"


def cmake_settings() -> dict[str, str]:
    """What CMakeLists.txt says about the extension, by lower-case key."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    settings = dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)$', text, flags=re.MULTILINE))
    name = re.search(r"^project\((\w+) NONE\)$", text, flags=re.MULTILINE)
    assert name, "CMakeLists.txt has no project(... NONE) line"
    return {"name": name[1], **{key.lower(): value for key, value in settings.items()}}


def catalogue_entry() -> dict:
    return json.loads((ROOT / "XRayRegistration.json").read_text(encoding="utf-8"))


def classic_entry() -> dict[str, str]:
    """The .s4ext file: a key and the rest of the line, comments and empty lines aside."""
    lines = (ROOT / "XRayRegistration.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "a key without a value"
    return {key: value for key, value in pairs}


def test_all_description_files_are_named_after_the_project():
    name = cmake_settings()["name"]
    assert not name.startswith("Slicer")
    for path in (f"{name}.json", f"{name}.s4ext", f"Resources/{name}.png", f"{name}/CMakeLists.txt"):
        assert (ROOT / path).is_file(), path


def test_the_catalogue_entry_keeps_to_its_schema():
    # Keys of schema 1.0.2, which allows no others; the index accepts only text with Unix line ends.
    allowed = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"}
    allowed |= {"build_subdirectory", "enabled", "tier", "dicom_support_rule"}
    entry = catalogue_entry()
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["scm_url"].removesuffix(".git").rsplit("/", 1)[1].startswith("Slicer")
    assert entry["tier"] in (1, 3, 5)
    assert entry["enabled"] is True
    assert "Modality == 'XA'" in entry["dicom_support_rule"]
    assert "Modality == 'RF'" in entry["dicom_support_rule"]
    assert b"\r" not in (ROOT / "XRayRegistration.json").read_bytes()


def test_the_three_descriptions_say_the_same():
    cmake, entry, classic = cmake_settings(), catalogue_entry(), classic_entry()
    assert cmake["depends"].split() == entry["build_dependencies"] == classic["depends"].split()
    assert entry["category"] == classic["category"] == "Registration"
    assert entry["scm_url"] == classic["scmurl"] == cmake["homepage"] + ".git"
    assert entry["scm_revision"] == classic["scmrevision"]
    assert entry["scm_type"] == classic["scm"]
    assert entry["build_subdirectory"] == classic["build_subdirectory"]
    assert int(entry["enabled"]) == int(classic["enabled"])
    assert (entry["tier"], classic["status"]) == (1, "Experimental")
    for key in ("homepage", "contributors", "description", "iconurl", "screenshoturls"):
        assert cmake[key] == classic[key], key


def test_the_python_package_has_the_same_home_and_licence():
    project = tomllib.loads((ROOT / "XRayRegistration" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Homepage"] == cmake_settings()["homepage"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(f"{project['license']} License")


def test_every_picture_of_the_description_is_in_the_repository():
    cmake = cmake_settings()
    for address in [cmake["iconurl"], *cmake["screenshoturls"].split()]:
        assert address.startswith(RAW), address
        with Image.open(ROOT / address.removeprefix(RAW)) as image:
            image.verify()


PAGES = (
    *sorted(path.name for path in ROOT.glob("*.md")),
    *sorted(f"Documentation/{path.name}" for path in (ROOT / "Documentation").glob("*.md")),
)


def pictures_of(page: str) -> list[Path]:
    """The files of the pictures that a page shows."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(ROOT / page).parent / target for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)]


def test_every_picture_of_a_page_is_there_and_small():
    shown = {path.resolve() for page in PAGES for path in pictures_of(page)}
    assert len(shown) > 5
    for path in shown:
        with Image.open(path) as image:
            image.verify()
        # A clone is what everybody downloads, and it holds every version there ever was.
        assert path.stat().st_size < 300_000, path


def test_no_screenshot_is_left_over():
    shown = {path.resolve() for page in PAGES for path in pictures_of(page)}
    assert {*(ROOT / "Resources" / "Screenshots").iterdir()} <= shown


def test_the_home_page_says_where_module_pictures_come_from():
    for page in ("README.md", "Documentation/tutorial.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").replace("*", "").split())
        assert "not screenshots of Slicer itself" in text, page


@pytest.mark.parametrize(
    "path", ["Resources/XRayRegistration.png", "XRayRegistration/Resources/Icons/XRayRegistration.png"]
)
def test_the_icon_is_square_and_transparent_outside(path):
    icon = np.asarray(Image.open(ROOT / path))
    assert icon.shape == (128, 128, 4)
    assert not icon[[0, 0, -1, -1], [0, -1, 0, -1], 3].any()
    assert icon[..., 3].max() == 255


def test_every_file_of_the_module_is_listed_for_installation():
    text = (list_sources.MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    problems = list_sources.differences(text, list_sources.files_on_disk(list_sources.MODULE))
    assert not problems, "\n".join(["run: python Testing/Tools/list_sources.py --write", *problems])


def test_a_forgotten_and_a_vanished_file_are_both_told(tmp_path):
    text = (list_sources.MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    for name in ("Module.py", "xrayreg/new.py", "xrayreg/__pycache__/old.py", "Resources/Icons/Module.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lists = list_sources.files_on_disk(tmp_path)
    assert lists == {"scripts": ["Module.py", "xrayreg/new.py"], "resources": ["Resources/Icons/Module.png"]}
    problems = list_sources.differences(text, lists)
    assert "not listed under scripts: xrayreg/new.py" in problems
    assert "listed under scripts but not there: xrayreg/checks.py" in problems
    assert not list_sources.differences(list_sources.with_lists(text, lists), lists)


def run_cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed: the CMake files were not tried")
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)


def copy_of_the_extension(folder: Path) -> Path:
    for name in ("CMakeLists.txt", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, folder)
    for name in ("Testing", "XRayRegistration"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    return folder


def test_cmake_configures_tests_and_packs_the_extension(tmp_path):
    done = run_cmake("cmake", "-S", ROOT, "-B", tmp_path, f"-DSlicer_DIR={STAND_IN}")
    assert done.returncode == 0, done.stderr
    listed = run_cmake("ctest", "--test-dir", tmp_path, "-N").stdout
    for name in ("py_XRayRegistration", "py_XRayRegistrationInstallTest"):
        assert re.search(rf": {name}(?: \(Disabled\))?\n", listed), listed
    tested = run_cmake("ctest", "--test-dir", tmp_path, "--output-on-failure", "-R", "InstallTest")
    assert tested.returncode == 0, tested.stdout
    packed = run_cmake("cpack", "--config", tmp_path / "CPackConfig.cmake", "-B", tmp_path)
    assert packed.returncode == 0, packed.stderr
    with tarfile.open(tmp_path / "XRayRegistration.tar.gz") as archive:
        files = [member.name for member in archive if member.isfile()]
    lists = list_sources.files_on_disk(list_sources.MODULE)
    assert {*lists["scripts"], *lists["resources"]} == {name.partition("qt-scripted-modules/")[2] for name in files}


def test_cmake_registers_no_tests_where_none_are_wanted(tmp_path):
    done = run_cmake("cmake", "-S", ROOT, "-B", tmp_path, f"-DSlicer_DIR={STAND_IN}", "-DBUILD_TESTING=OFF")
    assert done.returncode == 0, done.stderr
    assert "Total Tests: 0" in run_cmake("ctest", "--test-dir", tmp_path, "-N").stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "XRayRegistration/xrayreg/forgotten.py").touch(), "xrayreg/forgotten.py"),
        (lambda root: (root / "XRayRegistration/xrayreg/checks.py").unlink(), "checks.py is listed but does not exist"),
    ],
    ids=["a file that is not listed", "a listed file that is not there"],
)
def test_cmake_refuses_lists_that_disagree_with_the_disk(tmp_path, change, said):
    (tmp_path / "source").mkdir()
    root = copy_of_the_extension(tmp_path / "source")
    change(root)
    done = run_cmake("cmake", "-S", root, "-B", tmp_path / "build", f"-DSlicer_DIR={STAND_IN}")
    assert done.returncode != 0
    assert said in " ".join(done.stderr.split())
