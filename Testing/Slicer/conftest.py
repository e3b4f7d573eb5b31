"""The headless Slicer that the module's tests share; they skip, saying why, where it cannot run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slicer_harness import probe

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration" / "XRayRegistration.py"

# Compiled kernels are kept between runs; numba reads this once, when it is first imported.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))


@pytest.fixture(scope="session")
def app() -> Any:
    """slicer.app of the harness."""
    obstacle = probe.obstacle()
    if obstacle:
        pytest.skip(f"the module was not tried on a headless Slicer: {obstacle}")
    from slicer_harness.application import start

    return start()


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory, app: Any) -> Path:
    """A generated case with an initial pose and a reference."""
    from XRayRegistrationLib import phantomCase

    return phantomCase.write(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def widget(app: Any) -> Iterator[Any]:
    """The module's panel in an empty scene; errors in its slots, which Qt would only print, fail the test."""
    from slicer_harness import pythonqt

    pythonqt.slot_errors.clear()
    app.scene.Clear(0)
    opened = app.openModule(MODULE)
    yield opened
    app.closeModule(opened)
    assert not pythonqt.slot_errors


@pytest.fixture
def screenshot() -> Callable[[str, Callable[[Path], object]], None]:
    """Keeps a picture in the folder named by XRAYREG_SCREENSHOTS, where there is one."""
    folder = os.environ.get("XRAYREG_SCREENSHOTS")

    def keep(name: str, write: Callable[[Path], object]) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write(Path(folder, name))

    return keep
