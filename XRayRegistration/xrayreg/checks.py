"""Input validation: each error names the input, what was expected, what was found and the remedy."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .printing import printable

# Largest plausible translation [mm] within one room, including tracking frames: a kilometre.
MOST_MM = 1e6
# Implausibly long names are cut to their beginning.
_SHOWN_NAME = 200
_FILE, _FOLDER = "the file", "the folder"
_KINDS = (
    (stat.S_ISREG, _FILE),
    (stat.S_ISDIR, _FOLDER),
    (stat.S_ISFIFO, "the pipe"),
    (stat.S_ISSOCK, "the socket"),
)


class InputError(ValueError):
    """Input that cannot be used, explained in one line a user can act on.

    Control characters in text from files are escaped wherever the sentence is shown.
    """

    def __init__(self, what: str, *, expected: str, found: str, remedy: str) -> None:
        what, expected, found, remedy = (printable(part) for part in (what, expected, found, remedy))
        super().__init__(f"{what}: expected {expected}, found {found}; {remedy}")
        self.what, self.expected, self.found, self.remedy = what, expected, found, remedy


def require_array(value: ArrayLike, what: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return `value` as a finite float64 array of exactly `shape`; raise InputError otherwise."""
    shape_text = " x ".join(map(str, shape))
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            what,
            expected=f"{shape_text} numbers",
            found="something that is not a table of numbers",
            remedy="write it as a list of rows",
        ) from error
    if array.shape != shape:
        found = " x ".join(map(str, array.shape)) or "a single number"
        raise InputError(what, expected=f"{shape_text} numbers", found=found, remedy="check the rows and columns")
    if not np.isfinite(array).all():
        raise InputError(what, expected="finite numbers", found="NaN or infinity", remedy="check how it was computed")
    return array


def require_rigid(value: ArrayLike, what: str, tolerance: float = 1e-3) -> NDArray[np.float64]:
    """Return `value` as a 4x4 rigid transform, its rotation made exactly orthonormal.

    `tolerance` is the largest entry of |R^T R - 1| that counts as rounding (files often hold six digits).
    Raises InputError also for a translation beyond `MOST_MM`.
    """
    matrix = require_array(value, what, (4, 4))
    rotation = matrix[:3, :3]
    if np.abs(matrix[3] - [0.0, 0.0, 0.0, 1.0]).max() > 1e-9:
        raise InputError(
            what, expected="last row 0 0 0 1", found=str(matrix[3].tolist()), remedy="write a rigid 4 x 4 matrix"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    # Products of huge entries overflow to infinity or NaN.
    if not deviation <= tolerance:
        raise InputError(
            what,
            expected="a rotation (orthonormal axes)",
            found=f"axes that deviate by {deviation:.3g}",
            remedy="remove scaling and shear from the matrix",
        )
    if np.linalg.det(rotation) < 0:
        raise InputError(
            what,
            expected="a rotation",
            found="a reflection (determinant -1)",
            remedy="flip the image instead of the pose: a mirrored pose points to the wrong side",
        )
    farthest = float(np.abs(matrix[:3, 3]).max())
    if farthest > MOST_MM:
        raise InputError(
            what,
            expected=f"a translation within {MOST_MM:g} mm",
            found=f"{farthest:g} mm",
            remedy="write it in millimetres, from an origin in the same room",
        )
    left, _, right = np.linalg.svd(rotation)
    rigid = matrix.copy()
    rigid[:3, :3] = left @ right
    return rigid


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is an existing file or folder; raise InputError otherwise, also for other path types."""
    kind = _kind(path, what)
    if kind not in (_FILE, _FOLDER):
        raise InputError(
            what,
            expected="a file or folder",
            found=f"{kind} {_shown(path)}",
            remedy="name the file that holds the data",
        )
    return path


def require_regular(path: Path, what: str) -> Path:
    """Return `path` if it is an existing regular file; raise InputError otherwise. It is not opened.

    Reading a named pipe would block, reading a device such as /dev/zero would not end.
    """
    kind = _kind(path, what)
    if kind != _FILE:
        raise _other_kind(what, "a file", kind, path)
    return path


def _kind(path: Path, what: str) -> str:
    """The type of a path; raises InputError where it does not exist or access is denied."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        # ValueError: an invalid file name, such as one with a NUL in it.
        reason = "" if isinstance(error, FileNotFoundError) else f" ({getattr(error, 'strerror', None) or error})"
        raise InputError(
            what,
            expected="an existing file",
            found=f"nothing at {_shown(path)}{reason}",
            remedy="check the path and its spelling",
        ) from error
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "the device")


def _other_kind(what: str, expected: str, kind: str, path: Path) -> InputError:
    found = f"{kind} {_shown(path)}"
    return InputError(what, expected=expected, found=found, remedy="name the file that holds the data")


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _SHOWN_NAME else f"{text[:_SHOWN_NAME]}... ({len(text)} characters)"
