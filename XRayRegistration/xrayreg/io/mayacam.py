"""Calibrations of biplane rigs as XMALab and MayaCam 2.0 write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..checks import InputError, require_file
from ..geometry import Camera

_ROWS = {"image size": 1, "camera matrix": 3, "rotation": 3, "translation": 3}


def read_mayacam(path: str | Path) -> Camera:
    """The camera of a MayaCam 2.0 text file: its four headings, each followed by rows of comma-separated numbers.

    The rotation and translation [mm] are camera_from_world in the house's camera frame. Raises InputError for a file
    that is missing, lacks a heading or has rows of another shape.
    """
    path = Path(path)
    require_file(path, "calibration")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (UnicodeDecodeError, OSError) as error:
        raise _bad(path, "text", str(error)) from error
    size = _block(path, lines, "image size", 2)[0]
    pose = np.eye(4)
    pose[:3, :3] = _block(path, lines, "rotation", 3)
    pose[:3, 3:] = _block(path, lines, "translation", 1)
    return Camera(_block(path, lines, "camera matrix", 3), round(size[0]), round(size[1]), pose)


def _block(path: Path, lines: list[str], heading: str, columns: int) -> np.ndarray:
    """The rows of numbers below a heading."""
    count = _ROWS[heading]
    try:
        start = [line.lower() for line in lines].index(heading) + 1
        rows = [[float(word) for word in line.split(",")] for line in lines[start : start + count]]
    except ValueError as error:
        raise _bad(path, f'"{heading}" followed by {count} rows of numbers', str(error)) from error
    if len(rows) != count or any(len(row) != columns for row in rows):
        raise _bad(path, f'{count} x {columns} numbers below "{heading}"', f"{rows}")
    return np.array(rows)


def _bad(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        f"calibration {path}", expected=expected, found=found, remedy="export it as MayaCam 2.0 from XMALab"
    )
