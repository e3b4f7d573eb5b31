"""Reading of tensors saved with torch by others, without executing code from the file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError, require_file

_NUMPY_KINDS = ("float64", "float32", "int64", "int32", "uint64", "uint32", "uint16", "uint8", "bool")
# Command that converts a file with other objects to plain tensors, if the user trusts the file.
_RESAVE = (
    "if you trust its source, save plain tensors in the environment that it came from: "
    "x = torch.load(FILE, weights_only=False); torch.save(plain tensors and numbers of x, FILE)"
)


def load_tensors(path: Path, what: str) -> Any:
    """The tensors, numbers and texts in a file of torch.save, in their nesting.

    Objects of other kinds would execute code and are refused, except numpy's numbers. Raises InputError naming
    `what` for a file that is missing, damaged or holds other objects.
    """
    import torch

    require_file(path, what)
    allowing = getattr(torch.serialization, "safe_globals", None)
    try:
        with nullcontext() if allowing is None else allowing(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # torch raises errors of many types for files that are damaged or hold other objects than data.
        raise InputError(
            f"{what} {path}",
            expected="a file of torch.save with tensors, numbers and texts alone",
            found="something else, which was not run",
            remedy=_RESAVE,
        ) from error


def array_in(value: Any, shape: tuple[int | None, ...], what: str) -> NDArray[np.float64]:
    """A tensor or nested list as finite float64 of `shape` (None: any length), a leading axis of length 1 dropped."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(what, expected="numbers", found=type(value).__name__, remedy=_RESAVE) from error
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    fits = array.ndim == len(shape) and all(want in (None, have) for have, want in zip(array.shape, shape, strict=True))
    if not fits or not np.isfinite(array).all():
        found = " x ".join(map(str, array.shape)) if not fits else "NaN or infinity"
        expected = " x ".join("N" if length is None else str(length) for length in shape)
        raise InputError(what, expected=f"{expected} finite numbers", found=found, remedy="check the file")
    return array


def need(content: Any, key: str, what: str) -> Any:
    """content[key]; raises InputError naming `what`."""
    if not isinstance(content, Mapping) or key not in content:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise InputError(what, expected=f'a dictionary with "{key}"', found=found, remedy="download the file again")
    return content[key]


def _numbers() -> list[Any]:
    """The functions and types needed to unpickle numpy scalars; none of them can execute other code."""
    scalar = np.float64(0).__reduce__()[0]
    # Two names that one function has had in different versions of numpy.
    names = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
    kinds = [type(np.dtype(kind)) for kind in _NUMPY_KINDS]
    return [*((scalar, name) for name in names), (_encoded, "_codecs.encode"), np.dtype, *kinds]


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """The bytes of a number, which older pickles hold as text; replaces Python's function, which accepts any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"no bytes of a number: {encoding}")
    return text.encode("latin1")
