"""How packages are asked for: through whom, in which words, and what happens when the user says no."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

REQUIRED = {"torch", "nibabel", "pillow", "psutil", "pydicom", "scipy"}
EVERYTHING = REQUIRED | {"matplotlib", "numba"}
# All that Slicer tells about a pip that did not get through.
PIP_FAILED = subprocess.CalledProcessError(1, ["pip", "install", "a very long command line"])


class Computer:
    """A Slicer on which only `installed` packages are there, and whose installers obey `agree` or raise `fails`."""

    def __init__(
        self, installed: set[str], agree: bool = True, fails: Exception | None = None, versions: dict | None = None
    ) -> None:
        self.installed, self.agree, self.fails, self.versions = installed, agree, fails, versions or {}
        self.asked: list[list[str]] = []
        self.torch_wanted: list[str] = []

    def pip_ensure(self, requirements: list[str], requester: str) -> None:
        assert requester == "XRayRegistration"
        self.asked.append(requirements)
        if not self.agree:
            raise RuntimeError("User declined package installation")
        if self.fails:
            raise self.fails
        names = {requirement.split(">=")[0] for requirement in requirements}
        self.installed |= names
        self.versions = {name: version for name, version in self.versions.items() if name not in names}

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> object:
        assert askConfirmation
        self.torch_wanted.append(torchVersionRequirement)
        if not self.agree:
            return None
        if self.fails:
            raise self.fails
        self.installed.add("torch")
        return object()


@pytest.fixture
def dependencies(app: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module under test, with nothing asked yet and outside Slicer's testing mode."""
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "_givenUp", set())
    monkeypatch.setattr(dependencies, "_found", set())
    monkeypatch.setattr(app, "testingEnabled", lambda: False)
    return dependencies


@pytest.fixture
def computer(app: Any, dependencies: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a computer the one under the module's feet."""
    import slicer

    with pytest.MonkeyPatch.context() as under_the_feet:

        def make(this: Computer, version: tuple[int, int] = (5, 12), with_torch_utils: bool = True) -> Computer:
            ours = {"PIL" if name == "pillow" else name for name in EVERYTHING}
            there = {"slicer.packaging": version >= (5, 12), "PyTorchUtils": with_torch_utils}
            find_spec, version_of = importlib.util.find_spec, importlib.metadata.version

            def found(name: str) -> Any:
                if name in ours:
                    return ("pillow" if name == "PIL" else name) in this.installed or None
                return (there[name] or None) if name in there else find_spec(name)

            under_the_feet.setattr(importlib.util, "find_spec", found)
            under_the_feet.setattr(importlib.metadata, "version", lambda n: this.versions.get(n) or version_of(n))
            packaging: Any = types.ModuleType("slicer.packaging")
            packaging.pip_ensure = lambda requirements, requester: this.pip_ensure(requirements, requester)
            under_the_feet.setitem(sys.modules, "slicer.packaging", packaging)
            utils: Any = types.ModuleType("PyTorchUtils")
            utils.PyTorchUtilsLogic = lambda: this
            under_the_feet.setitem(sys.modules, "PyTorchUtils", utils if with_torch_utils else None)
            under_the_feet.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: this.agree, raising=False)
            under_the_feet.setattr(
                slicer.util, "pip_install", lambda what: this.pip_ensure([what], "XRayRegistration"), raising=False
            )
            under_the_feet.setattr(app, "majorVersion", version[0], raising=False)
            under_the_feet.setattr(app, "minorVersion", version[1], raising=False)
            return this

        yield make


def test_nothing_is_asked_when_everything_is_there(dependencies, computer):
    this = computer(Computer(set(EVERYTHING)))
    dependencies.ensure()
    dependencies.ensureForReports()
    assert not this.asked
    assert not this.torch_wanted
    assert dependencies.missing() == []
    assert dependencies.status() == ["Everything needed to register is installed."]


def test_torch_comes_through_its_extension_and_the_rest_in_one_question(dependencies, computer):
    this = computer(Computer({"scipy", "pillow", "psutil", "pydicom"}))
    dependencies.ensure()
    assert this.torch_wanted == [">=2.4"]
    assert this.asked == [["nibabel>=5.2", "numba>=0.60,<0.69"]]


def test_packages_for_reports_are_asked_for_only_by_reports(dependencies, computer):
    this = computer(Computer(REQUIRED | {"numba"}))
    dependencies.ensure()
    assert not this.asked
    dependencies.ensureForReports()
    assert this.asked == [["matplotlib>=3.8"]]


def test_numba_is_never_asked_for_alone_but_the_panel_speaks_of_it(dependencies, computer):
    this = computer(Computer(set(REQUIRED)))
    dependencies.ensure()
    assert not this.asked
    assert dependencies.canBeFaster()
    assert dependencies.status() == [
        "Everything needed to register is installed.",
        "Without numba DRRs are rendered by PyTorch, on a processor about twenty times slower.",
    ]
    dependencies.installFaster()
    assert this.asked == [["numba>=0.60,<0.69"]]
    assert not dependencies.canBeFaster()


def test_a_failing_numba_does_not_keep_the_rest_from_being_installed(dependencies, computer):
    this = computer(Computer(REQUIRED - {"nibabel"}, fails=PIP_FAILED))
    with pytest.raises(dependencies.MissingPackages):
        dependencies.ensure()
    this.fails = None
    dependencies.ensure()
    assert this.asked == [["nibabel>=5.2", "numba>=0.60,<0.69"], ["nibabel>=5.2"]]
    assert dependencies.missing() == []


