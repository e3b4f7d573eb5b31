"""What all tests share, of the backend and of the Slicer side."""

from __future__ import annotations

import gc


def pytest_collection() -> None:
    """Imports and collection make some millions of objects that stay: looking for garbage meanwhile finds next to none
    and takes a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there now stays until the end of the run: garbage is not looked for among it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Frozen objects would be reported as leaks when the process ends."""
    gc.unfreeze()
