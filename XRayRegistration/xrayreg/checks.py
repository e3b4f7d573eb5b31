"""Errors at the gate: each names the thing, what was expected, what was found and the way out."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SPECIAL = (
    (stat.S_ISDIR, "the folder"),
    (stat.S_ISFIFO, "the pipe"),
    (stat.S_ISCHR, "the device"),
    (stat.S_ISBLK, "the device"),
    (stat.S_ISSOCK, "the socket"),
)


class InputError(ValueError):
    """Input that cannot be used, told in one line a user can act on."""

    def __init__(self, what: str, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}; {remedy}")
        self.what, self.expected, self.found, self.remedy = what, expected, found, remedy


def require_array(value: ArrayLike, what: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return `value` as a finite float64 array of exactly `shape`; raise InputError otherwise."""
    shape_text = " x ".join(map(str, shape))
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
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
    """
    matrix = require_array(value, what, (4, 4))
    rotation = matrix[:3, :3]
    if np.abs(matrix[3] - [0.0, 0.0, 0.0, 1.0]).max() > 1e-9:
        raise InputError(
            what, expected="last row 0 0 0 1", found=str(matrix[3].tolist()), remedy="write a rigid 4 x 4 matrix"
        )
    deviation = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if deviation > tolerance:
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
    left, _, right = np.linalg.svd(rotation)
    rigid = matrix.copy()
    rigid[:3, :3] = left @ right
    return rigid


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is an existing file or folder; raise InputError otherwise."""
    if not path.exists():
        raise InputError(
            what, expected="an existing file", found=f"nothing at {path}", remedy="check the path and its spelling"
        )
    return path


def require_regular(path: Path, what: str) -> Path:
    """Return `path` if it is an existing regular file; raise InputError for a folder, pipe, device or socket.

    Asked before a file is opened: opening a pipe that nobody writes to waits for ever, and a device may never end.
    """
    require_file(path, what)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _SPECIAL if is_kind(mode)), "something else")
        raise InputError(what, expected="a file", found=f"{kind} {path}", remedy="name the file that holds the data")
    return path
