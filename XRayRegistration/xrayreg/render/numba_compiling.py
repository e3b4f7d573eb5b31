"""Compilation of the CPU kernels and caching of the compiled code between runs."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba import njit

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
# A kernel is made of such functions; nobody else calls them, and they make no arrays. LLVM puts them in where they are
# called, which takes a third of the time that numba takes for it. Arrays that change hands are not counted: kernels
# keep them alive, and each count is a call that holds up what is on its way from memory.
_WITHIN: dict[str, Any] = {"forceinline": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**_OPTIONS, **_WITHIN)


def _any_kernel() -> None:
    """Placeholder for all kernels when numba looks for a cache folder."""


# Whether compiled kernels are cached beyond this process.
KEPT = True
try:
    njit(cache=True)(_any_kernel)
except RuntimeError:
    # numba found no folder for its cache: neither the package's nor one at home can be written to. A shared one would
    # be unsafe, because what lies in it is executed; this process gets its own.
    _CACHE = tempfile.TemporaryDirectory(prefix="xrayreg-numba-")
    vars(numba.config)["CACHE_DIR"] = _CACHE.name
    KEPT = False


def kernel(*sources: ModuleType, parallel: bool = True) -> Callable[[Callable[..., None]], Any]:
    """Decorator of a kernel that is compiled once and cached between runs.

    sources: modules besides the kernel's own whose functions it uses. Numba checks only the kernel's own file to decide
    whether its cache is valid; here a change of these modules, or of the options above, invalidates it too.
    """

    def decorated(function: Callable[..., None]) -> Any:
        compiled = njit(parallel=parallel, cache=True, **_OPTIONS)(function)
        files = compiled._cache._cache_file
        texts = [Path(file).read_bytes() for file in (__file__, *map(inspect.getfile, sources))]
        files._source_stamp = (files._source_stamp, *(hashlib.sha256(text).hexdigest() for text in texts))
        return compiled

    return decorated
