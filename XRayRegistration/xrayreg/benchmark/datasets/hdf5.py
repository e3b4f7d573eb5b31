"""Reading of HDF5 files with complete error messages: the file, the group, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError, require_file

_COMPLETE = "download the dataset again; Documentation/datasets.md says where from and how it is laid out"


@dataclass(frozen=True)
class Group:
    """A group of an open HDF5 file; its errors name the file and the group."""

    file: Path
    node: Any

    @property
    def place(self) -> str:
        """Description of the group for error messages."""
        return f"dataset {self.file.name}, group {self.node.name}"

    def names(self) -> tuple[str, ...]:
        """The names of its members, sorted."""
        return tuple(sorted(self.node))

    def has(self, name: str) -> bool:
        """Whether it has a member of this name (or path)."""
        return name in self.node

    def group(self, name: str) -> Group:
        """The group of this name; raises InputError if there is none."""
        node = self._member(name, f'the group "{name}"')
        if not hasattr(node, "keys"):
            raise self.wrong(f'the group "{name}"', "a dataset of that name")
        return Group(self.file, node)

    def array(self, name: str, shape: tuple[int | None, ...]) -> NDArray:
        """The dataset `name` in its stored type; None stands for any length.

        Additional or missing axes of length 1 are accepted: points are stored as (3,) and as (3, 1). Raises InputError
        for a dataset that is missing, damaged, not numeric or of another shape.
        """
        expected = f'the dataset "{name}" of {_size(shape)} numbers'
        node = self._member(name, expected)
        if hasattr(node, "keys"):
            raise self.wrong(expected, "a group of that name")
        if node.dtype.kind not in "biuf":
            raise self.wrong(expected, f"values of type {node.dtype}")
        found = tuple(node.shape)
        squeezed = found if _fits(found, shape) else _squeezed(found, shape)
        if squeezed is None:
            raise self.wrong(expected, f"{_size(found)} of them")
        try:
            values = np.asarray(node[()])
        except OSError as error:
            raise self.wrong(expected, f"one that cannot be read ({error})") from error
        # torch does not accept arrays of foreign byte order.
        return values.reshape(squeezed).astype(values.dtype.newbyteorder("="), copy=False)

    def image_size(self, name: str) -> tuple[int, int]:
        """(width, height) of the image `name`, without reading it; raises InputError."""
        shape: tuple[int, ...] = tuple(getattr(self._member(name, f'the image "{name}"'), "shape", ()))
        if len(shape) != 2:
            raise self.wrong(f'the image "{name}" of rows and columns', _size(shape))
        return int(shape[1]), int(shape[0])

    def numbers(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
        """The dataset `name` as finite float64; raises InputError."""
        values = self.array(name, shape).astype(np.float64)
        if not np.isfinite(values).all():
            raise self.wrong(f'finite numbers in "{name}"', "NaN or infinity")
        return values

    def number(self, name: str) -> float:
        """The dataset `name` as one number; raises InputError."""
        return float(self.numbers(name, ()))

    def text(self, name: str) -> str:
        """The dataset `name` as text; raises InputError."""
        value = self._member(name, f'the text "{name}"')[()]
        value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def wrong(self, expected: str, found: str, remedy: str = _COMPLETE) -> InputError:
        """The error that this group does not have the expected content."""
        return InputError(self.place, expected=expected, found=found, remedy=remedy)

    def _member(self, name: str, expected: str) -> Any:
        if name not in self.node:
            raise self.wrong(expected, told(self.names()))
        try:
            return self.node[name]
        except (KeyError, OSError, RuntimeError) as error:
            # The link exists but its target does not: the file is truncated.
            raise self.wrong(expected, f"one that cannot be opened ({error})") from error


@contextmanager
def opened(path: Path) -> Iterator[Group]:
    """The root of the HDF5 file at `path`, which is closed at the end.

    Raises InputError for a file that is missing, not HDF5 or truncated, and if h5py is not installed.
    """
    require_file(path, "dataset")
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"dataset {path.name}",
            expected="the Python package h5py, which reads HDF5",
            found="none",
            remedy="install it: pip install h5py",
        ) from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"dataset {path}", expected="a whole HDF5 file", found=f"another one ({error})", remedy=_COMPLETE
        ) from error
    with file:
        yield Group(path, file)


def told(names: tuple[str, ...], most: int = 8) -> str:
    """The first `most` names, as text for messages."""
    shown = ", ".join(names[:most])
    return (f"{shown} and {len(names) - most} more" if len(names) > most else shown) or "nothing"


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(want in (None, have) for have, want in zip(found, shape, strict=True))


def _squeezed(found: tuple[int, ...], shape: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """`found` without its axes of length 1, if that matches `shape` without its own; else None."""
    bare = tuple(length for length in found if length != 1)
    if not _fits(bare, tuple(length for length in shape if length != 1)):
        return None
    lengths = iter(bare)
    return tuple(1 if want == 1 else next(lengths) for want in shape)


def _size(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if length is None else str(length) for length in shape) or "1"
