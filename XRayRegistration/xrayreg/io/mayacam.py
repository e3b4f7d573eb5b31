"""Calibrations of biplane rigs as XMALab and MayaCam 2.0 write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..checks import InputError, require_regular
from ..geometry import Camera, require_xray_camera

_ROWS = {"image size": 1, "camera matrix": 3, "rotation": 3, "translation": 3}
# Size limit: a calibration is twenty lines of numbers.
_MOST_BYTES = 2**16


def read_mayacam(path: str | Path) -> Camera:
    """The camera of a MayaCam 2.0 text file: its four headings, each followed by rows of comma-separated numbers.

    The rotation and translation [mm] are camera_from_world in this project's camera frame. Raises InputError for a file
    that is missing, lacks a heading, has rows of another shape, or holds an implausible camera.
    """
    path = Path(path)
    require_regular(path, "calibration")
    if (length := path.stat().st_size) > _MOST_BYTES:
        raise _bad(path, "some twenty lines", f"{length:,} bytes")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (UnicodeDecodeError, OSError) as error:
        raise _bad(path, "text", str(error)) from error
    width, height = (round(side) for side in _block(path, lines, "image size", 2)[0].tolist())
    pose = np.eye(4)
    pose[:3, :3] = _block(path, lines, "rotation", 3)
    pose[:3, 3:] = _block(path, lines, "translation", 1)
    matrix = _block(path, lines, "camera matrix", 3)
    return require_xray_camera(Camera(matrix, width, height, pose), f"calibration {path.name}")


def _block(path: Path, lines: list[str], heading: str, columns: int) -> np.ndarray:
    """The rows of numbers below a heading."""
    count = _ROWS[heading]
    try:
        start = [line.lower() for line in lines].index(heading) + 1
        rows = [[float(word) for word in line.split(",")] for line in lines[start : start + count]]
    except ValueError as error:
        raise _bad(path, f'"{heading}" followed by {count} rows of numbers', str(error)[:120]) from error
    if len(rows) != count or any(len(row) != columns for row in rows):
        raise _bad(path, f'{count} x {columns} numbers below "{heading}"', f"{rows}"[:80])
    if not np.isfinite(numbers := np.array(rows)).all():
        raise _bad(path, f'finite numbers below "{heading}"', "NaN or infinity")
    return numbers


def _bad(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        f"calibration {path}", expected=expected, found=found, remedy="export it as MayaCam 2.0 from XMALab"
    )
