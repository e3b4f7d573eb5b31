"""Exchange of arrays between a client and its worker: NumPy files in a folder that only these two use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .messages import BrokenStream

# Block size of a write [bytes]: some 10 ms.
_AT_ONCE = 8 << 20
_NAME = re.compile(r"[a-z]+\d+\.npy")


class ArrayFolder:
    """Writes arrays to files of a folder, and reads those written by the other end.

    end: prefix of this end's file names, lower-case letters, different at the other end.
    """

    def __init__(self, folder: Path, end: str) -> None:
        self.folder = folder
        self._end = end
        self._count = 0

    def put(self, array: NDArray) -> str:
        """Write an array; returns the name by which the other end reads it."""
        name, blocks = self.begin(array)
        for _ in blocks:
            continue
        return name

    def begin(self, array: NDArray) -> tuple[str, Iterator[None]]:
        """`put` in blocks of a few megabytes: the name, and an iterator that writes a block per step."""
        self._count += 1
        name = f"{self._end}{self._count}.npy"
        return name, _blocks(self.folder / name, np.atleast_1d(array))

    def take(self, name: str) -> NDArray:
        """Read an array and remove its file. Raises BrokenStream for an invalid name."""
        path = self._path(name)
        array: NDArray = np.load(path, allow_pickle=False)
        path.unlink()
        return array

    def mapped(self, name: str) -> NDArray:
        """A memory-mapped array, read on access; changes to it are not written.

        The file is removed, at once or, where open files cannot be (Windows), with the folder. Raises BrokenStream as
        `take` does.
        """
        path = self._path(name)
        array = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        try:
            path.unlink()
        except PermissionError:
            # The file is removed with its folder.
            return array
        return array

    def discard(self, content: Mapping[str, Any]) -> None:
        """Remove the unread arrays that a message names."""
        for name in content.values():
            if isinstance(name, str) and _NAME.fullmatch(name):
                (self.folder / name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BrokenStream(f"an array named {name!r} was announced")
        return self.folder / name


def _blocks(path: Path, array: NDArray) -> Iterator[None]:
    """Write an array to a file, a block per step."""
    rows = max(1, _AT_ONCE // max(1, array.nbytes // max(1, len(array))))
    with open(path, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, len(array), rows):
            file.write(np.ascontiguousarray(array[first : first + rows]).data)
            yield
