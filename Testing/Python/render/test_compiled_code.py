"""Loading compiled kernels: told apart from compiling them, and possible where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import xrayreg
from xrayreg.render import numba_engine, warm_up

SOURCES = str(Path(xrayreg.__file__).parents[1])
# Stands in for a read-only checkout of a user without a home: numba may write only where the package itself says.
READ_ONLY = """
import numba.core.caching as caching
real = caching._CacheLocator.ensure_cache_path
def ensure_cache_path(self):
    if "xrayreg-numba-" not in self.get_cache_path():
        raise PermissionError(13, "read-only", self.get_cache_path())
    real(self)
caching._CacheLocator.ensure_cache_path = ensure_cache_path
import numba, pathlib
from xrayreg.render import numba_engine
print(numba.config.CACHE_DIR)
"""


def test_loading_kernels_again_compiles_nothing():
    assert warm_up("numba") >= 0
    assert warm_up("numba") == 0
    assert warm_up("torch") == 0


def test_compiling_kernels_is_timed(monkeypatch):
    # As on a first run, without the half minute that takes: numba counts one more kernel that no cache held.
    counts = iter((0, 1))
    monkeypatch.setattr(numba_engine, "_compilations", lambda: next(counts))
    assert warm_up("numba") > 0


def test_where_nothing_can_be_written_the_process_caches_for_itself_and_cleans_up():
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    environment.pop("NUMBA_CACHE_DIR", None)
    finished = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, text=True, env=environment, check=True
    )
    folder = Path(finished.stdout.strip())
    assert folder.name.startswith("xrayreg-numba-")
    assert not folder.exists()
