"""What all tests share, of the backend and of the Slicer side."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """What imports and collection have made stays until the end of the run: garbage is not looked for among it.

    These are some millions of objects, which every full collection would visit again.
    """
    gc.collect()
    gc.freeze()
