"""The headless Slicer that the module's tests share; they skip, saying why, where it cannot run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import economy
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
def compiled(app: Any) -> None:
    """Nobody compiles what draws and registers during a test (economy.py)."""
    economy.compile_once(Path(os.environ["NUMBA_CACHE_DIR"]))


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory, app: Any) -> Path:
    """A generated case with an initial pose and a reference."""
    from xrayreg.simulation.phantom_case import write_phantom_case

    return write_phantom_case(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(autouse=True)
def remembered_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collimated field of the same image is looked for once (economy.py)."""
    economy.remember_fields(monkeypatch)


@pytest.fixture(autouse=True)
def _worker_inline(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's worker lives in the test's process (inline_worker.py)."""
    from inline_worker import InlineConnection

    from XRayRegistrationLib.worker import connection

    monkeypatch.setattr(connection, "connect", InlineConnection)


@pytest.fixture
def widget(app: Any, compiled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's panel in an empty scene; errors in its slots, which Qt would only print, fail the test."""
    from slicer_harness import pythonqt

    pythonqt.slot_errors.clear()
    app.scene.Clear(0)
    # Clearing does not forget where the scene before was saved.
    app.scene.SetURL("")
    economy.draw_coarsely(monkeypatch)
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


@pytest.fixture
def wishes(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What trainings were asked for; each plays the story of fake_training.py that `wishes.story` names."""
    from XRayRegistrationLib.jobs import training

    class Wishes(list):  # type: ignore[type-arg]
        story = "done"

    asked = Wishes()

    def command(wish: Any) -> list[str]:
        asked.append(wish)
        fake = Path(__file__).with_name("fake_training.py")
        return [sys.executable, str(fake), *wish.arguments(), "--story", asked.story]

    monkeypatch.setattr(training, "command", command)
    yield asked
    run = training.running()
    if run is not None:
        run.end()


@pytest.fixture
def section(app: Any, widget: Any, wishes: Any, tmp_path: Path) -> Any:
    """The Train section with a CT, its network to be kept in the test's folder."""
    import panel_driver as user

    widget.ui.volumeSelector.setCurrentNode(user.add_ct("Patient: 7"))
    widget.panel.train.chooseModel(str(tmp_path / "hip"))
    return widget.panel.train
