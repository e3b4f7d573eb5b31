"""Fixtures shared by the backend's tests."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[2]

# Compiled kernels are kept between runs; numba reads this once, when it is first imported.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))
# So are Triton's.
os.environ.setdefault("TRITON_CACHE_DIR", str(ROOT / ".cache" / "triton"))
# As in xrayreg.__main__: threads that spin while they wait keep parallel workers from computing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A slow machine says nothing of a law; and fixtures here hold nothing that one example leaves to the next.
settings.register_profile(
    "laws", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("laws")


def shared_data(*parts: str) -> Path:
    """The path of a file of the external test data; skips the test, saying so, where the data are absent."""
    folder = Path(os.environ.get("XRAYREG_DATA", ROOT.parent / "shared" / "data"))
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"external test data are not here: {path} (set XRAYREG_DATA to their folder)")
    return path


@pytest.fixture(name="shared_data")
def shared_data_fixture():
    """`shared_data` for tests that prefer a fixture to an import."""
    return shared_data


@pytest.fixture
def unrotated_augmentations(monkeypatch):
    """Test-time augmentation without rotations: constant predictions stay a single cluster."""
    from xrayreg.networks.inference import test_time_augmentation

    monkeypatch.setattr(test_time_augmentation, "_MOST_SHIFT_SHARE", 0.0)
    monkeypatch.setattr(test_time_augmentation, "_MOST_ROLL_DEG", 0.0)
    test_time_augmentation.augmentation_rotations.cache_clear()
    yield
    test_time_augmentation.augmentation_rotations.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def every_result_is_valid() -> Iterator[None]:
    """Every result.json that a test here lets the program write obeys the schema.

    The panel's tests, which may run in the same process, make results of the few values that the panel shows.
    """
    with pytest.MonkeyPatch.context() as patch:
        from result_schema import require_valid

        from xrayreg.cli import interrupted
        from xrayreg.report import RESULT, folder

        def write(path: Path, content: Any, real: Callable[..., None] = folder.write_json) -> None:
            test = os.environ.get("PYTEST_CURRENT_TEST", "")
            if Path(path).name == RESULT and not test.startswith("Testing/Slicer"):
                require_valid(content)
            real(path, content)

        for module in (folder, interrupted):
            patch.setattr(module, "write_json", write)
        yield


def pytest_configure() -> None:
    """Parallel workers compute on one thread each: more would wait for one another."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        import torch

        torch.set_num_threads(1)


_LOOKED_THROUGH: dict[str, tuple[ModuleType, dict[str, tuple[ModuleType, Any]]]] = {}


@functools.cache
def _poisoned(real: ModuleType) -> Any:
    """numpy or torch whose fresh floating-point arrays hold NaN, so that an element never written is seen.

    It shares the module's own dictionary, so every other name is found, and patched, as quickly as in the module.
    """
    functions = {name: _filled(getattr(real, name)) for name in ("empty", "empty_like")}
    # A property comes before what the dictionary holds.
    names: dict[str, Any] = {name: property(lambda _, made=made: made) for name, made in functions.items()}
    # Names that the module itself makes only when they are asked for.
    names["__getattr__"] = lambda _, name: getattr(real, name)
    poisoned = type("Poisoned", (), names)()
    poisoned.__dict__ = vars(real)
    return poisoned


def _filled(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        fresh = make(*args, **kwargs)
        floating = fresh.is_floating_point() if hasattr(fresh, "is_floating_point") else fresh.dtype.kind == "f"
        if floating:
            fresh[...] = float("nan")
        return fresh

    return made


def _attributes_to_poison(module: ModuleType) -> dict[str, tuple[ModuleType, Any]]:
    """By name, what the module knows numpy and torch by, and what takes its place.

    Files of numba kernels are left alone: their `np.empty` is compiled, and only the real one can be.
    """
    values = dict(vars(module))
    if any(type(value).__module__.startswith("numba.") for value in values.values()):
        return {}
    modules = {name: value for name, value in values.items() if isinstance(value, ModuleType)}
    return {name: (value, _poisoned(value)) for name, value in modules.items() if value.__name__ in ("numpy", "torch")}


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Inside xrayreg, memory that nobody has written yet is NaN."""
    for name in [name for name in sys.modules if name.startswith("xrayreg")]:
        module = sys.modules[name]
        # Looked through once: thousands of tests begin with this.
        if name not in _LOOKED_THROUGH or _LOOKED_THROUGH[name][0] is not module:
            _LOOKED_THROUGH[name] = module, _attributes_to_poison(module)
    patched = tuple(_LOOKED_THROUGH.values())
    for module, attributes in patched:
        vars(module).update({name: poisoned for name, (_, poisoned) in attributes.items()})
    yield
    for module, attributes in patched:
        vars(module).update({name: real for name, (real, _) in attributes.items()})