def test_a_package_that_is_too_old_is_missing(dependencies, computer):
    # Slicer 5.10 brings pydicom 2.4.
    this = computer(Computer(set(EVERYTHING), versions={"pydicom": "2.4.4", "torch": "2.10.0+cpu"}))
    assert dependencies.missing() == ["pydicom"]
    dependencies.ensure()
    assert this.asked == [["pydicom>=3.0"]]


def test_without_the_pytorch_extension_the_user_is_told_where_to_get_it(dependencies, computer):
    computer(Computer(EVERYTHING - {"torch"}), with_torch_utils=False)
    with pytest.raises(dependencies.MissingPackages, match="Install the extension PyTorch in the Extensions Manager"):
        dependencies.ensure()
    assert dependencies.status() == [
        "PyTorch is missing: install the extension PyTorch in the Extensions Manager and restart Slicer."
    ]


def test_the_panel_says_what_will_be_installed(dependencies, computer):
    computer(Computer({"scipy", "pillow", "psutil", "numba"}))
    assert dependencies.status() == [
        "PyTorch is missing: it is installed when first needed, after asking.",
        "To be installed when first needed, after asking: nibabel, pydicom.",
    ]


def test_an_older_slicer_is_told_so(dependencies, computer):
    computer(Computer(set(EVERYTHING)), version=(5, 10))
    assert dependencies.status()[-1] == "This is Slicer 5.10; the module is made for 5.12 and newer."


@pytest.mark.parametrize("version", ["unknown", "dev-2026"])
def test_a_package_that_tells_no_version_is_taken_for_somebodys_own_build(dependencies, computer, version):
    this = computer(Computer(set(EVERYTHING), versions={"pydicom": version}))
    dependencies.ensure()
    assert not this.asked and dependencies.missing() == []


@pytest.mark.parametrize("version", [(5, 12), (5, 10)], ids=["5.12", "5.10"])
@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("torch", "PyTorch is needed to register. Start again and agree to install it."),
        ("nibabel", "Not installed, as you wished: nibabel. Start again and agree to install them."),
    ],
)
def test_a_user_who_declines_is_told_what_is_missing(dependencies, computer, version, without, said):
    computer(Computer(EVERYTHING - {without}, agree=False), version)
    with pytest.raises(dependencies.MissingPackages) as told:
        dependencies.ensure()
    assert str(told.value) == said


def test_slicer_5_10_installs_after_asking_itself(dependencies, computer):
    this = computer(Computer(EVERYTHING - {"nibabel"}), version=(5, 10))
    dependencies.ensure()
    assert this.asked == [["nibabel>=5.2"]]


@pytest.mark.parametrize("version", [(5, 12), (5, 10)], ids=["5.12", "5.10"])
def test_a_computer_without_internet_gets_one_line(dependencies, computer, version, caplog):
    computer(Computer(EVERYTHING - {"nibabel"}, fails=PIP_FAILED), version)
    with pytest.raises(dependencies.MissingPackages) as told:
        dependencies.ensure()
    assert str(told.value) == (
        "nibabel could not be installed (pip ended with code 1). Is this computer online? The log has the details."
    )
    assert caplog.records[-1].exc_info[1] is PIP_FAILED


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PIP_FAILED, "pip ended with code 1"),
        (
            OSError("[WinError 126] The specified module could not be found\nmore\nlines"),
            "[WinError 126] The specified",
        ),
        (ValueError(""), "ValueError"),
        (ImportError("word " * 100), "word word"),
    ],
)
def test_a_failing_installation_of_torch_is_told_in_one_short_line(dependencies, computer, error, said):
    computer(Computer(EVERYTHING - {"torch"}, fails=error))
    with pytest.raises(dependencies.MissingPackages, match="PyTorch could not be installed") as told:
        dependencies.ensure()
    message = str(told.value)
    assert said in message
    assert message.endswith("The module PyTorch Utils can remove and reinstall it.")
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize("without", ["nibabel", "torch"])
def test_an_installer_that_installs_nothing_is_noticed(app, dependencies, computer, monkeypatch, without):
    this = computer(Computer(EVERYTHING - {without}))
    # So does pip_ensure in Slicer's testing mode.
    monkeypatch.setattr(this, "pip_ensure", lambda *_: None)
    monkeypatch.setattr(app, "testingEnabled", lambda: True)
    with pytest.raises(dependencies.MissingPackages, match=f"Python packages are missing: {without}"):
        dependencies.ensure()


def test_asking_for_the_state_loads_nothing(dependencies):
    code = f"""
import sys, types
sys.path[:0] = [{str(ROOT / "XRayRegistration")!r}]
slicer, i18n = types.ModuleType("slicer"), types.ModuleType("slicer.i18n")
i18n.tr = lambda text: text
slicer.__path__ = []
slicer.app = types.SimpleNamespace(majorVersion=5, minorVersion=12)
sys.modules.update({{"slicer": slicer, "slicer.i18n": i18n}})
from XRayRegistrationLib import dependencies
print(dependencies.status(), dependencies.missing())
loaded = sorted({{"torch", "numba", "matplotlib", "nibabel", "pydicom", "scipy"}} & set(sys.modules))
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Everything needed to register is installed." in done.stdout


def test_the_requirements_are_those_of_the_package(dependencies):
    project = tomllib.loads((ROOT / "XRayRegistration" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {dependencies.TORCH, *dependencies.REQUIRED, *dependencies.FOR_REPORTS, *dependencies.FASTER}
    assert wanted <= set(project["dependencies"])
    # Slicer brings these along or numba does, and only the command line needs rich.
    left_out = {line for line in project["dependencies"] if line not in wanted}
    assert {line.split(">=")[0] for line in left_out} == {"llvmlite", "numpy", "rich", "SimpleITK"}
