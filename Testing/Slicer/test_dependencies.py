"""How packages are asked for: through whom, in which words, and what happens when the user says no."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Computer:
    """A Slicer on which only `installed` packages are there, and whose installers obey `agree`."""

    def __init__(self, installed: set[str], agree: bool = True) -> None:
        self.installed, self.agree = installed, agree
        self.asked: list[list[str]] = []
        self.torch_wanted: list[str] = []

    def pip_ensure(self, requirements: list[str], requester: str) -> None:
        assert requester == "XRayRegistration"
        self.asked.append(requirements)
        if not self.agree:
            raise RuntimeError("User declined package installation")
        self.installed |= {requirement.split(">=")[0] for requirement in requirements}

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> object:
        assert askConfirmation
        self.torch_wanted.append(torchVersionRequirement)
        if not self.agree:
            return None
        self.installed.add("torch")
        return object()


REQUIRED = {"torch", "matplotlib", "nibabel", "pillow", "pydicom", "scipy"}


@pytest.fixture
def dependencies(app: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module under test, with nothing asked yet and outside Slicer's testing mode."""
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "_asked", set())
    monkeypatch.setattr(app, "testingEnabled", lambda: False)
    return dependencies


@pytest.fixture
def computer(dependencies: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a computer the one under the module's feet."""

    def make(this: Computer, with_packaging: bool = True, with_torch_utils: bool = True) -> Computer:
        import slicer

        monkeypatch.setattr(dependencies, "_isInstalled", lambda name: name in this.installed)
        packaging = types.ModuleType("slicer.packaging")
        packaging.pip_ensure = this.pip_ensure
        find_spec = dependencies.importlib.util.find_spec
        monkeypatch.setattr(
            dependencies.importlib.util,
            "find_spec",
            lambda name: with_packaging if name == "slicer.packaging" else find_spec(name),
        )
        monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
        utils = types.ModuleType("PyTorchUtils")
        utils.PyTorchUtilsLogic = lambda: this
        monkeypatch.setitem(sys.modules, "PyTorchUtils", utils if with_torch_utils else None)
        monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: this.agree, raising=False)
        monkeypatch.setattr(
            slicer.util, "pip_install", lambda what: this.pip_ensure([what], "XRayRegistration"), raising=False
        )
        return this

    return make


def test_nothing_is_asked_when_everything_is_there(dependencies, computer):
    this = computer(Computer(REQUIRED | {"numba"}))
    dependencies.ensure()
    assert not this.asked
    assert not this.torch_wanted


def test_torch_comes_through_its_extension_and_the_rest_through_pip(dependencies, computer):
    this = computer(Computer({"scipy", "pillow", "pydicom"}))
    dependencies.ensure()
    assert this.torch_wanted == [">=2.4"]
    assert this.asked == [["matplotlib>=3.8", "nibabel>=5.2"], ["numba>=0.60"]]
    assert not any("torch" in requirement for asked in this.asked for requirement in asked)


def test_without_the_pytorch_extension_the_user_is_told_where_to_get_it(dependencies, computer):
    computer(Computer(REQUIRED - {"torch"}), with_torch_utils=False)
    with pytest.raises(dependencies.MissingPackages, match="Install the extension PyTorch in the Extensions Manager"):
        dependencies.ensure()


@pytest.mark.parametrize("without", ["torch", "nibabel"])
@pytest.mark.parametrize("with_packaging", [True, False], ids=["5.12", "5.10"])
def test_a_user_who_declines_is_told_what_is_missing(dependencies, computer, without, with_packaging):
    computer(Computer(REQUIRED - {without}, agree=False), with_packaging)
    with pytest.raises(dependencies.MissingPackages, match=r"PyTorch is needed|nibabel>=5\.2 could not be installed"):
        dependencies.ensure()


def test_slicer_5_10_installs_after_asking_itself(dependencies, computer):
    this = computer(Computer(REQUIRED - {"nibabel"} | {"numba"}), with_packaging=False)
    dependencies.ensure()
    assert this.asked == [["nibabel>=5.2"]]


def test_numba_is_offered_once_and_may_be_declined(dependencies, computer):
    this = computer(Computer(set(REQUIRED), agree=False))
    dependencies.ensure()
    dependencies.ensure()
    assert this.asked == [["numba>=0.60"]]


def test_a_failing_installer_is_told_in_words(dependencies, computer, monkeypatch):
    this = computer(Computer(REQUIRED - {"nibabel"}))

    def fail(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", fail)
    with pytest.raises(dependencies.MissingPackages, match=r"nibabel>=5\.2 could not be installed"):
        dependencies.ensure()
    assert dependencies.missing() == ["nibabel"]
    assert not this.asked


def test_an_installer_that_installs_nothing_is_noticed(dependencies, computer, monkeypatch):
    computer(Computer(REQUIRED - {"nibabel"}))
    # So does pip_ensure in Slicer's testing mode.
    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", lambda *_, **__: None)
    with pytest.raises(dependencies.MissingPackages, match="Python packages are missing: nibabel"):
        dependencies.ensure()


def test_the_requirements_are_those_of_the_package(dependencies):
    project = tomllib.loads((ROOT / "XRayRegistration" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {dependencies.TORCH, *dependencies.REQUIRED, *dependencies.OPTIONAL}
    assert wanted <= set(project["dependencies"])
    # Slicer brings these along, and only the command line needs rich.
    left_out = {line for line in project["dependencies"] if line not in wanted}
    assert {line.split(">=")[0] for line in left_out} == {"numpy", "rich", "SimpleITK"}
