"""The Python package as pip builds it: from the repository's root and from its own folder, with everything it needs."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import list_sources
from xrayreg import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "XRayRegistration"
BUILD = "import sys; sys.path[:0] = sys.argv[2:]; import {} as backend; print(backend.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the repository a build reads, without anything that an earlier build left behind."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is not installed: no wheel was built")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip(f"setuptools {setuptools.__version__} is too old to build a wheel: 77 is needed")
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", folder)
    no_litter = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("Packaging", "XRayRegistration"):
        shutil.copytree(ROOT / name, folder / name, ignore=no_litter)
    return folder


def built(checkout: Path, folder: str, backend: str, out: Path, *paths: str) -> Path:
    """The wheel that a build backend makes in a folder of the checkout, as pip asks for it."""
    out.mkdir()
    command = [sys.executable, "-c", BUILD.format(backend), str(out), *paths]
    done = subprocess.run(command, cwd=checkout / folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the repository's root."""
    out = tmp_path_factory.mktemp("wheels") / "root"
    return built(checkout, ".", "root_backend", out, str(checkout / "Packaging"))


def test_the_wheel_of_the_root_is_that_of_the_package(checkout, wheel, tmp_path):
    own = built(checkout, "XRayRegistration", "setuptools.build_meta", tmp_path / "own")
    assert own.name == wheel.name == f"xrayreg-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(own) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    lists = list_sources.files_on_disk(PACKAGE)
    expected = {name for names in lists.values() for name in names if name.startswith("xrayreg/")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected and "xrayreg/py.typed" in names


def test_the_wheel_brings_licence_readme_and_program(wheel):
    home = f"xrayreg-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{home}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert "xrayreg = xrayreg.__main__:main" in archive.read(f"{home}/entry_points.txt").decode()
        metadata = email.message_from_bytes(archive.read(f"{home}/METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "2D/3D registration" in metadata.get_payload()


def test_both_copies_of_the_licence_are_the_same():
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_citation_file_names_this_version():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {__version__}" in lines


def test_libraries_whose_private_parts_are_used_have_an_upper_bound():
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (numba,) = (line for line in project["dependencies"] if line.startswith("numba"))
    assert ",<" in numba


def test_the_program_runs_as_a_module_and_is_called_by_its_name():
    done = subprocess.run(
        [sys.executable, "-m", "xrayreg", "--help"], cwd=PACKAGE, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: xrayreg ")
    assert "python -m" not in done.stdout
